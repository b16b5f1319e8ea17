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
  readonly #thread: () => DigestThread | undefined
  readonly #store: ObjectStore
  readonly #emit: (item: Item, ids: readonly ObjectId[]) => void
  readonly #free: Batch<Item>[] = []
  /** On their way, the oldest first. */
  readonly #sent: Batch<Item>[] = []
  #batch = new Batch<Item>()
  #made = 1

  /**
   * @param thread asked for when a batch is full; where there is none, the store computes the ids
   * @param emit takes each item, and the ids of the bodies of its batch by the numbers that {@link add} gave
   */
  constructor(
    thread: () => DigestThread | undefined,
    store: ObjectStore,
    emit: (item: Item, ids: readonly ObjectId[]) => void,
  ) {
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
    const { bytes, used } = this.#batch
    let at = used
    for (const chunk of chunks) {
      bytes.set(chunk, at)
      at += chunk.length
    }
    return this.addReserved(size)
  }

  /** Memory for the next body, for which there must be room. It counts once {@link addReserved} says so. */
  reserve(size: number): Buffer {
    const { bytes, used } = this.#batch
    return bytes.subarray(used, used + size)
  }

  /** Takes what was written into the reserved memory as a body. Answers its number in the batch. */
  addReserved(size: number): number {
    this.#batch.used += size
    return this.#batch.lengths.push(size) - 1
  }

  /** Sends the batch off and begins another; settles once there is room for that. Throws what the store throws. */
  async next(): Promise<void> {
    this.#send(this.#thread())
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
    // What is left is less than a batch, and not worth a thread.
    this.#send(undefined)
    while (this.#sent.length > 0) await this.#settleOldest()
  }

  #send(thread: DigestThread | undefined): void {
    const batch = this.#batch
    batch.ids = batch.lengths.length === 0 ? undefined : thread?.digest(batch.memory, batch.lengths)
    // Looked at when its turn comes; that may be never, where something else fails before.
    batch.ids?.catch(() => {})
    this.#sent.push(batch)
  }

  async #settleOldest(): Promise<void> {
    const batch = this.#sent.shift()!
    // Where the thread has failed, the store computes them itself.
    const digests = await batch.ids?.catch(() => undefined)
    let at = 0
    const ids: ObjectId[] = []
    for (const [i, length] of batch.lengths.entries()) {
      at += length
      const id = this.#store.put(batch.bytes.subarray(at - length, at), digests?.[i])
      ids.push(id instanceof Promise ? await id : id)
    }
    for (const item of batch.items) this.#emit(item, ids)
    batch.items.length = 0
    batch.lengths.length = 0
    batch.used = 0
    batch.ids = undefined
    this.#free.push(batch)
  }
}
