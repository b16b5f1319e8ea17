/**
 * Memory that is used again.
 *
 * @packageDocumentation
 */

/** Bytes of a buffer; a multiple of the fs-verity block size. */
export const bufferSize: number = 1024 * 1024
/** As many as several objects at a time need; what is more is let go. */
const maxSpare = 8

/** Buffers of one size for objects on their way: an engine frees such large ones late, and there are many objects. */
export class SpareBuffers {
  readonly #spare: Buffer[] = []

  /** A buffer that holds anything. */
  take(): Buffer {
    return this.#spare.pop() ?? Buffer.allocUnsafeSlow(bufferSize)
  }

  /** Takes back one that nobody uses any more. */
  give(buffer: Buffer): void {
    if (this.#spare.length < maxSpare) this.#spare.push(buffer)
  }
}
