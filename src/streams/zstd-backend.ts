/**
 * Which zstd does the work: that of Node (22.15 and later), `zstd-napi` where it is installed, or the decoder in
 * JavaScript that comes with this package.
 *
 * @packageDocumentation
 */
import { createRequire } from 'node:module'
import type { Duplex } from 'node:stream'
import zlib from 'node:zlib'
import { type ByteDecoder, type DecoderOutput, StreamDecoder } from './byte-decoder.ts'
import { ZstdFrameDecoder, ZstdFrameStream } from './zstd-frame-decoder.ts'
import type { ZstdFrameHeader } from './zstd-header.ts'

/** Decodes single frames whose bounds are known, and compresses where it can. */
export interface ZstdBackend {
  /** `node`, `zstd-napi` or `javascript`. */
  readonly name: string
  /** Whether it wants its input block by block, since it decodes at once all it gets, whatever comes of it. */
  readonly eachBlock: boolean
  /** A whole frame. Throws anything; for more than `bound` bytes an error with the code `ERR_BUFFER_TOO_LARGE`. */
  decodeFrame(frame: Buffer, header: ZstdFrameHeader, bound: number): Buffer
  /** A frame that comes in pieces: its header first, then blocks, then the checksum. */
  openFrame(header: ZstdFrameHeader, output: DecoderOutput, translate: (error: Error) => Error): ByteDecoder
  /** One frame at level 3, without checksum. */
  compress?(bytes: Buffer): Buffer
  /** The same as a stream. */
  createCompressor?(): Duplex
}

interface NodeZstdOptions {
  readonly params?: { readonly [parameter: number]: number }
  readonly chunkSize?: number
  readonly maxOutputLength?: number
}

/** What Node 22.15 has and the types of Node 20 do not know. */
interface NodeZstd {
  createZstdCompress?(options: NodeZstdOptions): Duplex
  createZstdDecompress?(options: NodeZstdOptions): Duplex
  zstdDecompressSync?(bytes: Buffer, options: NodeZstdOptions): Buffer
  zstdCompressSync?(bytes: Buffer, options: NodeZstdOptions): Buffer
  constants: { ZSTD_d_windowLogMax?: number; ZSTD_c_compressionLevel?: number }
}

/** The part of zstd-napi that is used. */
interface ZstdNapi {
  DecompressStream: new (parameters: { windowLogMax: number }) => Duplex
  decompress(bytes: Buffer, parameters: { windowLogMax: number }): Buffer
  CompressStream: new (parameters: { compressionLevel: number }) => Duplex
  compress(bytes: Buffer, parameters: { compressionLevel: number }): Buffer
}

const level = 3
const chunkSize = 256 * 1024
/** The walker has checked the window against the caller's limit; the library gets what the format allows. */
const windowLog = (header: ZstdFrameHeader): number =>
  Math.min(31, Math.max(27, Math.ceil(Math.log2(Math.max(header.windowSize, 1)))))

const streamDecoder = (stream: Duplex, output: DecoderOutput, translate: (error: Error) => Error): ByteDecoder =>
  new StreamDecoder({ writable: stream, readable: stream }, output, translate)

/** Node's own, or undefined before 22.15. */
export function nodeZstd(): ZstdBackend | undefined {
  const { createZstdCompress, createZstdDecompress, zstdDecompressSync, zstdCompressSync, constants } =
    zlib as unknown as NodeZstd
  if (!createZstdCompress || !createZstdDecompress || !zstdDecompressSync || !zstdCompressSync) return undefined
  const params = { [constants.ZSTD_c_compressionLevel!]: level }
  const options = (header: ZstdFrameHeader): NodeZstdOptions => ({
    params: { [constants.ZSTD_d_windowLogMax!]: windowLog(header) },
  })
  return {
    name: 'node',
    eachBlock: false,
    decodeFrame: (frame, header, bound) =>
      zstdDecompressSync(frame, { ...options(header), maxOutputLength: Math.max(bound, 1) }),
    openFrame: (header, output, translate) =>
      streamDecoder(createZstdDecompress({ ...options(header), chunkSize }), output, translate),
    compress: (bytes) => zstdCompressSync(bytes, { params }),
    createCompressor: () => createZstdCompress({ params, chunkSize }),
  }
}

/** `zstd-napi`, or undefined where it is not installed. */
export function napiZstd(): ZstdBackend | undefined {
  let napi: ZstdNapi
  try {
    napi = createRequire(import.meta.url)('zstd-napi') as ZstdNapi
  } catch {
    return undefined
  }
  return {
    name: 'zstd-napi',
    eachBlock: true,
    // It allocates what the frame promises, and without a promise whatever is needed.
    decodeFrame: (frame, header, bound) =>
      (header.contentSize ?? Number.POSITIVE_INFINITY) > bound
        ? ZstdFrameDecoder.decode(frame, header, bound)
        : napi.decompress(frame, { windowLogMax: windowLog(header) }),
    openFrame: (header, output, translate) =>
      streamDecoder(new napi.DecompressStream({ windowLogMax: windowLog(header) }), output, translate),
    compress: (bytes) => napi.compress(bytes, { compressionLevel: level }),
    createCompressor: () => new napi.CompressStream({ compressionLevel: level }),
  }
}

/** The decoder of this package. It cannot compress. */
export function javaScriptZstd(): ZstdBackend {
  return {
    name: 'javascript',
    eachBlock: false,
    decodeFrame: (frame, header, bound) => ZstdFrameDecoder.decode(frame, header, bound),
    openFrame: (header, output, translate) => new ZstdFrameStream(header, output, translate),
  }
}

let chosen: ZstdBackend | undefined

/** The best there is. */
export function zstdBackend(): ZstdBackend {
  chosen ??= nodeZstd() ?? napiZstd() ?? javaScriptZstd()
  return chosen
}
