/**
 * Stored records to a splitstream file.
 *
 * @packageDocumentation
 */
import { ComposefsError } from '../errors.ts'
import type { Algorithm, ObjectId } from '../fsverity/object-id.ts'
import { ByteGatherer } from './byte-gatherer.ts'
import { FrameQueue } from './frame-queue.ts'
import type { StoredRecord } from './records.ts'
import { contentTypes, encodeSplitstreamInfo } from './splitstream-format.ts'
import { encodeNames, RefTable } from './splitstream-refs.ts'
import { type Emit, type Machine, Stage } from './stage.ts'
import { encodeZstd } from './zstd-encoder.ts'

/** What a splitstream is, beside its chunks. */
export interface SplitstreamWriterOptions {
  /** Hash of the repository that it is for. */
  readonly algorithm: Algorithm
  /** Default `contentTypes.layer`. */
  readonly contentType?: bigint
  /** References without a name. They keep no object from being collected as garbage. */
  readonly streamRefs?: Iterable<ObjectId>
  /** References with names, behind those without; where a name is given twice the last id wins. */
  readonly namedRefs?: Iterable<readonly [name: string, id: ObjectId]>
  /**
   * Inline bytes that may be gathered, in bytes, before a chunk is written at the end of an entry. Default 8 MiB.
   * Twice as much is held for bytes that belong to no entry, or to one that large.
   */
  readonly maxInlineChunk?: number
}

/** Sums of what went into a splitstream. */
export interface SplitstreamTotals {
  /** External chunks. */
  readonly externalObjects: number
  readonly externalSize: number
  readonly inlineSize: number
  /** Bytes of the reassembled file. */
  readonly streamSize: number
}

/**
 * Bytes of the stream section that make one zstd frame. Frames of their own keep the memory bounded and the stage
 * synchronous.
 */
const frameSize = 1024 * 1024
const wordSize = 8
const blockSize = 512

/**
 * The logic of {@link SplitstreamWriter}. Holds the compressed stream section, since the header in front of it tells its
 * size, and at most one inline chunk uncompressed.
 */
export class SplitstreamWriterMachine implements Machine<StoredRecord, Buffer> {
  readonly #options: SplitstreamWriterOptions
  readonly #maxInline: number
  readonly #streamRefs: RefTable
  readonly #objectRefs: RefTable
  readonly #names = new Map<string, number>()
  readonly #frames: FrameQueue
  /** The stream section that is not compressed yet. An inline chunk at its end is open. */
  readonly #section: ByteGatherer = new ByteGatherer()
  readonly #word: Buffer = Buffer.alloc(wordSize)
  /** Where the count of the open inline chunk stands in the section; -1 if none is open. */
  #open = -1
  #externalObjects = 0
  #externalSize = 0
  #inlineSize = 0

