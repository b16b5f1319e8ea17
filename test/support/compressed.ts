import { readFileSync } from 'node:fs'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { fileURLToPath } from 'node:url'
import type { ByteDecoder, DecoderOutput } from '../../src/streams/byte-decoder.ts'
import type { Compression } from '../../src/streams/compression.ts'
import { Decompressor, type DecompressorOptions } from '../../src/streams/decompressor.ts'
import { Xxh64 } from '../../src/streams/xxh64.ts'
import { javaScriptZstd, napiZstd, nodeZstd, type ZstdBackend } from '../../src/streams/zstd-backend.ts'
import { Random } from './random.ts'

/** What came out, up to an error if there was one. */
export interface Decoded {
  readonly output: Buffer
  readonly error: unknown
}

/** Sends chunks through a Decompressor. */
export async function decompress(
  chunks: Iterable<Buffer>,
  options?: DecompressorOptions,
): Promise<Decoded & { readonly compression: Compression | undefined }> {
  const decompressor = new Decompressor(options)
  const output: Buffer[] = []
  const error: unknown = await pipeline(Readable.from(chunks), decompressor, async (decoded) => {
    for await (const chunk of decoded) output.push(chunk)
  }).catch((e) => e)
  return { output: Buffer.concat(output), error, compression: decompressor.compression }
}

/** Sends chunks through a decoder, each overwritten as soon as it was taken. */
export async function decode(make: (output: DecoderOutput) => ByteDecoder, chunks: Iterable<Buffer>): Promise<Decoded> {
  const output: Buffer[] = []
  const decoder = make((chunk) => {
    output.push(Buffer.from(chunk))
    return undefined
  })
  let error: unknown
  try {
    for (const chunk of chunks) {
      const copy = Buffer.from(chunk)
      await decoder.write(copy)
      copy.fill(0xee)
    }
    await decoder.finish()
  } catch (e) {
    error = e
  }
  decoder.destroy()
  return { output: Buffer.concat(output), error }
}

/** Every zstd there is here. */
export const zstdBackends: ZstdBackend[] = [javaScriptZstd(), nodeZstd(), napiZstd()].filter(
  (backend) => backend !== undefined,
)

/** Frames that the reference encoder made of {@link mixture}; test/fixtures/zstd/README.md says how. */
export const zstdFixtures: readonly { readonly name: string; readonly seed: number; readonly size: number }[] = [
  { name: 'level1', seed: 1, size: 70_000 },
  { name: 'level3-checksum', seed: 2, size: 200_000 },
  { name: 'level19-checksum', seed: 3, size: 150_000 },
  { name: 'fast-checksum', seed: 4, size: 60_000 },
  { name: 'window10', seed: 5, size: 30_000 },
  { name: 'window27', seed: 6, size: 30_000 },
  { name: 'streamed', seed: 7, size: 30_000 },
  { name: 'small-checksum', seed: 8, size: 900 },
]

export function zstdFixture(name: string): { frame: Buffer; plain: Buffer } {
  const { seed, size } = zstdFixtures.find((fixture) => fixture.name === name)!
  const path = fileURLToPath(new URL(`../fixtures/zstd/${name}.zst`, import.meta.url))
  return { frame: readFileSync(path), plain: mixture(seed, size) }
}

/** Text, runs, copies from near and far, and noise: what brings all parts of a compressor into use. */
export function mixture(seed: number, size: number): Buffer {
  const random = new Random(seed)
  const bytes = Buffer.alloc(size)
  for (let at = 0; at < size; ) {
    const kind = random.below(10)
    const length = Math.min(size - at, random.between(1, 2 ** random.between(2, 13)))
    const end = at + length
    if (kind === 0) bytes.fill(random.below(256), at, end)
    else if (kind < 5 && at > 0) {
      const back = random.between(1, Math.min(at, 2 ** random.between(1, 18)))
      for (; at < end; at++) bytes[at] = bytes[at - back]!
    } else if (kind < 9) {
      for (; at < end; at++) bytes[at] = 97 + Math.min(random.below(26), random.below(26), random.below(26))
    } else for (; at < end; at++) bytes[at] = random.below(256)
    at = end
  }
  return bytes
}

export interface FrameOptions {
  readonly checksum?: boolean
  /** Content size in the header; true for the right one. */
  readonly contentSize?: boolean | number
  /** Exponent and eighths of the window. Default 2^17. */
  readonly window?: readonly [number, number]
  readonly block?: number
}

/** A zstd frame of raw blocks, and run-length blocks where a whole block is one byte over and over. */
export function storedFrame(plain: Buffer, options: FrameOptions = {}): Buffer {
  const { checksum = false, contentSize = false, window = [17, 0], block = 1000 } = options
  const blocks: Buffer[] = []
  for (let at = 0; at < Math.max(1, plain.length); at += block) {
    const piece = plain.subarray(at, at + block)
    const isRun = piece.length > 1 && piece.every((byte) => byte === piece[0])
    const last = at + block >= plain.length
    blocks.push(zstdBlock(isRun ? 1 : 0, last, isRun ? piece.subarray(0, 1) : piece, piece.length))
  }
  return Buffer.concat([
    frameHeader({ checksum, window, contentSize: contentSize === true ? plain.length : contentSize }),
    ...blocks,
    checksum ? checksumOf(plain) : Buffer.alloc(0),
  ])
}

export function frameHeader(options: {
  checksum?: boolean
  window?: readonly [number, number]
  contentSize?: number | false
}): Buffer {
  const { checksum = false, window: [exponent, eighths] = [17, 0], contentSize = false } = options
  const size = Buffer.alloc(contentSize === false ? 0 : 8)
  if (contentSize !== false) size.writeBigUInt64LE(BigInt(contentSize))
  const descriptor = (contentSize === false ? 0 : 0xc0) | (checksum ? 4 : 0)
  return Buffer.concat([
    Buffer.from('28b52ffd', 'hex'),
    Buffer.from([descriptor, ((exponent - 10) << 3) | eighths]),
    size,
  ])
}

export function zstdBlock(type: number, last: boolean, body: Buffer, size: number = body.length): Buffer {
  const header = Buffer.alloc(3)
  header.writeUIntLE((size << 3) | (type << 1) | (last ? 1 : 0), 0, 3)
  return Buffer.concat([header, body])
}

export function checksumOf(plain: Buffer): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(new Xxh64().update(plain).low32())
  return bytes
}

/** A skippable frame; `kind` is 0 to 15. */
export function skippable(body: Buffer | string, kind = 0): Buffer {
  const bytes = Buffer.from(body as string)
  const header = Buffer.alloc(8)
  header.writeUInt32LE(0x184d2a50 + kind, 0)
  header.writeUInt32LE(bytes.length, 4)
  return Buffer.concat([header, bytes])
}
