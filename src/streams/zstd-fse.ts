/**
 * Finite state entropy, one of the two codes inside zstd blocks (spec: RFC 8878, section 4.1).
 *
 * @packageDocumentation
 */

/** How to decode a code: indexed by state. */
export interface FseTable {
  /** Bits of the first state. */
  readonly log: number
  readonly symbol: Uint8Array
  /** Bits to read for the next state, and what to add to them. */
  readonly bits: Uint8Array
  readonly next: Uint16Array
}

/** Throws what whoever knows the offset turns into a ComposefsError. */
export function corrupt(what: string): never {
  throw new Error(what)
}

/** Position of the highest bit that is set. */
export const highestBit = (value: number): number => 31 - Math.clz32(value)

/**
 * Reads a distribution at `at`, and makes the table of it.
 *
 * @param bytes with at least 4 more bytes after `end`
 * @returns the table, and where the bytes after it begin
 */
export function readFseTable(
  bytes: DataView,
  at: number,
  end: number,
  maxLog: number,
  maxSymbol: number,
): [table: FseTable, next: number] {
  if (at >= end) corrupt('a table is cut off')
  const log = (bytes.getUint8(at) & 15) + 5
  if (log > maxLog) corrupt('a table is larger than allowed')
  const probabilities: number[] = []
  let position = at * 8 + 4
  let left = 1 << log
  while (left > 0) {
    if (probabilities.length > maxSymbol || position > end * 8) corrupt('a table does not end')
    // A value takes one bit less where that is unambiguous.
    const size = highestBit(left + 1) + 1
    const word = (bytes.getUint32(position >>> 3, true) >>> (position & 7)) & ((1 << size) - 1)
    const half = (1 << (size - 1)) - 1
    const short = (1 << size) - 2 - left
    const isShort = (word & half) < short
    const value = isShort ? word & half : word > half ? word - short : word
    position += isShort ? size - 1 : size
    // 0 stands for "less than one", which takes a state too.
    left -= value === 0 ? 1 : value - 1
    probabilities.push(value - 1)
    if (value !== 1) continue
    for (let repeat = 3; repeat === 3; ) {
      if (probabilities.length > maxSymbol || position > end * 8) corrupt('a table does not end')
      repeat = (bytes.getUint16(position >>> 3, true) >>> (position & 7)) & 3
      position += 2
      for (let i = 0; i < repeat; i++) probabilities.push(0)
    }
  }
  const next = (position + 7) >>> 3
  if (left < 0 || probabilities.length > maxSymbol + 1 || next > end) corrupt('a table is malformed')
  return [fseTable(probabilities, log), next]
}

/** The table of a distribution; -1 is a probability below one state. */
export function fseTable(probabilities: readonly number[], log: number): FseTable {
  const size = 1 << log
  const symbol = new Uint8Array(size)
  const bits = new Uint8Array(size)
  const next = new Uint16Array(size)
  const counts = probabilities.map((probability) => Math.abs(probability))
  let high = size
  for (const [s, probability] of probabilities.entries()) if (probability === -1) symbol[--high] = s
  const step = (size >> 1) + (size >> 3) + 3
  let at = 0
  for (const [s, probability] of probabilities.entries()) {
    for (let i = 0; i < probability; i++) {
      symbol[at] = s
      do at = (at + step) & (size - 1)
      while (at >= high)
    }
  }
  for (let state = 0; state < size; state++) {
    const count = counts[symbol[state]!]!++
    bits[state] = log - highestBit(count)
    next[state] = (count << bits[state]!) - size
  }
  return { log, symbol, bits, next }
}

/** The table of a code that has one symbol only. */
export function singleSymbol(symbol: number): FseTable {
  return { log: 0, symbol: Uint8Array.of(symbol), bits: new Uint8Array(1), next: new Uint16Array(1) }
}
