/**
 * The sequences section of zstd blocks: which literals and which copies of earlier bytes make the content (spec:
 * RFC 8878, section 3.1.1.3.2).
 *
 * @packageDocumentation
 */
import { corrupt, type FseTable, fseTable, readFseTable, singleSymbol } from './zstd-fse.ts'
import { lastBit } from './zstd-huffman.ts'

/** Codes for the lengths of literals, offsets and the lengths of copies, in this order. */
export type SequenceTables = readonly [FseTable, FseTable, FseTable]

/** What blocks of a frame hand on to the next ones. */
export interface SequenceState {
  tables: SequenceTables | undefined
  /** The last three offsets, the latest first. */
  readonly offsets: [number, number, number]
}

/** Where content is made. */
export interface Target {
  readonly bytes: Uint8Array
  /** Where the block's content begins. */
  readonly at: number
  /** Most bytes of content. */
  readonly limit: number
  /** How far back a copy may reach from `at`. */
  readonly reach: number
  /** How far back a copy may reach at all. */
  readonly window: number
}

const zeros = (count: number): number[] => new Array<number>(count).fill(0)
const extraBits = [
  [...zeros(16), 1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16],
  [],
  [...zeros(32), 1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16],
].map((bits) => Uint8Array.from(bits))
const [literalBits, , copyBits] = extraBits as [Uint8Array, Uint8Array, Uint8Array]
const literalBase = bases(literalBits, 0)
const copyBase = bases(copyBits, 3)

function bases(bits: Uint8Array, first: number): Uint32Array {
  const base = new Uint32Array(bits.length)
  base[0] = first
  for (let i = 1; i < bits.length; i++) base[i] = base[i - 1]! + (1 << bits[i - 1]!)
  return base
}

interface Code {
  readonly what: string
  readonly maxLog: number
  readonly maxSymbol: number
  readonly predefined: FseTable
}

const codes: readonly Code[] = [
  {
    what: 'literal lengths',
    maxLog: 9,
    maxSymbol: 35,
    predefined: fseTable(
      [4, 3, ...new Array<number>(11).fill(2), 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1, -1, -1, -1, -1],
      6,
    ),
  },
  {
    what: 'offsets',
    maxLog: 8,
    maxSymbol: 31,
    predefined: fseTable([1, 1, 1, 1, 1, 1, 2, 2, 2, ...new Array<number>(15).fill(1), -1, -1, -1, -1, -1], 5),
  },
  {
    what: 'copy lengths',
    maxLog: 9,
    maxSymbol: 52,
    predefined: fseTable([1, 4, 3, 2, 2, 2, 2, 2, 2, ...new Array<number>(37).fill(1), -1, -1, -1, -1, -1, -1, -1], 6),
  },
]

/**
 * Reads the section at `at` and makes the content.
 *
 * @param source the block, with at least 16 more bytes before its start and after `end`
 * @returns where the content ends in the target
 */
export function runSequences(
  source: DataView,
  at: number,
  end: number,
  literals: Uint8Array,
  state: SequenceState,
  target: Target,
): number {
  if (at >= end) corrupt('the sequences of a block are missing')
  let count = source.getUint8(at)
  let from = at + 1
  if (count === 255) {
    count = source.getUint16(from, true) + 0x7f00
    from += 2
  } else if (count > 127) {
    count = ((count - 128) << 8) + source.getUint8(from)
    from += 1
  }
  if (from > end) corrupt('the sequences of a block are cut off')
  if (count === 0) {
    if (from !== end) corrupt('a block has more bytes than it uses')
    if (literals.length > target.limit) corrupt('a block is too large')
    target.bytes.set(literals, target.at)
    return target.at + literals.length
  }
  const next = readTables(source, from, end, state)
  return execute(source, next, end, count, literals, state, target)
}

/** Sets the tables of the state. */
function readTables(source: DataView, at: number, end: number, state: SequenceState): number {
  if (at >= end) corrupt('the tables of a block are missing')
  const modes = source.getUint8(at)
  if ((modes & 3) !== 0) corrupt('a reserved bit is used')
  let next = at + 1
  const tables = codes.map(({ what, maxLog, maxSymbol, predefined }, i): FseTable => {
    switch ((modes >> (6 - 2 * i)) & 3) {
      case 0:
        return predefined
      case 1: {
        if (next >= end) corrupt(`the table of ${what} is missing`)
        const symbol = source.getUint8(next++)
        if (symbol > maxSymbol) corrupt(`the table of ${what} has no such symbol`)
        return singleSymbol(symbol)
      }
      case 2: {
        const [table, after] = readFseTable(source, next, end, maxLog, maxSymbol)
        next = after
        return table
      }
      default:
        return state.tables?.[i] ?? corrupt(`the table of ${what} shall be one that does not exist`)
    }
  })
  state.tables = tables as unknown as SequenceTables
  return next
}

