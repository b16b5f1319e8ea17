/**
 * Bracketed classes of regular expressions: `[a-z]`, `[^/]`, `[[:alnum:]_]`.
 *
 * @packageDocumentation
 */
import { type ByteSet, byteRange, byteSet, complement, foldCase, intersection, posixSets, union } from './byte-set.ts'
import type { PatternCursor } from './pattern-cursor.ts'
import { parseEscape } from './pattern-escape.ts'

/** A class without any byte. */
const nothing: ByteSet = byteSet(() => false)
const posixName = new RegExp(`\\[:(\\^?)(${[...posixSets.keys()].join('|')}):\\]`, 'y')

const operators = {
  '&&': intersection,
  '--': (a: ByteSet, b: ByteSet): ByteSet => intersection(a, complement(b)),
  '~~': (a: ByteSet, b: ByteSet): ByteSet => byteSet((byte) => a[byte] !== b[byte]),
} as const

/** Reads a class, whose opening bracket has been passed over. */
export function parseClass(cursor: PatternCursor, foldsCase: boolean): ByteSet {
  const negated = cursor.skip('^')
  const set = cursor.dialect === 'automaton' ? automatonClass(cursor, foldsCase) : perlClass(cursor)
  const folded = foldsCase ? foldCase(set) : set
  return negated ? complement(folded) : folded
}

/** Classes nest, and `&&`, `--`, `~~` between them are their intersection, difference and symmetric difference. */
function automatonClass(cursor: PatternCursor, foldsCase: boolean): ByteSet {
  let left: ByteSet | undefined
  let operator: keyof typeof operators = '&&'
  let set = nothing
  const add = (more: ByteSet) => {
    set = union(set, more)
  }
  const combined = () => {
    const right = foldsCase ? foldCase(set) : set
    return left === undefined ? right : operators[operator](left, right)
  }
  while (cursor.skip('-')) add(byteRange(0x2d))
  if (set === nothing && cursor.skip(']')) add(byteRange(0x5d))
  for (;;) {
    const found = (['&&', '--', '~~'] as const).find((text) => cursor.skip(text))
    if (found !== undefined) {
      left = combined()
      operator = found
      set = nothing
    } else if (cursor.skip(']')) {
      return combined()
    } else {
      const posix = posixClass(cursor)
      if (posix !== undefined) add(posix)
      else if (cursor.skip('[')) add(cursor.nested(() => parseClass(cursor, foldsCase)))
      else add(range(cursor))
    }
  }
}

function perlClass(cursor: PatternCursor): ByteSet {
  let set = nothing
  if (/[:.=]/.test(cursor.next)) cursor.unsupported(`[${cursor.next}`)
  if (cursor.skip(']')) set = byteRange(0x5d)
  while (!cursor.skip(']')) {
    const posix = posixClass(cursor)
    set = union(set, posix ?? range(cursor))
    if (posix !== undefined && cursor.next === '-' && !cursor.sees('-]')) cursor.refuse('a range from a class')
  }
  return set
}

function posixClass(cursor: PatternCursor): ByteSet | undefined {
  const found = cursor.match(posixName)
  if (found === null) return undefined
  const set = posixSets.get(found[2]!)!
  return found[1] === '^' ? complement(set) : set
}

/** One byte, a range of bytes, or what an escape stands for. */
function range(cursor: PatternCursor): ByteSet {
  const low = item(cursor)
  const isRange = cursor.next === '-' && !cursor.sees('-]') && !(cursor.dialect === 'automaton' && cursor.sees('--'))
  if (!isRange) return typeof low === 'number' ? byteRange(low) : low
  cursor.skip('-')
  const high = item(cursor)
  if (typeof low !== 'number' || typeof high !== 'number') {
    if (cursor.dialect === 'perl') cursor.unsupported('a range from or to a class')
    return cursor.refuse('a range from or to a class')
  }
  if (low > high) cursor.refuse('a range that ends before it begins')
  return byteRange(low, high)
}

function item(cursor: PatternCursor): number | ByteSet {
  const text = cursor.take('the end of a class')
  const byte = text.charCodeAt(0)
  if (text !== '\\') {
    if (byte > 0x7f && cursor.dialect === 'automaton') cursor.refuse('a character beyond ASCII in a class')
    if (text === '[' && cursor.dialect === 'perl' && /[:.=]/.test(cursor.next)) cursor.unsupported(`[${cursor.next}`)
    return byte
  }
  const isBackspace = cursor.dialect === 'perl' && cursor.skip('b')
  if (isBackspace) return 0x08
  const found = parseEscape(cursor)
  if (found.kind === 'byte') return found.byte
  if (found.kind === 'set') return found.set
  if (cursor.dialect === 'perl') cursor.unsupported('an assertion in a class')
  return cursor.refuse('an assertion or a character beyond ASCII in a class')
}
