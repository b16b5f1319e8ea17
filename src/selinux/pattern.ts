/**
 * Regular expressions of file contexts, parsed.
 *
 * @packageDocumentation
 */
import type { ByteSet } from './byte-set.ts'

/** Something about a position that takes no bytes. Words are of ASCII. */
export type Assertion = 'start' | 'end' | 'word' | 'not-word' | 'word-start' | 'word-end'

/** A part of a pattern. Only whether a text matches counts, so groups capture nothing and greed does not show. */
export type Pattern =
  | { readonly kind: 'byte'; readonly byte: number }
  | { readonly kind: 'set'; readonly set: ByteSet }
  | { readonly kind: 'sequence' | 'choice'; readonly parts: readonly Pattern[] }
  | { readonly kind: 'repeat'; readonly part: Pattern; readonly min: number; readonly max: number }
  | { readonly kind: 'assertion'; readonly what: Assertion }
  | { readonly kind: 'look'; readonly ahead: boolean; readonly negative: boolean; readonly part: Pattern }

/** Bytes that the pattern can take at most; Infinity where nothing bounds it. */
export function maxWidth(pattern: Pattern): number {
  switch (pattern.kind) {
    case 'byte':
    case 'set':
      return 1
    case 'sequence':
      return pattern.parts.reduce((sum, part) => sum + maxWidth(part), 0)
    case 'choice':
      return pattern.parts.reduce((most, part) => Math.max(most, maxWidth(part)), 0)
    case 'repeat': {
      const width = maxWidth(pattern.part)
      return width === 0 ? 0 : width * pattern.max
    }
    default:
      return 0
  }
}

/** Whether an automaton alone can decide: there is no look-around in it, and no word boundary. */
export function isRegular(pattern: Pattern): boolean {
  switch (pattern.kind) {
    case 'sequence':
    case 'choice':
      return pattern.parts.every(isRegular)
    case 'repeat':
      return isRegular(pattern.part)
    case 'assertion':
      return pattern.what === 'start' || pattern.what === 'end'
    default:
      return pattern.kind !== 'look'
  }
}
