/**
 * The Huffman code of the literals in zstd blocks (spec: RFC 8878, section 4.2).
 *
 * @packageDocumentation
 */
import { corrupt, highestBit, readFseTable } from './zstd-fse.ts'

/** How to decode a code: indexed by the next `log` bits. */
export interface HuffmanTable {
  readonly log: number
  /** Bits of the code times 256, plus the symbol. */
  readonly entries: Uint16Array
}

const maxLog = 11
const maxWeights = 255

/**
 * Reads a table.
 *
 * @param bytes with at least 4 more bytes after `end`
 * @returns the table, and where the bytes after it begin
 */
export function readHuffmanTable(bytes: DataView, at: number, end: number): [table: HuffmanTable, next: number] {
  if (at >= end) corrupt('a Huffman table is cut off')
  const first = bytes.getUint8(at)
  const count = first - 127
  const next = at + 1 + (first < 128 ? first : (count + 1) >> 1)
  if (next > end) corrupt('a Huffman table is cut off')
  if (first < 128) return [huffmanTable(compressedWeights(bytes, at + 1, next)), next]
  const weights: number[] = []
  for (let i = 0; i < count; i++) {
    const pair = bytes.getUint8(at + 1 + (i >> 1))
    weights.push((i & 1) === 0 ? pair >> 4 : pair & 15)
  }
  return [huffmanTable(weights), next]
}

/** Two states take turns, until the bits are used up. */
function compressedWeights(bytes: DataView, from: number, to: number): number[] {
  const [{ log, symbol, bits, next }, start] = readFseTable(bytes, from, to, 6, maxLog)
  const weights: number[] = []
  let position = lastBit(bytes, start, to)
  const read = (count: number): number => {
    position -= count
    return position < start * 8 ? 0 : (bytes.getUint16(position >>> 3, true) >>> (position & 7)) & ((1 << count) - 1)
  }
  let state = read(log)
  let other = read(log)
  if (position < start * 8) corrupt('the weights of a Huffman table are cut off')
  for (;;) {
    weights.push(symbol[state]!)
    state = next[state]! + read(bits[state]!)
    if (position < start * 8) break
    // A table of one symbol uses no bits, and would go on for ever.
    if (weights.length >= maxWeights) corrupt('a Huffman table is too long')
    ;[state, other] = [other, state]
  }
  weights.push(symbol[other]!)
  return weights
}

function huffmanTable(weights: number[]): HuffmanTable {
  let sum = 0
  for (const weight of weights) if (weight > 0) sum += 2 ** (weight - 1)
  const log = highestBit(sum) + 1
  const left = 2 ** log - sum
  // The last weight is what fills the code up.
  if (sum === 0 || log > maxLog || weights.length > maxWeights || 2 ** highestBit(left) !== left) {
    corrupt('a Huffman table is malformed')
  }
  weights.push(highestBit(left) + 1)
  if (!weights.includes(1)) corrupt('a Huffman table is malformed')
  const entries = new Uint16Array(1 << log)
  let at = 0
  for (let weight = 1; weight <= log; weight++) {
    const entry = (log + 1 - weight) << 8
    const run = 1 << (weight - 1)
    for (let s = weights.indexOf(weight); s >= 0; s = weights.indexOf(weight, s + 1)) {
      entries.fill(entry | s, at, at + run)
      at += run
    }
  }
  return { log, entries }
}

/** Codes are read backwards, from the bit below the highest one of the last byte. */
export function lastBit(bytes: DataView, from: number, to: number): number {
  const last = from < to ? bytes.getUint8(to - 1) : 0
  if (last === 0) corrupt('a bit stream has no end mark')
  return to * 8 - 8 + highestBit(last)
}

/**
 * Decodes one stream of codes, `from` to `to`, into `target`.
 *
 * @param bytes with at least 4 more bytes after `to`
 */
export function decodeHuffman(
  bytes: DataView,
  from: number,
  to: number,
  table: HuffmanTable,
  target: Uint8Array,
): void {
  const { log, entries } = table
  const mask = (1 << log) - 1
  const start = from * 8
  let position = lastBit(bytes, from, to)
  let at = 0
  // One load serves two codes.
  for (const pairs = target.length - 1; at < pairs && position - start >= 2 * log; at += 2) {
    const low = position - 2 * log
    const word = bytes.getUint32(low >>> 3, true) >>> (low & 7)
    const first = entries[(word >>> log) & mask]!
    const second = entries[(word >>> (log - (first >>> 8))) & mask]!
    target[at] = first
    target[at + 1] = second
    position -= (first >>> 8) + (second >>> 8)
  }
  for (; at < target.length; at++) {
    const left = position - start
    if (left <= 0) corrupt('literals are cut off')
    const low = Math.max(start, position - log)
    const word = bytes.getUint32(low >>> 3, true) >>> (low & 7)
    const entry = entries[left < log ? (word & ((1 << left) - 1)) << (log - left) : word & mask]!
    target[at] = entry
    position -= entry >>> 8
  }
  if (position !== start) corrupt('literals do not fill their bits')
}
