/**
 * Contents out of the stream and into an object store.
 *
 * @packageDocumentation
 */
import type { TransformCallback } from 'node:stream'
import { ComposefsError } from '../errors.ts'
import { DigestThread } from '../fsverity/digest-thread.ts'
import type { ObjectId } from '../fsverity/object-id.ts'
import { batchSize, DigestBatches } from './digest-batches.ts'
import type { Content, Entry, ObjectSink, ObjectStore, SplitRecord, StoredRecord } from './records.ts'
import { Slab } from './slab.ts'
import { AsyncStage, assertRecord, recordHighWaterMark } from './stage.ts'

/** Options of {@link ObjectWriter}. */
export interface ObjectWriterOptions {
  /** Bodies up to this many bytes are gathered and stored at once; larger ones stream. Default 1 MiB. */
  readonly gather?: number
  /** How many bodies an asynchronous store may be busy with. Default 16. */
  readonly inFlight?: number
}

const none: Content = { type: 'none' }
const defaultGather: number = batchSize
/** Records that may wait behind a slow body. */
const maxQueued = 256
/** Bytes of bodies after which another thread hashes: for less it is not worth starting. */
const threadAfter = 8 * 1024 * 1024

/** A body that is being received: into memory that is nobody else's, or into a sink. */
interface Open {
  readonly size: number
  received: number
  /** Undefined until there is room for it. */
  bytes: Buffer | undefined
  /** Whether `bytes` is part of the batch. */
  readonly batched: boolean
  readonly sink: ObjectSink | undefined
}

/** A record that waits for the id of a body of its batch. */
type Waiting = { readonly index: number; readonly size: number; readonly entry: Entry | undefined }

/**
 * Stores every external body in an {@link ObjectStore} and hands on its id in its place. Records keep their order,
 * also where several bodies are on their way at once.
 *
 * Errors: those of the store; `ERR_STREAM_ORDER` for records that no ContentSplitter emits. Bodies that were stored
 * before an error stay in the store, which is content-addressed; one that was being received is dropped.
 *
 * @example
 * ```ts
 * import { ContentSplitter, ObjectWriter, PaxParser, pipeline, TarDecoder } from 'composefs-streams/streams'
 * import type { ObjectStore } from 'composefs-streams/streams'
 * import { TreeSink } from 'composefs-streams/sinks'
 *
 * const treeOf = (store: ObjectStore, tar: AsyncIterable<Buffer>) =>
 *   pipeline(tar, new TarDecoder(), new PaxParser(), new ContentSplitter(), new ObjectWriter(store), new TreeSink())
 * ```
 */
export class ObjectWriter extends AsyncStage<SplitRecord, StoredRecord> {
  readonly #store: ObjectStore
  readonly #gather: number
  readonly #inFlight: number
  /** The body that is being received. */
  #open: Open | undefined
  /** Of the last body, until its entry comes; `id` may be its number in the batch. */
  #stored: { id: ObjectId | Promise<ObjectId> | number; size: number } | undefined
  /** Settles when everything before it was handed on; undefined while nothing is in flight. */
  #tail: Promise<void> | undefined
  #pending = 0
  /** Records that wait for their turn behind a body in flight. */
  #queued = 0
  /** Bytes of the bodies so far. */
  #bytes = 0
  #thread: DigestThread | undefined
  /** Once there is a thread that hashes, everything goes through its batches. */
  #batches: DigestBatches<StoredRecord | Waiting> | undefined
  readonly #slab = new Slab()

  constructor(store: ObjectStore, options: ObjectWriterOptions = {}) {
    super({ objectMode: true, highWaterMark: recordHighWaterMark })
    this.#store = store
    this.#gather = options.gather ?? defaultGather
    this.#inFlight = options.inFlight ?? 16
  }

