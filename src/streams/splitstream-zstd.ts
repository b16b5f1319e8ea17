/**
 * The compressed sections of a splitstream, unpacked piece by piece.
 *
 * @packageDocumentation
 */
import { ComposefsError } from '../errors.ts'
import { invalidSplitstream, type Range } from './splitstream-format.ts'
import { zstdBackend } from './zstd-backend.ts'
import { ZstdFrameDecoder } from './zstd-frame-decoder.ts'
import { ZstdFrameWalker } from './zstd-frames.ts'
import type { ZstdFrameHeader } from './zstd-header.ts'

/** A frame all of whose blocks were found. */
interface Frame {
  readonly header: ZstdFrameHeader
  readonly bytes: Buffer
  /** Most bytes of content. */
  readonly bound: number
}

/** Frames up to this content are decoded at once where something faster than JavaScript can do it. */
const atOnce = 8 * 1024 * 1024

/**
 * Decodes a section synchronously, in pieces of at most 8 MiB that may be kept.
 *
 * @throws {@link ComposefsError} `ERR_SPLITSTREAM_INVALID`; `ERR_LIMIT` and `ERR_COMPRESSION_UNSUPPORTED` for legal
 * frames that want too much memory, or a dictionary.
 */
export function* unpackSection(file: Buffer, range: Range): Generator<Buffer, void, undefined> {
  if (range.start === range.end) throw invalidSplitstream('a compressed section of a splitstream is empty', range.start)
  let at = range.start
  try {
    for (const frame of frames(file.subarray(range.start, range.end))) {
      at = range.start + frame.header.offset
      yield* unpackFrame(frame)
    }
  } catch (error) {
    throw translate(error, at)
  }
}

function* frames(section: Buffer): Generator<Frame, void, undefined> {
  const walker = new ZstdFrameWalker()
  let start = 0
  let end = 0
  let bound = 0
  for (const event of walker.push(section)) {
    if (event.kind === 'frame') {
      start = event.header.offset
      end = start
      bound = 0
    }
    end += event.bytes.length
    if (event.kind === 'blocks') bound = event.bound
    if (event.kind === 'end') yield { header: event.header, bytes: section.subarray(start, end), bound }
  }
  walker.finish()
}

function* unpackFrame({ header, bytes, bound }: Frame): Generator<Buffer, void, undefined> {
  const backend = zstdBackend()
  if (backend.name !== 'javascript' && bound <= atOnce) {
    yield backend.decodeFrame(bytes, header, bound)
    return
  }
  const decoder = new ZstdFrameDecoder(header, bound)
  for (const content of decoder.push(bytes)) yield Buffer.from(content)
  decoder.finish()
}

function translate(error: unknown, at: number): unknown {
  const known = error instanceof ComposefsError
  if (known && error.code !== 'ERR_COMPRESSION_DATA' && error.code !== 'ERR_COMPRESSION_TRUNCATED') return error
  const text = error instanceof Error ? error.message : String(error)
  return invalidSplitstream(`a compressed section of a splitstream is damaged (${text})`, at, { cause: error })
}
