/**
 * The end of a pipeline that makes a splitstream.
 *
 * @packageDocumentation
 */
import { Writable } from 'node:stream'
import type { ObjectId } from '../fsverity/object-id.ts'
import { FrameQueue } from '../streams/frame-queue.ts'
import type { Sink } from '../streams/pipeline.ts'
import type { ObjectStore, StoredRecord } from '../streams/records.ts'
import { SplitstreamWriterMachine, type SplitstreamWriterOptions } from '../streams/splitstream-writer.ts'
import { recordHighWaterMark } from '../streams/stage.ts'
import { deferred } from './deferred.ts'

/** A finished splitstream, which is not stored yet. */
export interface FinishedSplitstream {
  /** Length of the splitstream itself. */
  readonly length: number
  /** Length of what it stands for: the tar. */
  readonly streamSize: number
  /** Bytes of that in the splitstream itself, and not in objects of their own. */
  readonly inlineSize: number
  /**
   * Stores it. What it is called in a repository, a transaction says.
   *
   * @param store default: that of the sink
   */
  store(store?: ObjectStore): Promise<ObjectId>
  /** Lets go of it, once it was stored or is not wanted: a large one is in a temporary file of the store. */
  discard(): void
}

/**
 * Writes a splitstream of everything it takes, and hands it over for storing: whether it is wanted often turns out last.
 *
 * @example
 * ```ts
 * import { ContentSplitter, type ObjectStore, ObjectWriter, PaxParser, pipeline, TarDecoder } from 'composefs-streams/streams'
 * import { SplitstreamSink } from 'composefs-streams/sinks'
 *
 * const store = async (objects: ObjectStore, tar: AsyncIterable<Buffer>) => {
 *   const split = new ContentSplitter()
 *   const sink = new SplitstreamSink(objects)
 *   const stream = await pipeline(tar, new TarDecoder(), new PaxParser(), split, new ObjectWriter(objects), sink)
 *   return stream.store().finally(() => stream.discard())
 * }
 * ```
 */
export class SplitstreamSink extends Writable implements Sink<StoredRecord, FinishedSplitstream> {
  declare readonly '~takes'?: ((input: StoredRecord) => void) | undefined
  readonly result: Promise<FinishedSplitstream>
  readonly #deferred = deferred<FinishedSplitstream>()
  readonly #store: ObjectStore
  readonly #frames: FrameQueue
  readonly #machine: SplitstreamWriterMachine

  constructor(store: ObjectStore, options: Omit<SplitstreamWriterOptions, 'algorithm'> = {}) {
    super({ objectMode: true, highWaterMark: recordHighWaterMark })
    this.result = this.#deferred.promise
    this.#store = store
    this.#frames = new FrameQueue(store.openScratch && (() => store.openScratch!()))
    this.#machine = new SplitstreamWriterMachine({ ...options, algorithm: store.algorithm }, this.#frames)
  }

  override _write(record: StoredRecord, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    try {
      // Everything comes out at the end: the header needs the totals.
      this.#machine.push(record)
    } catch (error) {
      callback(error as Error)
      return
    }
    callback()
  }

  override _final(callback: (error?: Error | null) => void): void {
    const frames = this.#frames
    try {
      const head = this.#machine.finishHead()
      const length = head.length + frames.size
      const { streamSize, inlineSize } = this.#machine.totals
      const store = (store = this.#store) => storeChunks(store, length, head, frames)
      this.#deferred.resolve({ length, streamSize, inlineSize, store, discard: () => frames.close() })
    } catch (error) {
      callback(error as Error)
      return
    }
    callback()
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    if (error !== null) this.#frames.close()
    this.#deferred.abandon(error, 'SplitstreamSink')
    callback(error)
  }
}

async function storeChunks(store: ObjectStore, length: number, head: Buffer, frames: FrameQueue): Promise<ObjectId> {
  const sink = store.create(length)
  try {
    await sink.write(head)
    for (const frame of frames) await sink.write(frame)
    return await sink.finish()
  } catch (error) {
    await sink.abort()
    throw error
  }
}
