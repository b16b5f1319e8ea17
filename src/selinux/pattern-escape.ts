/**
 * What follows a backslash in a regular expression.
 *
 * @packageDocumentation
 */
import { bytesOf } from '../bytes.ts'
import { type ByteSet, complement, perlSets } from './byte-set.ts'
import type { Assertion } from './pattern.ts'
import type { PatternCursor } from './pattern-cursor.ts'

/** One escape. A character beyond ASCII is the bytes of its UTF-8, which a repetition takes as one. */
export type Escape =
  | { readonly kind: 'byte'; readonly byte: number }
  | { readonly kind: 'character'; readonly bytes: string }
  | { readonly kind: 'set'; readonly set: ByteSet }
  | { readonly kind: 'assertion'; readonly what: Assertion }

const controls: Readonly<Record<string, number>> = { a: 0x07, f: 0x0c, t: 0x09, n: 0x0a, r: 0x0d }
const assertions: Readonly<Record<string, Assertion>> = { A: 'start', z: 'end', b: 'word', B: 'not-word' }
const hexDigits = { x: /[0-9A-Fa-f]{2}/y, u: /[0-9A-Fa-f]{4}/y, U: /[0-9A-Fa-f]{8}/y }
const bracedHex = /\{([0-9A-Fa-f]+)\}/y

/** Reads what follows the backslash. */
export function parseEscape(cursor: PatternCursor): Escape {
  const letter = cursor.take('what a backslash stands before')
  const perl = perlSets[letter.toLowerCase() as keyof typeof perlSets]
  if (perl !== undefined) return { kind: 'set', set: letter === letter.toLowerCase() ? perl : complement(perl) }
  const byte = letter.charCodeAt(0)
  const control = controls[letter]
  if (control !== undefined) return { kind: 'byte', byte: control }
  if (cursor.dialect === 'automaton') return automatonEscape(cursor, letter, byte)
  return perlEscape(cursor, letter, byte)
}

function automatonEscape(cursor: PatternCursor, letter: string, byte: number): Escape {
  switch (letter) {
    case 'x':
    case 'u':
    case 'U':
      return automatonHex(cursor, letter)
    case 'v':
      return { kind: 'byte', byte: 0x0b }
    case '<':
      return { kind: 'assertion', what: 'word-start' }
    case '>':
      return { kind: 'assertion', what: 'word-end' }
  }
  const what = assertions[letter]
  if (what !== undefined) {
    if (letter === 'b' && cursor.next === '{') cursor.unsupported('\\b{')
    return { kind: 'assertion', what }
  }
  if (byte > 0x7f || /[0-9A-Za-z]/.test(letter)) cursor.refuse(`\\${letter}`)
  return { kind: 'byte', byte }
}

function automatonHex(cursor: PatternCursor, letter: 'x' | 'u' | 'U'): Escape {
  const braced = cursor.match(bracedHex)
  const digits = braced?.[1] ?? cursor.match(hexDigits[letter])?.[0]
  if (digits === undefined) cursor.refuse(`\\${letter} without its digits`)
  const value = Number.parseInt(digits, 16)
  if (value <= 0x7f || (letter === 'x' && braced === null)) return { kind: 'byte', byte: value }
  if (value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff)) cursor.refuse(`\\${letter}${digits}`)
  return { kind: 'character', bytes: bytesOf(String.fromCodePoint(value)) }
}

function perlEscape(cursor: PatternCursor, letter: string, byte: number): Escape {
  if (letter === 'x') {
    const digits = cursor.match(bracedHex)?.[1] ?? cursor.match(hexDigits.x)?.[0]
    const value = Number.parseInt(digits ?? '', 16)
    if (!(value <= 0xff)) cursor.unsupported('\\x without two digits')
    return { kind: 'byte', byte: value }
  }
  if (letter === 'e') return { kind: 'byte', byte: 0x1b }
  if (letter === 'Z') return { kind: 'assertion', what: 'end' }
  const what = assertions[letter]
  if (what !== undefined) return { kind: 'assertion', what }
  if (/[0-9A-Za-z]/.test(letter)) cursor.unsupported(`\\${letter}`)
  return { kind: 'byte', byte }
}
