/**
 * From the text of a regular expression to a {@link Pattern} (spec: oci-image, section 6).
 *
 * @packageDocumentation
 */
import { type ByteString, toBuffer } from '../bytes.ts'
import { ComposefsError } from '../errors.ts'
import { escapeControls } from '../escape.ts'
import { type ByteSet, byteRange, complement, foldCase } from './byte-set.ts'
import { maxWidth, type Pattern } from './pattern.ts'
import { parseClass } from './pattern-class.ts'
import { type Dialect, PatternCursor, PatternRefused } from './pattern-cursor.ts'
import { parseEscape } from './pattern-escape.ts'

/** Longest text that may stand before a position for a look-behind, in bytes. */
const maxLookBehind = 255
const counts = /\{([0-9]{1,10})(?:(,)([0-9]{0,10}))?\}/y
const groupName = /\?P?<([A-Za-z_][A-Za-z0-9_]*)>/y
const flagLetters = /\?([a-zA-Z]*)(-[a-zA-Z]+)?([:)])/y
const looks = [
  { text: '?=', ahead: true, negative: false },
  { text: '?!', ahead: true, negative: true },
  { text: '?<=', ahead: false, negative: false },
  { text: '?<!', ahead: false, negative: true },
] as const

/**
 * Parses the whole text: as an automaton would, and where that cannot be, as Perl would.
 *
 * @throws {@link ComposefsError} `ERR_SELINUX_REGEX`
 */
export function parsePattern(text: ByteString): Pattern {
  try {
    return new PatternParser(text, 'automaton').parse()
  } catch (error) {
    if (!(error instanceof PatternRefused)) throw asOurs(error, text)
  }
  try {
    return new PatternParser(text, 'perl').parse()
  } catch (error) {
    throw asOurs(error, text)
  }
}

function asOurs(error: unknown, text: ByteString): unknown {
  if (!(error instanceof Error)) return error
  // As it stands in the file: names have their backslashes doubled, which are hard to read here.
  const what = `the regular expression ${escapeControls(toBuffer(text).toString())} cannot be used (${error.message})`
  return new ComposefsError('ERR_SELINUX_REGEX', what, {
    hint: 'look-around is understood; back references, atomic groups, possessive repetitions and most flags are not',
    cause: error,
  })
}

class PatternParser {
  readonly #cursor: PatternCursor
  readonly #dot: ByteSet
  readonly #names = new Set<string>()
  #foldsCase = false
  #dotIsAll = false

  constructor(text: ByteString, dialect: Dialect) {
    this.#cursor = new PatternCursor(text, dialect)
    // Automatons end lines with NUL here, Perl with a newline.
    this.#dot = complement(byteRange(dialect === 'automaton' ? 0 : 0x0a))
  }

