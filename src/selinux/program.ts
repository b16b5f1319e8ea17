/**
 * Patterns compiled into states of one non-deterministic automaton.
 *
 * @packageDocumentation
 */
import { ComposefsError } from '../errors.ts'
import type { ByteSet } from './byte-set.ts'
import type { Assertion, Pattern } from './pattern.ts'

/** What a state does before the text goes on at its next state. */
export type State =
  | { readonly kind: 'byte'; readonly byte: number; readonly next: number }
  | { readonly kind: 'set'; readonly set: ByteSet; readonly next: number }
  /** Goes on at both. */
  | { readonly kind: 'split'; next: number; readonly other: number }
  | { readonly kind: 'assertion'; readonly what: Assertion; readonly next: number }
  /** Goes on if a match begins (or, behind, ends) here, by the states that `inner` begins. */
  | {
      readonly kind: 'look'
      readonly ahead: boolean
      readonly negative: boolean
      readonly inner: number
      readonly next: number
    }
  /** The pattern of this number matches. */
  | { readonly kind: 'match'; readonly pattern: number }

/** States of any number of patterns. */
export class Program {
  readonly states: State[] = []
  readonly #limit: number

  /** @param limit most states, more is `ERR_LIMIT` */
  constructor(limit: number) {
    this.#limit = limit
  }

  /**
   * Adds a pattern.
   *
   * @returns the state it begins with
   * @throws {@link ComposefsError} `ERR_LIMIT`
   */
  add(pattern: Pattern, number: number): number {
    return this.#compile(pattern, this.#emit({ kind: 'match', pattern: number }))
  }

  /** The state that takes what the pattern takes, and goes on at `next`. */
  #compile(pattern: Pattern, next: number): number {
    switch (pattern.kind) {
      case 'byte':
        return this.#emit({ kind: 'byte', byte: pattern.byte, next })
      case 'set':
        return this.#emit({ kind: 'set', set: pattern.set, next })
      case 'assertion':
        return this.#emit({ kind: 'assertion', what: pattern.what, next })
      case 'sequence':
        return pattern.parts.reduceRight((after, part) => this.#compile(part, after), next)
      case 'choice':
        return pattern.parts
          .map((part) => this.#compile(part, next))
          .reduceRight((other, one) => this.#emit({ kind: 'split', next: one, other }))
      case 'look': {
        const { ahead, negative, part } = pattern
        const inner = this.#compile(part, this.#emit({ kind: 'match', pattern: -1 }))
        return this.#emit({ kind: 'look', ahead, negative, inner, next })
      }
      case 'repeat':
        return this.#repeat(pattern.part, pattern.min, pattern.max, next)
    }
  }

  #repeat(part: Pattern, min: number, max: number, next: number): number {
    let start = next
    if (max === Number.POSITIVE_INFINITY) {
      const loop: State = { kind: 'split', next, other: next }
      start = this.#emit(loop)
      loop.next = this.#compile(part, start)
    }
    const optional = max === Number.POSITIVE_INFINITY ? 0 : max - min
    for (let i = 0; i < optional + min; i++) {
      const one = this.#compile(part, start)
      // A part of no states repeats as nothing, however often.
      if (one === start) break
      start = i < optional ? this.#emit({ kind: 'split', next: one, other: next }) : one
    }
    return start
  }

  #emit(state: State): number {
    if (this.states.length >= this.#limit) {
      const what = `the regular expressions of the SELinux policy have over ${this.#limit} states`
      throw new ComposefsError('ERR_LIMIT', what, {
        hint: 'repeat less in {braces}, or raise the limit (maxStates)',
      })
    }
    return this.states.push(state) - 1
  }
}
