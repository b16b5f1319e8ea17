/**
 * Bodies that are hashed by another thread, a batch at a time.
 *
 * @packageDocumentation
 */
import type { DigestThread } from '../fsverity/digest-thread.ts'
import type { ObjectId } from '../fsverity/object-id.ts'
import type { ObjectStore } from './records.ts'

/** Bytes of bodies in one batch, and so the largest body that fits. */
export const batchSize: number = 1024 * 1024
/** One is filled, one hashed; the others make up for threads that wait for a processor. */
const maxBatches = 6
/** Items without a body take no room: after so many it is time all the same. */
const maxItems = 4096

class Batch<Item> {
  readonly memory: SharedArrayBuffer = new SharedArrayBuffer(batchSize)
  readonly bytes: Buffer = Buffer.from(this.memory)
  readonly items: Item[] = []
  /** Of the bodies: they lie one behind the other. */
  readonly lengths: number[] = []
  used = 0
  ids: Promise<ObjectId[]> | undefined
}

/**
 * Items in their order, and bodies that belong to them. The bodies of one batch are hashed by another thread while the
 * next is filled; then they are stored here, and the items handed on. There is one promise a batch, none a body.
 */
export class DigestBatches<Item> {
  readonly #thread: DigestThread
  readonly #store: ObjectStore
  readonly #emit: (item: Item, ids: readonly ObjectId[]) => void
  readonly #free: Batch<Item>[] = []
  /** On their way, the oldest first. */
  readonly #sent: Batch<Item>[] = []
  #batch = new Batch<Item>()
  #made = 1

  /** @param emit takes each item, and the ids of the bodies of its batch by the numbers that {@link add} gave */
  constructor(thread: DigestThread, store: ObjectStore, emit: (item: Item, ids: readonly ObjectId[]) => void) {
    this.#thread = thread
    this.#store = store
    this.#emit = emit
  }

  /** Whether there is room for an item and a body of this size; otherwise {@link next} makes some. */
  hasRoom(size: number): boolean {
    return this.#batch.used + size <= batchSize && this.#batch.items.length < maxItems
  }

  push(item: Item): void {
    this.#batch.items.push(item)
  }

  /** Takes a copy of a body, for which there must be room. Answers its number in the batch. */
  add(chunks: readonly Uint8Array[], size: number): number {
    const batch = this.#batch
    for (const chunk of chunks) {
      batch.bytes.set(chunk, batch.used)
      batch.used += chunk.length
    }
    return batch.lengths.push(size) - 1
  }

  /** Sends the batch off and begins another; settles once there is room for that. Throws what the store throws. */
  async next(): Promise<void> {
    this.#send()
    let batch = this.#free.pop()
    if (batch === undefined && this.#made < maxBatches) {
      batch = new Batch()
      this.#made++
    }
    if (batch === undefined) {
      await this.#settleOldest()
      batch = this.#free.pop()!
    }
    this.#batch = batch
  }

  /** Stores and hands on all that is left. */
  async finish(): Promise<void> {
    this.#send()
    while (this.#sent.length > 0) await this.#settleOldest()
  }

  #send(): void {
    const batch = this.#batch
    batch.ids = batch.lengths.length === 0 ? undefined : this.#thread.digest(batch.memory, batch.lengths)
    // Looked at when its turn comes; that may be never, where something else fails before.
    batch.ids?.catch(() => {})
    this.#sent.push(batch)
  }

  async #settleOldest(): Promise<void> {
    const batch = this.#sent.shift()!
    // Where the thread has failed, the store computes them itself.
    const digests = await batch.ids?.catch(() => undefined)
    let at = 0
    const ids = batch.lengths.map((length, i) => {
      at += length
      return this.#store.put(batch.bytes.subarray(at - length, at), digests?.[i]) as ObjectId
    })
    for (const item of batch.items) this.#emit(item, ids)
    batch.items.length = 0
    batch.lengths.length = 0
    batch.used = 0
    batch.ids = undefined
    this.#free.push(batch)
  }
}
