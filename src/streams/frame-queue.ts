/**
 * Compressed frames of a splitstream on their way: the header in front of them tells their sizes, so they wait for it.
 *
 * @packageDocumentation
 */
import type { Scratch } from './records.ts'

/** Bytes that wait in memory; more go to a scratch, if there is one. */
const maxKept = 8 * 1024 * 1024

/** Holds frames in order, most of them in memory or, of a large splitstream, none. */
export class FrameQueue {
  readonly #openScratch: (() => Scratch) | undefined
  #scratch: Scratch | undefined
  #kept: Buffer[] = []
  #keptSize = 0
  #size = 0

  /** @param openScratch where what is too much for memory goes. Default: all stays in memory. */
  constructor(openScratch?: () => Scratch) {
    this.#openScratch = openScratch
  }

  /** Bytes of all frames. */
  get size(): number {
    return this.#size
  }

  /** @throws what the scratch throws */
  push(frame: Buffer): void {
    this.#kept.push(frame)
    this.#keptSize += frame.length
    this.#size += frame.length
    if (this.#keptSize <= maxKept || this.#openScratch === undefined) return
    this.#scratch ??= this.#openScratch()
    for (const kept of this.#kept) this.#scratch.write(kept)
    this.#kept = []
    this.#keptSize = 0
  }

  /** The frames, or pieces of them, in order. May be called again, until {@link close}. */
  *[Symbol.iterator](): Generator<Buffer, void, undefined> {
    if (this.#scratch !== undefined) yield* this.#scratch.read()
    yield* this.#kept
  }

  /** Lets go of everything. May be called again. */
  close(): void {
    this.#scratch?.close()
    this.#scratch = undefined
    this.#kept = []
  }
}
