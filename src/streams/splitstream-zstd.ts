/**
 * The compressed sections of a splitstream, unpacked piece by piece.
 *
 * @packageDocumentation
 */
import { ComposefsError } from '../errors.ts'
import { invalidSplitstream, type Range, type SplitstreamFile } from './splitstream-format.ts'
import { zstdBackend } from './zstd-backend.ts'
import { ZstdFrameDecoder } from './zstd-frame-decoder.ts'
import { ZstdFrameWalker } from './zstd-frames.ts'
import type { ZstdFrameHeader } from './zstd-header.ts'

/** A frame all of whose blocks were found: bytes `start` to `end` of the file. */
interface Frame {
  readonly header: ZstdFrameHeader
  readonly start: number
  readonly end: number
  /** Most bytes of content. */
  readonly bound: number
}

/** Frames up to this content are decoded at once where something faster than JavaScript can do it. */
const atOnce = 8 * 1024 * 1024
/** Bytes of the file that are looked at together. */
const pieceSize = 1024 * 1024

/**
 * Decodes a section synchronously, in pieces of at most 8 MiB that may be kept.
 *
 * @throws {@link ComposefsError} `ERR_SPLITSTREAM_INVALID`; `ERR_LIMIT` and `ERR_COMPRESSION_UNSUPPORTED` for legal
 * frames that want too much memory, or a dictionary.
 */
export function* unpackSection(file: SplitstreamFile, range: Range): Generator<Buffer, void, undefined> {
  if (range.start === range.end) throw invalidSplitstream('a compressed section of a splitstream is empty', range.start)
  let at = range.start
  try {
    for (const frame of frames(file, range)) {
      at = frame.start
      yield* unpackFrame(file, frame)
    }
  } catch (error) {
    throw translate(error, at)
  }
}

function* frames(file: SplitstreamFile, range: Range): Generator<Frame, void, undefined> {
  const walker = new ZstdFrameWalker()
  let bound = 0
  for (const piece of piecesOf(file, range)) {
    for (const event of walker.push(piece)) {
      if (event.kind === 'frame') bound = 0
      else if (event.kind === 'blocks') bound = event.bound
      else {
        const { header, offset } = event
        yield { header, start: range.start + header.offset, end: range.start + offset, bound }
      }
    }
  }
  walker.finish()
}

function* unpackFrame(file: SplitstreamFile, frame: Frame): Generator<Buffer, void, undefined> {
  const { header, bound } = frame
  const backend = zstdBackend()
  if (backend.name !== 'javascript' && bound <= atOnce) {
    yield backend.decodeFrame(file.subarray(frame.start, frame.end), header, bound)
    return
  }
  const decoder = new ZstdFrameDecoder(header, bound)
  for (const piece of piecesOf(file, frame)) {
    for (const content of decoder.push(piece)) yield Buffer.from(content)
  }
  decoder.finish()
}

function* piecesOf(file: SplitstreamFile, { start, end }: Range): Generator<Buffer, void, undefined> {
  for (let at = start; at < end; at += pieceSize) yield file.subarray(at, Math.min(end, at + pieceSize))
}

function translate(error: unknown, at: number): unknown {
  const known = error instanceof ComposefsError
  if (known && error.code !== 'ERR_COMPRESSION_DATA' && error.code !== 'ERR_COMPRESSION_TRUNCATED') return error
  const text = error instanceof Error ? error.message : String(error)
  return invalidSplitstream(`a compressed section of a splitstream is damaged (${text})`, at, { cause: error })
}