  parse(): Pattern {
    const pattern = this.#choice()
    if (this.#cursor.next !== '') this.#cursor.refuse('a closing parenthesis that opens nowhere')
    if (this.#cursor.dialect === 'perl' && pattern.kind === 'choice') {
      this.#cursor.unsupported('alternatives outside of parentheses')
    }
    return pattern
  }

  /** What stands between `|`, up to the end of the group or text. Flags hold until there. */
  #choice(): Pattern {
    const branches: Pattern[] = []
    let items: Pattern[] = []
    for (;;) {
      const { next } = this.#cursor
      if (next === '' || next === ')') break
      if (this.#cursor.skip('|')) {
        branches.push(sequence(items))
        items = []
      } else {
        const item = this.#item()
        if (item !== undefined) items.push(this.#repeated(item))
        else if (/[?*+]/.test(this.#cursor.next)) this.#cursor.refuse('a repetition of nothing')
      }
    }
    branches.push(sequence(items))
    return branches.length === 1 ? branches[0]! : { kind: 'choice', parts: branches }
  }

  #repeated(item: Pattern): Pattern {
    let part = item
    for (;;) {
      const range = this.#repetition()
      if (range === undefined) return part
      // Greed decides what a group captures, not whether the text matches.
      this.#cursor.skip('?')
      if (this.#cursor.dialect === 'perl') {
        if (part !== item || this.#cursor.next === '+') this.#cursor.unsupported('a possessive or doubled repetition')
        if (part.kind === 'look' || part.kind === 'assertion') this.#cursor.unsupported('a repeated assertion')
      }
      part = { kind: 'repeat', part, ...range }
    }
  }

  #repetition(): { min: number; max: number } | undefined {
    const cursor = this.#cursor
    if (cursor.skip('*')) return { min: 0, max: Number.POSITIVE_INFINITY }
    if (cursor.skip('+')) return { min: 1, max: Number.POSITIVE_INFINITY }
    if (cursor.skip('?')) return { min: 0, max: 1 }
    if (cursor.next !== '{') return undefined
    const found = cursor.match(counts)
    if (found === null) {
      if (cursor.dialect === 'automaton') cursor.refuse('a brace without a number')
      // To Perl a brace is a character, but versions differ over this one.
      if (cursor.sees('{,')) cursor.unsupported('{, without a first number')
      return undefined
    }
    const min = Number(found[1])
    const max = found[2] === undefined ? min : found[3] === '' ? Number.POSITIVE_INFINITY : Number(found[3])
    if (max < min) cursor.refuse('a repetition whose numbers are the wrong way round')
    return { min, max }
  }

  /** One thing that can be repeated, or undefined for flags. */
  #item(): Pattern | undefined {
    const cursor = this.#cursor
    const text = cursor.take('an expression')
    switch (text) {
      case '(':
        return cursor.nested(() => this.#group())
      case '[':
        return { kind: 'set', set: cursor.nested(() => parseClass(cursor, this.#foldsCase)) }
      case '.':
        return { kind: 'set', set: this.#dotIsAll ? byteRange(0, 0xff) : this.#dot }
      case '^':
        return { kind: 'assertion', what: 'start' }
      case '$':
        return { kind: 'assertion', what: 'end' }
      case '\\':
        return this.#escape()
      case '?':
      case '*':
      case '+':
        return cursor.refuse('a repetition of nothing')
      case '{':
        if (cursor.dialect === 'automaton' || /[0-9]/.test(cursor.next)) cursor.refuse('a repetition of nothing')
    }
    return this.#character(text)
  }

  /** A character that stands for itself. Automatons repeat all bytes of one, Perl the last. */
  #character(first: string): Pattern {
    const lead = first.charCodeAt(0)
    if (lead < 0xc0 || this.#cursor.dialect === 'perl') return this.#byte(lead)
    const rest = this.#cursor.match(/[\x80-\xbf]*/y)?.[0] ?? ''
    return this.#bytes(first + rest)
  }

  #escape(): Pattern {
    const found = parseEscape(this.#cursor)
    if (found.kind === 'byte') return this.#byte(found.byte)
    return found.kind === 'character' ? this.#bytes(found.bytes) : found
  }

  #bytes(text: string): Pattern {
    return sequence([...text].map((character) => this.#byte(character.charCodeAt(0))))
  }

  #byte(byte: number): Pattern {
    const isLetter = /[a-zA-Z]/.test(String.fromCharCode(byte))
    return this.#foldsCase && isLetter ? { kind: 'set', set: foldCase(byteRange(byte)) } : { kind: 'byte', byte }
  }

  /** What follows an opening parenthesis, with the closing one. */
  #group(): Pattern | undefined {
    const cursor = this.#cursor
    if (cursor.sees('*') && cursor.dialect === 'perl') cursor.unsupported('(*')
    const look = looks.find(({ text }) => cursor.skip(text))
    if (look !== undefined) {
      if (cursor.dialect === 'automaton') cursor.refuse('look-around')
      const { ahead, negative } = look
      const part = this.#scope()
      if (!ahead && maxWidth(part) > maxLookBehind) cursor.unsupported('a look-behind of no fixed length')
      return { kind: 'look', ahead, negative, part }
    }
    const name = cursor.match(groupName)?.[1]
    if (name !== undefined && this.#names.has(name)) cursor.unsupported(`two groups named ${name}`)
    if (name !== undefined) this.#names.add(name)
    if (name !== undefined || !cursor.sees('?')) return this.#scope()
    const [, on = '', off = '', end] = cursor.match(flagLetters) ?? cursor.refuse('(? with something unknown')
    if (end === ')') {
      if (on + off === '') cursor.refuse('a repetition of nothing')
      this.#setFlags(on, off)
      return undefined
    }
    return this.#scope(() => this.#setFlags(on, off))
  }

  /** The inside of a group, at whose end the flags are again what they were. */
  #scope(begin?: () => void): Pattern {
    const [foldsCase, dotIsAll] = [this.#foldsCase, this.#dotIsAll]
    begin?.()
    const pattern = this.#choice()
    if (!this.#cursor.skip(')')) this.#cursor.refuse('a parenthesis that is not closed')
    this.#foldsCase = foldsCase
    this.#dotIsAll = dotIsAll
    return pattern
  }

  #setFlags(on: string, off: string): void {
    const letters = [...[...on].map((letter) => [letter, true]), ...[...off.slice(1)].map((letter) => [letter, false])]
    for (const [letter, value] of letters as [string, boolean][]) {
      if (letter === 'i') this.#foldsCase = value
      else if (letter === 's') this.#dotIsAll = value
      // Which repetitions are greedy does not matter.
      else if (letter !== 'U') this.#cursor.unsupported(`the flag ${letter}`)
    }
  }
}

function sequence(parts: readonly Pattern[]): Pattern {
  return parts.length === 1 ? parts[0]! : { kind: 'sequence', parts }
}
