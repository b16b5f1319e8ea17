/**
 * The literals section of zstd blocks (spec: RFC 8878, section 3.1.1.3.1).
 *
 * @packageDocumentation
 */
import { corrupt } from './zstd-fse.ts'
import { decodeHuffman, type HuffmanTable, readHuffmanTable } from './zstd-huffman.ts'

/** What the section says. */
export interface Literals {
  readonly bytes: Uint8Array
  /** Where the next section begins. */
  readonly next: number
  /** The table for the blocks that follow. */
  readonly table: HuffmanTable | undefined
}

const raw = 0
const runLength = 1
const treeless = 3

/**
 * Reads the section at `at`.
 *
 * @param source the block, with at least 8 more bytes after `end`
 * @param room where literals are decoded to
 * @param previous the table of the last block that had one
 */
export function readLiterals(
  source: DataView,
  at: number,
  end: number,
  room: Uint8Array,
  previous: HuffmanTable | undefined,
): Literals {
  if (at >= end) corrupt('a block is empty')
  const first = source.getUint8(at)
  const type = first & 3
  const format = (first >> 2) & 3
  if (type === raw || type === runLength) {
    const header = format === 1 ? 2 : format === 3 ? 3 : 1
    const word = source.getUint32(at, true) & (2 ** (8 * header) - 1)
    const size = word >>> (header === 1 ? 3 : 4)
    const from = at + header
    const next = from + (type === raw ? size : 1)
    if (size > room.length || next > end) corrupt('literals are cut off')
    if (type === runLength) return { bytes: room.subarray(0, size).fill(source.getUint8(from)), next, table: previous }
    return { bytes: new Uint8Array(source.buffer, source.byteOffset + from, size), next, table: previous }
  }
  // Two sizes of 10, 14 or 18 bits follow the four bits of type and format.
  const sizeBits = [10, 10, 14, 18][format]!
  let from = at + [3, 3, 4, 5][format]!
  const word = source.getUint32(at, true) + source.getUint8(at + 4) * 2 ** 32
  const size = Math.floor(word / 16) % 2 ** sizeBits
  const next = from + (Math.floor(word / 2 ** (4 + sizeBits)) % 2 ** sizeBits)
  if (size > room.length || next > end) corrupt('literals are cut off')
  let table = previous
  if (type !== treeless) [table, from] = readHuffmanTable(source, from, next)
  if (table === undefined) corrupt('a block refers to a Huffman table that does not exist')
  const bytes = room.subarray(0, size)
  if (format === 0) decodeHuffman(source, from, next, table, bytes)
  else decodeFour(source, from, next, table, bytes)
  return { bytes, next, table }
}

/** Four streams, the lengths of the first three in front. */
function decodeFour(source: DataView, at: number, end: number, table: HuffmanTable, target: Uint8Array): void {
  const part = (target.length + 3) >> 2
  let from = at + 6
  if (from > end || 3 * part > target.length) corrupt('literals are cut off')
  for (let i = 0; i < 4; i++) {
    const to = i === 3 ? end : from + source.getUint16(at + 2 * i, true)
    if (to > end) corrupt('literals are cut off')
    decodeHuffman(source, from, to, table, target.subarray(part * i, i === 3 ? target.length : part * (i + 1)))
    from = to
  }
}
