/**
 * The records of a scan, their contents stored.
 *
 * @packageDocumentation
 */
import { ComposefsError } from '../errors.ts'
import { DigestThread } from '../fsverity/digest-thread.ts'
import type { ObjectId } from '../fsverity/object-id.ts'
import {
  type Content,
  type Entry,
  type EntryRecord,
  inlineLimit,
  type ObjectSink,
  type ObjectStore,
} from '../streams/records.ts'
import { chunkSize, type TakeMemory } from './body-reader.ts'

/** One is filled, one hashed, one stored, and one waits. */
const maxBatches = 4
/** Entries without contents take no room: after so many it is time all the same. */
const maxItems = 4096
const none: Content = { type: 'none' }

/** An entry; its content is undefined where it is the next of the batch's bodies. */
interface Item {
  readonly entry: Entry
  readonly content: Content | undefined
}

/** Entries in their order, with the contents of the small files among them. */
class Batch {
  readonly memory: SharedArrayBuffer = new SharedArrayBuffer(chunkSize)
  readonly bytes: Buffer = Buffer.from(this.memory)
  used = 0
  readonly items: Item[] = []
  /** Of the bodies that become objects: they lie one behind the other. */
  readonly lengths: number[] = []
  ids: Promise<ObjectId[]> | undefined
}

/**
 * What ContentSplitter and ObjectWriter do in a stream, in batches: contents are read into memory that is used over and
 * over, another thread hashes one batch while this one reads the next, and there is one promise a batch.
 */
export class BatchWriter {
  /** Where the scan reads to. */
  readonly take: TakeMemory
  readonly #store: ObjectStore
  readonly #emit: (entry: Entry, content: Content) => void
  readonly #free: Batch[] = []
  /** Full, the oldest first. */
  readonly #full: Batch[] = []
  #batch = new Batch()
  #made = 1
  #thread: DigestThread | undefined
  #entry: Entry | undefined
  /** Of a small file that stays inline. */
  #body: Buffer | undefined
  /** Of a file that is larger than a batch. */
  #sink: ObjectSink | undefined
  #large: Buffer | undefined

  /** @param emit takes the entries in their order, once their contents are stored */
  constructor(store: ObjectStore, emit: (entry: Entry, content: Content) => void) {
    this.#store = store
    this.#emit = emit
    this.take = (size) => {
      if (this.#sink !== undefined) {
        this.#large ??= Buffer.allocUnsafeSlow(chunkSize)
        return this.#large.subarray(0, size)
      }
      const { bytes, used } = this.#batch
      this.#batch.used += size
      return bytes.subarray(used, used + size)
    }
  }

  /** Takes a record; where it answers with a promise, the next one has to wait. Throws what the store throws. */
  push(record: EntryRecord): void | Promise<void> {
    switch (record.kind) {
      case 'entry':
        return this.#begin(record.entry)
      case 'data':
        return this.#receive(record.chunk)
      case 'end':
        return this.#end()
      default:
        throw new ComposefsError('ERR_STREAM_ORDER', `a ${record.kind} came from a directory`)
    }
  }

  /** Stores what is left. */
  async finish(): Promise<void> {
    this.#full.push(this.#batch)
    while (this.#full.length > 0) await this.#settleOldest()
  }

  /** Lets go of everything; also after {@link finish}. */
  async close(): Promise<void> {
    await this.#sink?.abort()
    await this.#thread?.close()
  }

  #begin(entry: Entry): void | Promise<void> {
    this.#entry = entry
    if (entry.size > chunkSize) {
      this.#sink = this.#store.create(entry.size)
      return
    }
    const { used, items } = this.#batch
    if (used + entry.size > chunkSize || items.length >= maxItems) return this.#nextBatch()
  }

  #receive(chunk: Buffer): void | Promise<void> {
    if (this.#sink !== undefined) return this.#sink.write(chunk)
    if (chunk.length > inlineLimit) return
    this.#body = Buffer.from(chunk)
    this.#batch.used -= chunk.length
  }

  #end(): void | Promise<void> {
    const entry = this.#entry!
    if (this.#sink !== undefined) return this.#endLarge(entry, this.#sink)
    const { items, lengths } = this.#batch
    if (entry.size > inlineLimit) {
      items.push({ entry, content: undefined })
      lengths.push(entry.size)
      return
    }
    items.push({ entry, content: this.#body === undefined ? none : { type: 'inline', bytes: this.#body } })
    this.#body = undefined
  }

  async #endLarge(entry: Entry, sink: ObjectSink): Promise<void> {
    const id = await sink.finish()
    this.#sink = undefined
    this.#batch.items.push({ entry, content: { type: 'external', id, size: entry.size } })
  }

  async #nextBatch(): Promise<void> {
    const batch = this.#batch
    this.#thread ??= DigestThread.start(this.#store.algorithm)
    batch.ids = this.#thread?.digest(batch.memory, batch.lengths)
    // Looked at when its turn comes; that may be never, where something else fails.
    batch.ids?.catch(() => {})
    this.#full.push(batch)
    if (this.#free.length === 0 && this.#made === maxBatches) await this.#settleOldest()
    let next = this.#free.pop()
    if (next === undefined) {
      next = new Batch()
      this.#made++
    }
    this.#batch = next
  }

  async #settleOldest(): Promise<void> {
    const batch = this.#full.shift()!
    const { bytes, items, lengths } = batch
    const ids = await batch.ids
    let index = 0
    let at = 0
    for (const { entry, content } of items) {
      if (content !== undefined) {
        this.#emit(entry, content)
        continue
      }
      const size = lengths[index]!
      const stored = this.#store.put(bytes.subarray(at, at + size), ids?.[index])
      const id = stored instanceof Promise ? await stored : stored
      this.#emit(entry, { type: 'external', id, size })
      at += size
      index++
    }
    items.length = 0
    lengths.length = 0
    batch.used = 0
    batch.ids = undefined
    this.#free.push(batch)
  }
}