  override _transform(record: SplitRecord, _encoding: BufferEncoding, callback: TransformCallback): void {
    let wait: void | Promise<unknown>
    try {
      assertRecord(record, 'ObjectWriter')
      wait = this.#take(record)
    } catch (error) {
      callback(error as Error)
      return
    }
    // Without a limit all that comes behind a slow body would gather here.
    if (wait === undefined && this.#queued >= maxQueued) wait = this.#tail
    if (wait === undefined) callback()
    else wait.then(() => callback(), callback)
  }

  override _flush(callback: TransformCallback): void {
    if (this.#open !== undefined) {
      callback(outOfOrder('the end of input'))
      return
    }
    const rest = this.#batches?.finish() ?? this.#tail
    if (rest === undefined) callback()
    else rest.then(() => callback(), callback)
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    const sink = this.#open?.sink
    this.#open = undefined
    const ends = [sink?.abort(), this.#batches?.close(), this.#thread?.close()]
    Promise.all(ends).then(() => callback(error), callback)
  }

  #take(record: SplitRecord): void | Promise<unknown> {
    switch (record.kind) {
      case 'inline':
        this.#handOn(record)
        return this.#stored === undefined ? this.#makeRoom() : undefined
      case 'entry':
        return this.#entry(record)
      case 'external-open':
        return this.#begin(record.size)
      case 'external-data':
        return this.#receive(record.chunk)
      case 'external-close':
        return this.#end()
      default:
        throw outOfOrder(String((record as { kind: unknown }).kind))
    }
  }

  #begin(size: number): void | Promise<void> {
    if (this.#open !== undefined) throw outOfOrder('external-open')
    const gathers = size <= this.#gather
    const batches = this.#startBatches(size)
    const batched = gathers && batches !== undefined && size <= batchSize
    const sink = gathers ? undefined : this.#store.create(size)
    const open: Open = { size, received: 0, bytes: undefined, batched, sink }
    this.#open = open
    if (batched) {
      const reserve = (): void => {
        open.bytes = batches.reserve(size)
      }
      if (!batches.hasRoom(size)) return batches.next().then(reserve)
      reserve()
    } else if (gathers) open.bytes = this.#slab.take(size)
  }

  #receive(chunk: Buffer): void | Promise<void> {
    const open = this.#open
    if (open === undefined) throw outOfOrder('external-data')
    const at = open.received
    open.received += chunk.length
    if (open.received > open.size) throw wrongSize(open.size, open.received)
    if (open.sink === undefined) open.bytes!.set(chunk, at)
    else return open.sink.write(this.#store.borrows === true ? chunk : Buffer.from(chunk))
  }

  #end(): void | Promise<unknown> {
    const open = this.#open
    if (open === undefined) throw outOfOrder('external-close')
    if (open.received !== open.size) throw wrongSize(open.size, open.received)
    const { bytes, size } = open
    this.#open = undefined
    const batches = this.#batches
    if (batches !== undefined && open.batched) {
      const index = batches.addReserved(size)
      this.#stored = { id: index, size }
      batches.push({ index, size, entry: undefined })
      return
    }
    const id = open.sink === undefined ? this.#store.put(bytes!) : open.sink.finish()
    if (batches !== undefined && id instanceof Promise) {
      return id.then((id) => {
        this.#stored = { id, size }
        batches.push({ kind: 'external', id, size })
      })
    }
    this.#stored = { id, size }
    if (!(id instanceof Promise)) {
      this.#handOn({ kind: 'external', id, size })
      return
    }
    this.#pending++
    const done = id.finally(() => this.#pending--)
    // Where it fails before its turn comes, the stage must not wait for the rest.
    done.catch((error: Error) => this.destroy(error))
    this.#after(() => done.then((id) => void this.push({ kind: 'external', id, size })))
    return this.#pending >= this.#inFlight ? this.#tail : undefined
  }

  /** The batches, if it is time for them and nothing is in flight without them. */
  #startBatches(size: number): DigestBatches<StoredRecord | Waiting> | undefined {
    this.#bytes += size
    if (this.#batches !== undefined || this.#bytes < threadAfter || this.#tail !== undefined) return this.#batches
    if (this.#store.takesIds !== true || this.#thread !== undefined) return undefined
    this.#thread = DigestThread.start(this.#store.algorithm)
    if (this.#thread === undefined) {
      this.#bytes = Number.NEGATIVE_INFINITY
      return undefined
    }
    this.#batches = new DigestBatches(
      () => this.#thread,
      this.#store,
      (item, ids) => {
        if ('kind' in item) this.push(item)
        else this.push(complete(item, ids))
      },
    )
    return this.#batches
  }

  #entry({ entry, body }: SplitRecord & { kind: 'entry' }): void | Promise<void> {
    const stored = this.#stored
    this.#stored = undefined
    if (stored === undefined) {
      const content: Content = body === undefined || entry.type !== 'file' ? none : { type: 'inline', bytes: body }
      this.#handOn({ kind: 'entry', entry, content })
    } else {
      const { id, size } = stored
      if (typeof id === 'number') this.#batches!.push({ index: id, size, entry })
      else if (!(id instanceof Promise)) {
        this.#handOn({ kind: 'entry', entry, content: { type: 'external', id, size } })
      } else {
        this.#after(() =>
          id.then((id) => void this.push({ kind: 'entry', entry, content: { type: 'external', id, size } })),
        )
      }
    }
    return this.#makeRoom()
  }

  /** Not between a body and its entry, which have to be in one batch. */
  #makeRoom(): void | Promise<void> {
    if (this.#batches?.hasRoom(0) === false) return this.#batches.next()
  }

  #handOn(record: StoredRecord): void {
    if (this.#batches === undefined && this.#tail === undefined) {
      this.push(record)
      return
    }
    // It will wait, and a header would keep the whole chunk that it came in.
    const kept: StoredRecord =
      record.kind === 'inline' ? { kind: 'inline', bytes: this.#slab.copy(record.bytes) } : record
    if (this.#batches === undefined) this.#after(() => void this.push(kept))
    else this.#batches.push(kept, kept.kind === 'inline' ? kept.bytes.length : 0)
  }

  #after(step: () => void | Promise<void>): void {
    const tail = (this.#tail ?? Promise.resolve()).then(step)
    this.#tail = tail
    this.#queued++
    const settled = (): void => {
      this.#queued--
      if (this.#tail === tail) this.#tail = undefined
    }
    tail.then(settled, settled)
  }
}

/** What was waiting for the ids of its batch. */
function complete({ index, size, entry }: Waiting, ids: readonly ObjectId[]): StoredRecord {
  const id = ids[index]!
  return entry === undefined
    ? { kind: 'external', id, size }
    : { kind: 'entry', entry, content: { type: 'external', id, size } }
}

function outOfOrder(what: string): ComposefsError {
  return new ComposefsError('ERR_STREAM_ORDER', `${what} came where no ContentSplitter puts it`, {
    stage: 'ObjectWriter',
  })
}

function wrongSize(expected: number, actual: number): ComposefsError {
  return new ComposefsError('ERR_SIZE_MISMATCH', 'a body has another size than announced', {
    stage: 'ObjectWriter',
    expected,
    actual,
  })
}
