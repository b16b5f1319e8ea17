/**
 * Matching a text with one pattern that looks around.
 *
 * @packageDocumentation
 */
import { wordBytes } from './byte-set.ts'
import type { Assertion } from './pattern.ts'
import type { Program, State } from './program.ts'
import type { WorkBudget } from './work.ts'

/**
 * Whether the states that begin at `start` match from the beginning of the text. No state is tried twice at the same
 * place, so this is no slower than the number of states times the length, for each place that is looked around from.
 */
export function matchesFromStart(program: Program, start: number, text: string, work: WorkBudget): boolean {
  return new Backtracker(program, text, work).matches(start, 0)
}

class Backtracker {
  readonly #program: Program
  readonly #text: string
  readonly #work: WorkBudget
  /** What looking around has found, by state and place. */
  readonly #looks = new Map<number, boolean>()

  constructor(program: Program, text: string, work: WorkBudget) {
    this.#program = program
    this.#text = text
    this.#work = work
  }

  /** Whether a match begins at this place; if `until` is given, one that ends there. */
  matches(start: number, from: number, until?: number): boolean {
    const places = this.#text.length + 1
    const met = new Set<number>()
    const pending = [start * places + from]
    for (let item = pending.pop(); item !== undefined; item = pending.pop()) {
      this.#work.spend(1)
      if (met.has(item)) continue
      met.add(item)
      const at = item % places
      const state = this.#program.states[(item - at) / places]!
      switch (state.kind) {
        case 'match':
          if (until === undefined || until === at) return true
          break
        case 'split':
          pending.push(state.other * places + at, state.next * places + at)
          break
        case 'byte':
          if (this.#text.charCodeAt(at) === state.byte) pending.push(state.next * places + at + 1)
          break
        case 'set':
          if (at < this.#text.length && state.set[this.#text.charCodeAt(at)] === 1) {
            pending.push(state.next * places + at + 1)
          }
          break
        case 'assertion':
          if (this.#holds(state.what, at)) pending.push(state.next * places + at)
          break
        case 'look':
          if (this.#look(state, item, at)) pending.push(state.next * places + at)
      }
    }
    return false
  }

  #look(state: Extract<State, { kind: 'look' }>, item: number, at: number): boolean {
    let holds = this.#looks.get(item)
    if (holds === undefined) {
      holds = (state.ahead ? this.matches(state.inner, at) : this.#endsAt(state.inner, at)) !== state.negative
      this.#looks.set(item, holds)
    }
    return holds
  }

  #endsAt(start: number, at: number): boolean {
    for (let from = at; from >= 0; from--) {
      if (this.matches(start, from, at)) return true
    }
    return false
  }

  #holds(what: Assertion, at: number): boolean {
    const before = this.#isWord(at - 1)
    const after = this.#isWord(at)
    switch (what) {
      case 'start':
        return at === 0
      case 'end':
        return at === this.#text.length
      case 'word':
        return before !== after
      case 'not-word':
        return before === after
      case 'word-start':
        return !before && after
      case 'word-end':
        return before && !after
    }
  }

  #isWord(at: number): boolean {
    return at >= 0 && at < this.#text.length && wordBytes[this.#text.charCodeAt(at)] === 1
  }
}
