/**
 * `Content-Encoding`: servers claim it of blobs that are only stored packed, and proxies pack what they pass on although
 * nobody asked for it. What was meant, the digest of a blob tells, or its size (RFC 9110, section 8.4).
 *
 * @packageDocumentation
 */
import { pipeline, Readable } from 'node:stream'
import {
  brotliDecompressSync,
  constants,
  createBrotliDecompress,
  createGunzip,
  createInflate,
  createInflateRaw,
  gunzipSync,
  inflateRawSync,
  inflateSync,
} from 'node:zlib'
import { sha256 } from '../names.ts'
import type { BlobDescriptor } from '../source.ts'

/** One that can be undone. */
export type Encoding = 'gzip' | 'deflate' | 'br'

/** A blob, and perhaps what its manifest says of it. */
export type DescribedBlob = BlobDescriptor & { readonly mediaType?: string }

/** Bytes of a blob that is compared with its digest before anything of it is handed on. */
const maxSmall = 1024 * 1024
/** Bytes that show what a larger one is. */
const sampleSize = 64 * 1024
/** Bytes of that which are unpacked to see what is in them, and most bytes that may come out. */
const peekSize = 4096
const maxPeek = 16 * 1024 * 1024

/** What an answer claims; undefined for nothing, and for what is none, which storages claim as well. */
export function encodingOf(headers: Readonly<Record<string, string | string[] | undefined>>): Encoding | undefined {
  const names = String(headers['content-encoding'] ?? '')
    .toLowerCase()
    .split(',')
    .map((name) => name.trim().replace(/^x-/, ''))
    .filter((name) => name !== '' && name !== 'identity')
  const [only, ...others] = names
  if (others.length > 0) return undefined
  return only === 'gzip' || only === 'deflate' || only === 'br' ? only : undefined
}

/** Bytes as they are meant: as they came, or unpacked, whichever fits; as they came where neither does. */
export function unpackSmall(
  bytes: Buffer,
  encoding: Encoding | undefined,
  limit: number,
  fits: (bytes: Buffer) => boolean,
): Buffer {
  if (encoding === undefined || fits(bytes)) return bytes
  const unpacked = unpack(bytes, encoding, limit)
  return unpacked !== undefined && fits(unpacked) ? unpacked : bytes
}

/**
 * The bytes of a blob out of an answer that claims an encoding.
 *
 * @param length that of the answer, where it tells; not that of the blob
 */
export async function* unpackBlob(
  chunks: AsyncIterable<Buffer>,
  encoding: Encoding,
  blob: DescribedBlob,
  length: number | undefined,
): AsyncGenerator<Buffer, void, undefined> {
  const { digest, size } = blob
  // Nothing packed is longer by more than this.
  const enough = size <= maxSmall ? size + size / 100 + 1024 : sampleSize
  const source = chunks[Symbol.asyncIterator]()
  const first: Buffer[] = []
  let gathered = 0
  let ended = false
  while (gathered <= enough) {
    const { done = false, value } = await source.next()
    ended = done
    if (done) break
    first.push(value)
    gathered += value.length
  }
  const sample = Buffer.concat(first)
  if (ended && size <= maxSmall) {
    return yield unpackSmall(sample, encoding, size, (bytes) => sha256(bytes) === digest)
  }
  async function* all(): AsyncGenerator<Buffer, void, undefined> {
    yield sample
    if (!ended) yield* { [Symbol.asyncIterator]: () => source }
  }
  if (isPacked(sample, encoding, blob, length)) yield* unpacked(all(), encoding)
  else yield* all()
}

/** Whether somebody packed a large blob on its way. */
function isPacked(sample: Buffer, encoding: Encoding, { mediaType }: DescribedBlob, length: number | undefined) {
  const inner = unpack(sample.subarray(0, peekSize), encoding, maxPeek)
  if (inner === undefined) return false
  if (length !== undefined || isCompressed(inner)) return true
  // A layer that is stored so, or a tar that was packed: its media type knows.
  return mediaType !== undefined && !/gzip|zstd/.test(mediaType)
}

function isCompressed(bytes: Buffer): boolean {
  return ['1f8b', '28b52ffd', '425a68', 'fd377a58'].some((magic) => bytes.toString('hex', 0, 4).startsWith(magic))
}

/** Undefined where they are not packed in that way. The beginning will do. */
function unpack(bytes: Buffer, encoding: Encoding, limit: number): Buffer | undefined {
  const zlib = { finishFlush: constants.Z_SYNC_FLUSH, maxOutputLength: limit + 1 }
  const brotli = { ...zlib, finishFlush: constants.BROTLI_OPERATION_FLUSH }
  const ways = {
    gzip: [() => gunzipSync(bytes, zlib)],
    // Some leave out the envelope of zlib.
    deflate: [() => inflateSync(bytes, zlib), () => inflateRawSync(bytes, zlib)],
    br: [() => brotliDecompressSync(bytes, brotli)],
  }
  for (const way of ways[encoding]) {
    try {
      return way()
    } catch {
      // Another way, or none.
    }
  }
  return undefined
}

async function* unpacked(packed: AsyncIterable<Buffer>, encoding: Encoding): AsyncGenerator<Buffer, void, undefined> {
  const source = packed[Symbol.asyncIterator]()
  const { value: first = Buffer.alloc(0) } = await source.next()
  const envelope = first.length > 1 && (first[0]! & 15) === 8 && first.readUInt16BE(0) % 31 === 0
  const make = { gzip: createGunzip, deflate: envelope ? createInflate : createInflateRaw, br: createBrotliDecompress }
  const decoder = make[encoding]()
  async function* all(): AsyncGenerator<Buffer, void, undefined> {
    yield first
    yield* { [Symbol.asyncIterator]: () => source }
  }
  // A failure of either destroys the decoder with it, and shows below.
  pipeline(Readable.from(all(), { objectMode: false }), decoder, () => {})
  for await (const chunk of decoder) yield chunk as Buffer
}
