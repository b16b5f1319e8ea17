/**
 * The records of a scan, their contents stored.
 *
 * @packageDocumentation
 */
import { ComposefsError } from '../errors.ts'
import { DigestThread } from '../fsverity/digest-thread.ts'
import { DigestBatches } from '../streams/digest-batches.ts'
import {
  type Content,
  type Entry,
  type EntryRecord,
  inlineLimit,
  type ObjectSink,
  type ObjectStore,
} from '../streams/records.ts'
import { chunkSize, type TakeMemory } from './body-reader.ts'

const none: Content = { type: 'none' }

/** An entry; its content may be a body of its batch, by its number. */
interface Item {
  readonly entry: Entry
  readonly content: Content | number
}

/**
 * What ContentSplitter and ObjectWriter do in a stream, in batches: contents are read into memory that is used over and
 * over, and another thread hashes one batch while this one reads the next.
 */
export class BatchWriter {
  /** Where the scan reads to. */
  readonly take: TakeMemory
  readonly #store: ObjectStore
  readonly #batches: DigestBatches<Item>
  #entry: Entry | undefined
  /** Of a small file that stays inline. */
  #body: Buffer | undefined
  /** Of a file that is larger than a batch. */
  #sink: ObjectSink | undefined
  #large: Buffer | undefined
  #thread: DigestThread | undefined

  /** @param emit takes the entries in their order, once their contents are stored */
  constructor(store: ObjectStore, emit: (entry: Entry, content: Content) => void) {
    this.#store = store
    const thread = () => (this.#thread ??= DigestThread.start(store.algorithm))
    this.#batches = new DigestBatches(thread, store, ({ entry, content }, ids) => {
      if (typeof content !== 'number') emit(entry, content)
      else emit(entry, { type: 'external', id: ids[content]!, size: entry.size })
    })
    this.take = (size) => {
      if (this.#sink === undefined) return this.#batches.reserve(size)
      this.#large ??= Buffer.allocUnsafeSlow(chunkSize)
      return this.#large.subarray(0, size)
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
  finish(): Promise<void> {
    return this.#batches.finish()
  }

  /** Lets go of everything; also after {@link finish}. */
  async close(): Promise<void> {
    await this.#sink?.abort()
    await this.#batches.close()
    await this.#thread?.close()
  }

  #begin(entry: Entry): void | Promise<void> {
    this.#entry = entry
    if (entry.size > chunkSize) this.#sink = this.#store.create(entry.size)
    else if (!this.#batches.hasRoom(entry.size)) return this.#batches.next()
  }

  #receive(chunk: Buffer): void | Promise<void> {
    if (this.#sink !== undefined) return this.#sink.write(this.#store.borrows === true ? chunk : Buffer.from(chunk))
    if (chunk.length <= inlineLimit) this.#body = Buffer.from(chunk)
  }

  #end(): void | Promise<void> {
    const entry = this.#entry!
    if (this.#sink !== undefined) return this.#endLarge(entry, this.#sink)
    let content: Content | number = none
    if (entry.size > inlineLimit) content = this.#batches.addReserved(entry.size)
    else if (this.#body !== undefined) content = { type: 'inline', bytes: this.#body }
    this.#batches.push({ entry, content })
    this.#body = undefined
  }

  async #endLarge(entry: Entry, sink: ObjectSink): Promise<void> {
    const id = await sink.finish()
    this.#sink = undefined
    this.#batches.push({ entry, content: { type: 'external', id, size: entry.size } })
  }
}