  /**
   * @param frames where the compressed stream section waits for the header. Default: in memory.
   * @throws {@link ComposefsError} `ERR_ARGUMENT`, and `ERR_ALGORITHM_MISMATCH` for a reference of the other hash.
   */
  constructor(options: SplitstreamWriterOptions, frames: FrameQueue = new FrameQueue()) {
    this.#options = options
    this.#frames = frames
    this.#maxInline = options.maxInlineChunk ?? 8 * 1024 * 1024
    if (!Number.isInteger(this.#maxInline) || this.#maxInline < blockSize || this.#maxInline > 2 ** 29) {
      throw new ComposefsError('ERR_ARGUMENT', `maxInlineChunk must be from 512 to 536870912, not ${this.#maxInline}`)
    }
    this.#streamRefs = new RefTable(options.algorithm)
    this.#objectRefs = new RefTable(options.algorithm)
    for (const id of options.streamRefs ?? []) this.#streamRefs.add(id)
    for (const [name, id] of options.namedRefs ?? []) this.#names.set(name, this.#streamRefs.add(id))
  }

  /** Sums up to now. */
  get totals(): SplitstreamTotals {
    return {
      externalObjects: this.#externalObjects,
      externalSize: this.#externalSize,
      inlineSize: this.#inlineSize,
      streamSize: this.#externalSize + this.#inlineSize,
    }
  }

  /** Emits nothing, so nothing has to be given for it: the header needs the totals. */
  push(record: StoredRecord, _emit?: Emit<Buffer>): void {
    switch (record.kind) {
      case 'inline':
        this.#inline(record.bytes)
        return
      case 'external': {
        this.#close()
        this.#count(this.#objectRefs.add(record.id))
        this.#section.append(this.#word)
        this.#externalObjects++
        this.#externalSize += record.size
        if (this.#section.length >= frameSize) this.#compress(frameSize)
        return
      }
      case 'entry':
        // Between two entries, since other readers want the headers of one, or a small body, in one chunk.
        if (this.#open !== -1 && this.#openSize() > this.#maxInline) this.#close()
        return
    }
  }

  finish(emit: Emit<Buffer>): void {
    emit(this.finishHead())
    for (const frame of this.#frames) emit(frame)
    this.#frames.close()
  }

  /** Instead of `finish`: what stands before the frames, which are complete then. */
  finishHead(): Buffer {
    this.#close()
    if (this.#section.length > 0 || this.#frames.size === 0) this.#compress(1)
    const streamRefs = this.#streamRefs.encode()
    const objectRefs = this.#objectRefs.encode()
    const namedRefs = encodeZstd(encodeNames(this.#names))
    const { algorithm, contentType = contentTypes.layer } = this.#options
    const info = encodeSplitstreamInfo(
      { algorithm, contentType, streamSize: this.totals.streamSize },
      {
        streamRefs: streamRefs.length,
        objectRefs: objectRefs.length,
        namedRefs: namedRefs.length,
        stream: this.#frames.size,
      },
    )
    return Buffer.concat([info, streamRefs, objectRefs, namedRefs])
  }

  #inline(bytes: Buffer): void {
    // Cut by position and not by piece, so that the chunks do not depend on how the input was cut.
    let rest = bytes
    while (rest.length > 0) {
      if (this.#open === -1) {
        this.#open = this.#section.length
        this.#section.append(this.#word)
      }
      const position = this.#externalSize + this.#inlineSize
      const start = position - this.#openSize()
      const limit = start + 2 * this.#maxInline
      const room = limit - (limit % blockSize) - position
      const part = rest.length <= room ? rest : rest.subarray(0, room)
      this.#section.append(part)
      this.#inlineSize += part.length
      if (part.length === room) this.#close()
      rest = rest.subarray(part.length)
    }
  }

  #openSize(): number {
    return this.#section.length - this.#open - wordSize
  }

  #close(): void {
    if (this.#open === -1) return
    this.#count(-this.#openSize())
    this.#word.copy(this.#section.bytes, this.#open)
    this.#open = -1
    if (this.#section.length >= frameSize) this.#compress(frameSize)
  }

  #count(value: number): void {
    this.#word.writeInt32LE(value, 0)
    this.#word.writeInt32LE(value < 0 ? -1 : 0, 4)
  }

  /** Compresses frame by frame until less than `least` bytes are left. */
  #compress(least: number): void {
    const { bytes } = this.#section
    let at = 0
    do {
      this.#frames.push(encodeZstd(bytes.subarray(at, at + frameSize)))
      at = Math.min(at + frameSize, bytes.length)
    } while (bytes.length - at >= least)
    this.#section.clear(at)
  }
}

/**
 * Writes a splitstream: what stays inline, and references to what became an object (spec: splitstream, section 1).
 * Reads the output of ObjectWriter; `entry` records tell it where chunks may be cut.
 *
 * The same records give the same bytes, however the input was cut, on every platform; only the zstd compressor matters
 * (see {@link encodeZstd}). Nothing comes out before the end, since the header holds the sizes. Memory: the compressed
 * stream section, the ids, and a few times `maxInlineChunk`.
 *
 * Errors: `ERR_ALGORITHM_MISMATCH` for an object id of the other hash, `ERR_ARGUMENT`.
 *
 * @example
 * ```ts
 * import { SplitstreamWriter } from 'composefs-streams/streams'
 *
 * const writer = new SplitstreamWriter({ algorithm: 'sha256' })
 * writer.end({ kind: 'inline', bytes: Buffer.alloc(1024) })
 * const file = Buffer.concat(await writer.toArray())
 * writer.totals.streamSize // 1024
 * ```
 */
export class SplitstreamWriter extends Stage<StoredRecord, Buffer> {
  declare readonly machine: SplitstreamWriterMachine

  constructor(options: SplitstreamWriterOptions) {
    super(new SplitstreamWriterMachine(options), { input: 'records', output: 'bytes' })
  }

  /** Sums, final once the stage has ended. */
  get totals(): SplitstreamTotals {
    return this.machine.totals
  }
}

/** Contents of a splitstream that is made at once. */
export type SplitstreamBody =
  | { readonly type: 'external'; readonly id: ObjectId; readonly size: number }
  | { readonly type: 'inline'; readonly bytes: Buffer }

/**
 * A whole splitstream of one chunk. Configs and manifests are one external object each, also small ones.
 *
 * @example
 * ```ts
 * import { ObjectId } from 'composefs-streams/fsverity'
 * import { contentTypes, encodeSplitstream } from 'composefs-streams/streams'
 *
 * const id = ObjectId.fromHex('1e2eaa4202d750a41174ee454970b92c1bc2f925b1e35076d8c7d5f56362ba64')
 * const body = { type: 'external', id, size: 237 } as const
 * encodeSplitstream({ algorithm: 'sha256', contentType: contentTypes.config, body })
 * ```
 */
export function encodeSplitstream(options: SplitstreamWriterOptions & { readonly body: SplitstreamBody }): Buffer {
  const { body, ...rest } = options
  const parts: Buffer[] = []
  const emit = (part: Buffer): void => {
    parts.push(part)
  }
  const machine = new SplitstreamWriterMachine(rest)
  if (body.type === 'inline') machine.push({ kind: 'inline', bytes: body.bytes })
  else machine.push({ kind: 'external', id: body.id, size: body.size })
  machine.finish(emit)
  return Buffer.concat(parts)
}
