/**
 * Reading the text of a regular expression, by the rules of one of two dialects.
 *
 * @packageDocumentation
 */
import type { ByteString } from '../bytes.ts'

/**
 * `automaton` is the syntax of engines that need no backtracking (that of Rust's regex-automata, bytes, no Unicode).
 * What it refuses is read as `perl` (PCRE2, bytes), where look-around exists.
 */
export type Dialect = 'automaton' | 'perl'

/** The dialect refuses the text. */
export class PatternRefused extends Error {}

/** The text means something that cannot be matched here, in whatever dialect. */
export class PatternUnsupported extends Error {}

/** Groups and classes may nest this deep, as in the engines whose dialects these are. */
const maxDepth = 250

/** A place in the text. */
export class PatternCursor {
  readonly dialect: Dialect
  readonly #text: ByteString
  #at = 0
  #depth = 0

  constructor(text: ByteString, dialect: Dialect) {
    this.#text = text
    this.dialect = dialect
  }

  /** The next character; empty at the end. */
  get next(): string {
    return this.#text.charAt(this.#at)
  }

  /** The next character, which is passed over; `what` is missing at the end. */
  take(what: string): string {
    const next = this.next
    if (next === '') this.refuse(`${what} is missing at the end`)
    this.#at++
    return next
  }

  /** Passes over this text if it comes next. */
  skip(text: string): boolean {
    const found = this.#text.startsWith(text, this.#at)
    if (found) this.#at += text.length
    return found
  }

  /** Whether this text comes next. */
  sees(text: string): boolean {
    return this.#text.startsWith(text, this.#at)
  }

  /** Passes over what a sticky expression matches here. */
  match(expression: RegExp): RegExpExecArray | null {
    expression.lastIndex = this.#at
    const found = expression.exec(this.#text)
    if (found !== null) this.#at += found[0].length
    return found
  }

  /** Reads something that may hold the like of itself. */
  nested<T>(read: () => T): T {
    if (++this.#depth > maxDepth) this.unsupported(`more than ${maxDepth} levels of nesting`)
    const result = read()
    this.#depth--
    return result
  }

  refuse(what: string): never {
    throw new PatternRefused(what)
  }

  unsupported(what: string): never {
    throw new PatternUnsupported(what)
  }
}
