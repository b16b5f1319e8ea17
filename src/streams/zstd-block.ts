/**
 * The blocks of a zstd frame to bytes, in JavaScript.
 *
 * @packageDocumentation
 */
import { corrupt } from './zstd-fse.ts'
import { largestBlock, type ZstdFrameHeader } from './zstd-header.ts'
import type { HuffmanTable } from './zstd-huffman.ts'
import { readLiterals } from './zstd-literals.ts'
import { runSequences, type SequenceState } from './zstd-sequences.ts'

/** Reading bits backwards may look this far beyond both ends of a block before it notices. */
const margin = 16
/** Blocks are decoded one at a time, so all frames share this memory. */
const room = new Uint8Array(margin + largestBlock + margin)
const source = new DataView(room.buffer)
const literalRoom = new Uint8Array(largestBlock)

const raw = 0
const runLength = 1

/**
 * Decodes the blocks of one frame after the other. Memory is what the content needs, up to five quarters of the window
 * and some MiB.
 */
export class ZstdBlocks {
  readonly #header: ZstdFrameHeader
  /** The latest content, up to `#end`. */
  #history: Buffer
  #end = 0
  #huffman: HuffmanTable | undefined
  readonly #sequences: SequenceState = { tables: undefined, offsets: [1, 4, 8] }

  /** @param bound the most bytes of content, if known, to take no more memory than needed */
  constructor(header: ZstdFrameHeader, bound = 0) {
    this.#header = header
    this.#history = Buffer.allocUnsafe(Math.min(bound, header.windowSize + 2 * largestBlock))
  }

  /**
   * Content of a whole block, its three bytes of header included: a view, good until the next call.
   *
   * @throws Error that says what is wrong with the block
   */
  decode(block: Buffer): Buffer {
    const word = block.readUIntLE(0, 3)
    const type = (word >> 1) & 3
    const size = word >>> 3
    this.#makeRoom(type === raw || type === runLength ? size : this.#header.maxBlock)
    const start = this.#end
    if (type === raw) this.#end += block.copy(this.#history, start, 3)
    else if (type === runLength) {
      this.#end += size
      this.#history.fill(block[3]!, start, this.#end)
    } else this.#end = this.#decompress(block.subarray(3))
    return this.#history.subarray(start, this.#end)
  }

  #decompress(block: Buffer): number {
    if (block.length > largestBlock) corrupt('a block is too large')
    const { windowSize, maxBlock } = this.#header
    const end = margin + block.length
    room.set(block, margin)
    room.fill(0, end, end + margin)
    const literals = readLiterals(source, margin, end, literalRoom, this.#huffman)
    this.#huffman = literals.table
    return runSequences(source, literals.next, end, literals.bytes, this.#sequences, {
      bytes: this.#history,
      at: this.#end,
      limit: maxBlock,
      reach: this.#end,
      window: windowSize,
    })
  }

  /** Grows, or forgets what no copy can reach any more. */
  #makeRoom(size: number): void {
    const needed = this.#end + size
    if (needed <= this.#history.length) return
    const { windowSize } = this.#header
    // Forgetting costs a move of the window; the more room there is beside it, the rarer that is.
    const most = windowSize + Math.max(windowSize >>> 2, 16 * largestBlock)
    const keep = Math.min(this.#end, windowSize)
    if (needed > most) {
      this.#history.copyWithin(0, this.#end - keep, this.#end)
      this.#end = keep
    }
    if (this.#end + size <= this.#history.length) return
    const grown = Buffer.allocUnsafe(Math.min(most, Math.max(this.#end + size, 2 * this.#history.length)))
    this.#history.copy(grown, 0, 0, this.#end)
    this.#history = grown
  }
}
