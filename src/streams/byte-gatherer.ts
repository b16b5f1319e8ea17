/**
 * A buffer that grows.
 *
 * @packageDocumentation
 */

/** Gathers copies of byte pieces into one piece of memory that doubles as needed. */
export class ByteGatherer {
  #bytes: Buffer
  #length = 0

  constructor(capacity = 4096) {
    this.#bytes = Buffer.allocUnsafe(capacity)
  }

  get length(): number {
    return this.#length
  }

  append(piece: Buffer): void {
    const needed = this.#length + piece.length
    if (needed > this.#bytes.length) {
      const grown = Buffer.allocUnsafe(Math.max(needed, 2 * this.#bytes.length))
      this.#bytes.copy(grown, 0, 0, this.#length)
      this.#bytes = grown
    }
    piece.copy(this.#bytes, this.#length)
    this.#length = needed
  }

  /** What was gathered: a view, good until the next `append` or `clear`. */
  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.#length)
  }

  /** Forgets the first bytes, all of them by default. The memory is kept for what comes next. */
  clear(count: number = this.#length): void {
    this.#bytes.copyWithin(0, count, this.#length)
    this.#length -= count
  }

  /** Hands over what was gathered and starts anew with other memory. */
  take(): Buffer {
    const taken = this.bytes
    this.#bytes = Buffer.allocUnsafe(0)
    this.#length = 0
    return taken
  }
}
