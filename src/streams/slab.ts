/**
 * Memory for many small buffers that live long.
 *
 * @packageDocumentation
 */

const slabSize = 8192

/**
 * Buffers side by side in slabs of their own. Node's pool mixes them with short-lived ones, and a few bytes that are
 * kept then keep 8 KiB.
 */
export class Slab {
  #slab: Buffer = Buffer.alloc(0)
  #used = 0

  /** A buffer of `size` bytes with anything in it. */
  take(size: number): Buffer {
    if (size > slabSize / 2) return Buffer.allocUnsafeSlow(size)
    if (size > this.#slab.length - this.#used) {
      this.#slab = Buffer.allocUnsafeSlow(slabSize)
      this.#used = 0
    }
    this.#used += size
    return this.#slab.subarray(this.#used - size, this.#used)
  }

  /** A copy of the bytes. */
  copy(bytes: Uint8Array): Buffer {
    const target = this.take(bytes.length)
    target.set(bytes)
    return target
  }
}
