/**
 * Sets of bytes: what one position of a regular expression accepts.
 *
 * @packageDocumentation
 */

/** One element per byte, 1 for those in the set. Not changed once made. */
export type ByteSet = Uint8Array

/** The set of bytes that pass. */
export function byteSet(has: (byte: number) => boolean): ByteSet {
  // A policy has tens of thousands of them: this is ten times as fast as Uint8Array.from.
  const set = new Uint8Array(256)
  for (let byte = 0; byte < 256; byte++) if (has(byte)) set[byte] = 1
  return set
}

/** The bytes from `low` to `high`, both included. */
export function byteRange(low: number, high: number = low): ByteSet {
  return byteSet((byte) => byte >= low && byte <= high)
}

/** The bytes of a text of one character a byte. */
export function bytesIn(text: string): ByteSet {
  return byteSet((byte) => text.includes(String.fromCharCode(byte)))
}

export function union(a: ByteSet, b: ByteSet): ByteSet {
  return byteSet((byte) => a[byte] === 1 || b[byte] === 1)
}

export function intersection(a: ByteSet, b: ByteSet): ByteSet {
  return byteSet((byte) => a[byte] === 1 && b[byte] === 1)
}

export function complement(set: ByteSet): ByteSet {
  return byteSet((byte) => set[byte] === 0)
}

/** With the other case of every ASCII letter in it. */
export function foldCase(set: ByteSet): ByteSet {
  return byteSet((byte) => set[byte] === 1 || (isLetter(byte) && set[byte ^ 0x20] === 1))
}

function isLetter(byte: number): boolean {
  const lower = byte | 0x20
  return lower >= 0x61 && lower <= 0x7a
}

const digit = byteRange(0x30, 0x39)
const upper = byteRange(0x41, 0x5a)
const lower = byteRange(0x61, 0x7a)
const alpha = union(upper, lower)
const alnum = union(alpha, digit)
const graph = byteRange(0x21, 0x7e)

/** `\w`: letters, digits and the underscore, of ASCII alone. */
export const wordBytes: ByteSet = union(alnum, byteRange(0x5f))

/** What `\d`, `\s` and `\w` stand for. */
export const perlSets: Readonly<Record<'d' | 's' | 'w', ByteSet>> = {
  d: digit,
  s: bytesIn('\t\n\v\f\r '),
  w: wordBytes,
}

/** The classes that are written `[:name:]`. */
export const posixSets: ReadonlyMap<string, ByteSet> = new Map([
  ['alnum', alnum],
  ['alpha', alpha],
  ['ascii', byteRange(0, 0x7f)],
  ['blank', bytesIn('\t ')],
  ['cntrl', union(byteRange(0, 0x1f), byteRange(0x7f))],
  ['digit', digit],
  ['graph', graph],
  ['lower', lower],
  ['print', byteRange(0x20, 0x7e)],
  ['punct', intersection(graph, complement(alnum))],
  ['space', perlSets.s],
  ['upper', upper],
  ['word', wordBytes],
  ['xdigit', union(digit, union(byteRange(0x41, 0x46), byteRange(0x61, 0x66)))],
])
