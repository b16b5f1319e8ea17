/**
 * Bodies that are hashed by another thread, a batch at a time.
 *
 * @packageDocumentation
 */
import type { DigestThread, HashedBody } from '../fsverity/digest-thread.ts'
import type { ObjectId } from '../fsverity/object-id.ts'
import { descriptorsFor } from '../native/descriptors.ts'
import { closeDraft } from '../native/draft-files.ts'
import type { ObjectStore } from './records.ts'
import { Slab } from './slab.ts'

/** Bytes of bodies in one batch, and so the largest body that fits. */
export const batchSize: number = 1024 * 1024
/** One is filled while the other is hashed. More would help no pull, and several layers come at once. */
const maxBatches = 2
/** Drafts that may be open at a time, in the whole process: 1024 descriptors are all that most systems allow. */
const mostDrafts = 400
let draftsOpen = 0
/** Items without a body take no room: after so many it is time all the same. */
const maxItems = 4096

class Batch<Item> {
  readonly memory: SharedArrayBuffer = new SharedArrayBuffer(batchSize)
  readonly bytes: Buffer = Buffer.from(this.memory)
  readonly items: Item[] = []
  /** Of the bodies: they lie one behind the other. */
  readonly lengths: number[] = []
  used = 0
  /** Bytes that the items hold beside the bodies. */
  held = 0
  hashed: Promise<HashedBody[]> | undefined
  /** Bodies that the thread may write as well. */
  drafts = 0
}

/**
 * Items in their order, and bodies that belong to them. The bodies of one batch are hashed by another thread while the
 * next is filled, and written as well where the store says so; then they are stored here, and the items handed on.
 * There is one promise a batch, none a body.
 */
export class DigestBatches<Item> {
  readonly #thread: () => DigestThread | undefined
  readonly #store: ObjectStore
  readonly #emit: (item: Item, ids: readonly ObjectId[]) => void
  readonly #free: Batch<Item>[] = []
  /** On their way, the oldest first. */
  readonly #sent: Batch<Item>[] = []
  /** For stores that keep what they are given. */
  readonly #slab = new Slab()
  #batch = new Batch<Item>()
  #made = 1

  /**
   * @param thread asked for when a batch is full; where there is none, the store computes the ids
   * @param emit takes each item, and the ids of the bodies of its batch by the numbers that {@link addReserved} gave
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
    const { used, held, items } = this.#batch
    return used + size <= batchSize && held < batchSize && items.length < maxItems
  }

  /** @param held bytes of memory that come with the item, where they count */
  push(item: Item, held = 0): void {
    this.#batch.items.push(item)
    this.#batch.held += held
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

  /** Lets go of what was not stored. */
  async close(): Promise<void> {
    for (const batch of this.#sent.splice(0)) letGo(batch, await hashedIn(batch))
  }

  #send(thread: DigestThread | undefined): void {
    const batch = this.#batch
    this.#sent.push(batch)
    if (thread === undefined || batch.lengths.length === 0) return
    const { drafts } = this.#store
    if (drafts !== undefined) {
      batch.drafts = Math.max(0, Math.min(descriptorsFor(mostDrafts) - draftsOpen, batch.lengths.length))
      draftsOpen += batch.drafts
    }
    batch.hashed = thread.digest(batch.memory, batch.lengths, drafts && { ...drafts, count: batch.drafts })
    // Looked at when its turn comes; that may be never, where something else fails before.
    batch.hashed.catch(() => {})
  }

  async #settleOldest(): Promise<void> {
    const batch = this.#sent.shift()!
    const hashed = await hashedIn(batch)
    let ids: ObjectId[]
    try {
      ids = await this.#storeBodies(batch, hashed)
    } finally {
      letGo(batch, hashed)
    }
    for (const item of batch.items) this.#emit(item, ids)
    batch.items.length = 0
    batch.lengths.length = 0
    batch.used = 0
    batch.held = 0
    batch.hashed = undefined
    this.#free.push(batch)
  }

  /** What became of a draft is forgotten in `hashed`. */
  async #storeBodies(batch: Batch<Item>, hashed: (HashedBody | undefined)[]): Promise<ObjectId[]> {
    const ids: ObjectId[] = []
    let at = 0
    for (const [i, length] of batch.lengths.entries()) {
      const body = hashed[i]
      hashed[i] = undefined
      let id: ObjectId | Promise<ObjectId>
      if (body !== undefined && body.draft >= 0) id = this.#store.putDraft!(body.draft, length, body.id)
      else {
        const bytes = batch.bytes.subarray(at, at + length)
        id = this.#store.put(this.#store.borrows === true ? bytes : this.#slab.copy(bytes), body?.id)
      }
      ids.push(id instanceof Promise ? await id : id)
      at += length
    }
    return ids
  }
}

/** Empty where the thread has failed: then the store computes the ids itself. */
async function hashedIn({
  hashed,
}: {
  hashed: Promise<HashedBody[]> | undefined
}): Promise<(HashedBody | undefined)[]> {
  return (await hashed?.catch(() => undefined)) ?? []
}

function letGo(batch: { drafts: number }, hashed: readonly (HashedBody | undefined)[]): void {
  for (const body of hashed) if (body !== undefined && body.draft >= 0) closeDraft(body.draft)
  draftsOpen -= batch.drafts
  batch.drafts = 0
}
