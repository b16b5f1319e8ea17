/**
 * Splitstream files to chunks.
 *
 * @packageDocumentation
 */
import type { TransformCallback } from 'node:stream'
import { ComposefsError } from '../errors.ts'
import type { Algorithm, ObjectId } from '../fsverity/object-id.ts'
import { readChunks, type SplitstreamChunk } from './splitstream-chunks.ts'
import {
  parseSplitstreamInfo,
  type Range,
  type SplitstreamExpectations,
  type SplitstreamFile,
} from './splitstream-format.ts'
import { decodeNames, decodeRefs } from './splitstream-refs.ts'
import { unpackSection } from './splitstream-zstd.ts'
import { type Emit, type Machine, Stage } from './stage.ts'

/** A splitstream that was read. Its chunks may be views of the file: leave that as it is. */
export interface Splitstream {
  readonly algorithm: Algorithm
  /** One of {@link contentTypes}, or any other number. */
  readonly contentType: bigint
  /** Bytes of the reassembled file, as stated. */
  readonly streamSize: number
  /** Other streams, and images, that this one refers to, named or not. */
  readonly streamRefs: readonly ObjectId[]
  /** Objects that its chunks may be. */
  readonly objectRefs: readonly ObjectId[]
  readonly namedRefs: ReadonlyMap<string, ObjectId>
  /**
   * The contents in order, unpacked as they are asked for. May be called again.
   *
   * @throws {@link ComposefsError} `ERR_SPLITSTREAM_INVALID`.
   */
  chunks(): Generator<SplitstreamChunk, void, undefined>
}

/** What a reader insists on, and its limits. */
export interface SplitstreamOptions extends SplitstreamExpectations {
  /** Most bytes that the names of references may take up. Default 16 MiB. */
  readonly maxNames?: number
}

/** What {@link SplitstreamReader} insists on, and its limits. */
export interface SplitstreamReaderOptions extends SplitstreamOptions {
  /** Largest file in bytes; it is held in memory. Default 1 GiB. */
  readonly maxFileSize?: number
}

const stage = 'SplitstreamReader'

/**
 * Reads a splitstream: everything but the chunks at once.
 *
 * @param file a Buffer, or anything with `length` and `subarray` that reads what it is asked for
 *
 * @throws {@link ComposefsError} `ERR_SPLITSTREAM_INVALID`, `ERR_SPLITSTREAM_OLD`, `ERR_SPLITSTREAM_ALGORITHM`,
 * `ERR_SPLITSTREAM_CONTENT_TYPE`, `ERR_LIMIT`.
 *
 * @example
 * ```ts
 * import { readFileSync } from 'node:fs'
 * import { contentTypes, parseSplitstream } from 'composefs-streams/streams'
 *
 * const layer = parseSplitstream(readFileSync('layer.splitstream'), { contentType: contentTypes.layer })
 * for (const chunk of layer.chunks()) chunk.kind === 'inline' ? chunk.bytes.length : chunk.id.path
 * ```
 */
export function parseSplitstream(file: SplitstreamFile, options: SplitstreamOptions = {}): Splitstream {
  const info = parseSplitstreamInfo(file, options)
  const { algorithm, contentType, streamSize } = info
  const section = ({ start, end }: Range): Buffer => file.subarray(start, end)
  const streamRefs = decodeRefs(section(info.streamRefs), algorithm, info.streamRefs.start)
  const objectRefs = decodeRefs(section(info.objectRefs), algorithm, info.objectRefs.start)
  const names = gather(unpackSection(file, info.namedRefs), options.maxNames ?? 16 * 1024 * 1024)
  const namedRefs = decodeNames(names, streamRefs, info.namedRefs.start)
  const bounds = { objectRefs, streamSize, offset: info.stream.start }
  const chunks = () => readChunks(unpackSection(file, info.stream), bounds)
  return { algorithm, contentType, streamSize, streamRefs, objectRefs, namedRefs, chunks }
}

function gather(pieces: Iterable<Buffer>, max: number): Buffer {
  const all: Buffer[] = []
  let size = 0
  for (const piece of pieces) {
    size += piece.length
    if (size > max) {
      throw new ComposefsError('ERR_LIMIT', 'the names of a splitstream take up too much', {
        stage,
        expected: `at most ${max} bytes`,
        hint: 'raise maxNames if the file can be trusted',
      })
    }
    all.push(piece)
  }
  return Buffer.concat(all)
}

/** The logic of {@link SplitstreamReader}. Holds the file. */
export class SplitstreamReaderMachine implements Machine<Buffer, SplitstreamChunk> {
  readonly #options: SplitstreamReaderOptions
  readonly #maxFileSize: number
  #pieces: Buffer[] = []
  #size = 0

  constructor(options: SplitstreamReaderOptions = {}) {
    this.#options = options
    this.#maxFileSize = options.maxFileSize ?? 1024 ** 3
  }

  push(bytes: Buffer): void {
    this.#size += bytes.length
    if (this.#size > this.#maxFileSize) {
      throw new ComposefsError('ERR_LIMIT', 'a splitstream file is too large', {
        stage,
        expected: `at most ${this.#maxFileSize} bytes`,
        hint: 'raise maxFileSize if the file can be trusted',
      })
    }
    this.#pieces.push(Buffer.from(bytes))
  }

  finish(emit: Emit<SplitstreamChunk>): void {
    for (const chunk of this.chunks()) emit(chunk)
  }

  /** Instead of `finish`: the chunks, unpacked as they are asked for. */
  chunks(): Generator<SplitstreamChunk, void, undefined> {
    const file = Buffer.concat(this.#pieces)
    this.#pieces = []
    return parseSplitstream(file, this.#options).chunks()
  }
}

/**
 * Reads a splitstream file and hands out its chunks once all of it has come, no faster than they are taken.
 *
 * The file as it is stored is held in memory, its unpacked contents are not. Use {@link parseSplitstream} for the
 * references, or where the file is in memory already.
 *
 * Errors: those of {@link parseSplitstream}.
 *
 * @example
 * ```ts
 * import { createReadStream } from 'node:fs'
 * import { SplitstreamReader } from 'composefs-streams/streams'
 *
 * for await (const chunk of createReadStream('layer.splitstream').pipe(new SplitstreamReader())) {
 *   if (chunk.kind === 'external') chunk.id.path
 * }
 * ```
 */
export class SplitstreamReader extends Stage<Buffer, SplitstreamChunk> {
  declare readonly machine: SplitstreamReaderMachine
  #resume: (() => void) | undefined

  constructor(options: SplitstreamReaderOptions = {}) {
    super(new SplitstreamReaderMachine(options), { input: 'bytes', output: 'records' })
  }

  override _flush(callback: TransformCallback): void {
    let chunks: Generator<SplitstreamChunk, void, undefined> | undefined
    const fill = (): void => {
      this.#resume = undefined
      try {
        chunks ??= this.machine.chunks()
        while (!this.destroyed) {
          const next = chunks.next()
          if (next.done === true) break
          if (this.push(next.value)) continue
          // All chunks may be many times the file; the rest waits until somebody reads.
          this.#resume = fill
          return
        }
      } catch (error) {
        callback(error as Error)
        return
      }
      callback()
    }
    fill()
  }

  override _read(size: number): void {
    if (this.#resume === undefined) super._read(size)
    else this.#resume()
  }
}
