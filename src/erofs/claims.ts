import { blockSize, inodesStart, slotSize } from './format.ts'

/**
 * Which parts of an image belong to something already. Two inodes cannot share bytes, so what an image describes is
 * never much larger than the image, and reading it ends.
 */
export class Claims {
  readonly #taken: Uint8Array

  constructor(imageSize: number) {
    this.#taken = new Uint8Array(imageSize / slotSize)
    this.#taken.fill(1, 0, inodesStart / slotSize)
  }

  /** Takes whole slots from `begin`, a multiple of 32, up to the one that holds the byte before `end`. */
  take(begin: number, end: number): boolean {
    const from = begin / slotSize
    const to = Math.ceil(end / slotSize)
    if (to > this.#taken.length) return false
    if (to - from < 16) {
      for (let i = from; i < to; i++) if (this.#taken[i] !== 0) return false
    } else if (this.#taken.subarray(from, to).includes(1)) {
      return false
    }
    this.#taken.fill(1, from, to)
    return true
  }

  takeBlocks(block: number, count: number): boolean {
    return this.take(block * blockSize, (block + count) * blockSize)
  }
}