function execute(
  source: DataView,
  from: number,
  end: number,
  count: number,
  literals: Uint8Array,
  state: SequenceState,
  target: Target,
): number {
  const [literalTable, offsetTable, copyTable] = state.tables!
  let [offset1, offset2, offset3] = state.offsets
  const { bytes, window } = target
  const limit = target.at + target.limit
  const oldest = target.at - target.reach
  let at = target.at
  let literal = 0
  const start = from * 8
  let position = lastBit(source, from, end)
  position -= literalTable.log
  let literalState = read(source, position, literalTable.log)
  position -= offsetTable.log
  let offsetState = read(source, position, offsetTable.log)
  position -= copyTable.log
  let copyState = read(source, position, copyTable.log)

  for (let i = 1; ; i++) {
    const offsetBits = offsetTable.symbol[offsetState]!
    const copyCode = copyTable.symbol[copyState]!
    const literalCode = literalTable.symbol[literalState]!
    if (offsetBits > 30) corrupt('a copy reaches too far back')
    let value = 1 << offsetBits
    if (offsetBits > 24) {
      position -= offsetBits - 16
      value += read(source, position, offsetBits - 16) << 16
      position -= 16
      value += read(source, position, 16)
    } else {
      position -= offsetBits
      value += read(source, position, offsetBits)
    }
    position -= copyBits[copyCode]!
    const copyLength = copyBase[copyCode]! + read(source, position, copyBits[copyCode]!)
    position -= literalBits[literalCode]!
    const literalLength = literalBase[literalCode]! + read(source, position, literalBits[literalCode]!)

    let offset: number
    if (value > 3) {
      offset = value - 3
      offset3 = offset2
      offset2 = offset1
      offset1 = offset
    } else {
      // Values 1 to 3 are earlier offsets; without literals the latest would be pointless, so they shift.
      const which = value - (literalLength === 0 ? 0 : 1)
      offset = which === 0 ? offset1 : which === 1 ? offset2 : which === 2 ? offset3 : offset1 - 1
      if (which > 0) {
        if (which > 1) offset3 = offset2
        offset2 = offset1
        offset1 = offset
      }
    }

    if (literal + literalLength > literals.length) corrupt('a block uses more literals than it has')
    if (at + literalLength + copyLength > limit) corrupt('a block is too large')
    if (literalLength > 32) {
      bytes.set(literals.subarray(literal, literal + literalLength), at)
    } else {
      for (let k = 0; k < literalLength; k++) bytes[at + k] = literals[literal + k]!
    }
    literal += literalLength
    at += literalLength
    if (offset > at - oldest || offset > window || offset <= 0) corrupt('a copy reaches too far back')
    copyWithin(bytes, at, offset, copyLength)
    at += copyLength

    if (i === count) break
    position -= literalTable.bits[literalState]!
    literalState = literalTable.next[literalState]! + read(source, position, literalTable.bits[literalState]!)
    position -= copyTable.bits[copyState]!
    copyState = copyTable.next[copyState]! + read(source, position, copyTable.bits[copyState]!)
    position -= offsetTable.bits[offsetState]!
    offsetState = offsetTable.next[offsetState]! + read(source, position, offsetTable.bits[offsetState]!)
    if (position < start) break
  }
  if (position !== start) corrupt('the sequences of a block do not fill their bits')
  state.offsets[0] = offset1
  state.offsets[1] = offset2
  state.offsets[2] = offset3
  const rest = literals.length - literal
  if (at + rest > limit) corrupt('a block is too large')
  bytes.set(literals.subarray(literal), at)
  return at + rest
}

/** `size` bits, at most 25, that begin at a position. */
function read(source: DataView, position: number, size: number): number {
  return (source.getUint32(position >> 3, true) >>> (position & 7)) & ((1 << size) - 1)
}

/** Copies `length` bytes from `offset` bytes before; the copy may overlap what it makes. */
function copyWithin(bytes: Uint8Array, at: number, offset: number, length: number): void {
  if (length <= 48) {
    for (let k = at; k < at + length; k++) bytes[k] = bytes[k - offset]!
    return
  }
  // Each round doubles what there is to copy from.
  for (let done = 0, from = at - offset; done < length; ) {
    const piece = Math.min(length - done, offset + done)
    bytes.copyWithin(at + done, from, from + piece)
    done += piece
  }
}
