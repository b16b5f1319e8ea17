/**
 * Matching a text with all patterns at once, in time linear in its length.
 *
 * @packageDocumentation
 */
import type { Program } from './program.ts'
import type { WorkBudget } from './work.ts'

/** A set of states of the {@link Program}, found when a text first led there. */
interface Node {
  /** States that take a byte. */
  readonly states: Int32Array
  /** The highest pattern that matches here, whatever follows; -1 without. */
  readonly matched: number
  /** The highest pattern that matches if the text ends here. */
  readonly matchedAtEnd: number
  /** Where each byte leads. */
  readonly next: (Node | undefined)[]
}

/** Nodes are forgotten when their states and themselves are more than this many numbers. */
const maxRemembered = 4_000_000
const nodeCost = 64

/**
 * A deterministic automaton that is made while it is used. It goes through a text once and never back, so there is no
 * expression that makes it slow; a text that was met before costs one look-up a byte.
 */
export class Automaton {
  readonly #program: Program
  readonly #work: WorkBudget
  readonly #starts: readonly number[]
  /** By state, the last closure that met it. */
  readonly #met: Uint32Array
  #closure = 0
  #nodes = new Map<string, Node>()
  #remembered = 0
  #start: Node | undefined

  /** @param starts the first states of the patterns; the program holds regular ones only */
  constructor(program: Program, starts: readonly number[], work: WorkBudget) {
    this.#program = program
    this.#starts = starts
    this.#work = work
    this.#met = new Uint32Array(program.states.length)
  }

  /** The highest number of a pattern that matches from the beginning of the text (bytes as characters), or -1. */
  match(text: string): number {
    this.#start ??= this.#node(this.#starts, true)
    let node = this.#start
    let best = node.matched
    for (let i = 0; i < text.length; i++) {
      if (node.states.length === 0) return best
      const byte = text.charCodeAt(i)
      let next = node.next[byte]
      if (next === undefined) {
        next = this.#step(node, byte)
        node.next[byte] = next
      }
      node = next
      if (node.matched > best) best = node.matched
    }
    return Math.max(best, node.matchedAtEnd)
  }

  #step(node: Node, byte: number): Node {
    const { states } = this.#program
    const reached: number[] = []
    for (const index of node.states) {
      const state = states[index]!
      if (state.kind === 'byte') {
        if (state.byte === byte) reached.push(state.next)
      } else if (state.kind === 'set' && state.set[byte] === 1) {
        reached.push(state.next)
      }
    }
    this.#work.spend(node.states.length)
    return this.#node(reached, false)
  }

  #node(reached: readonly number[], atStart: boolean): Node {
    const { taking, matched, ends } = this.#follow(reached, atStart, false)
    const { matched: matchedAtEnd } = this.#follow(ends, atStart, true)
    const states = Int32Array.from(taking).sort()
    const key = `${matched} ${matchedAtEnd} ${Buffer.from(states.buffer).toString('latin1')}`
    const known = this.#nodes.get(key)
    if (known !== undefined) return known
    const node: Node = { states, matched, matchedAtEnd: Math.max(matched, matchedAtEnd), next: [] }
    this.#remembered += states.length + nodeCost
    if (this.#remembered > maxRemembered) {
      this.#nodes = new Map()
      this.#start = undefined
      this.#remembered = states.length + nodeCost
    }
    this.#nodes.set(key, node)
    return node
  }

  /** What can be reached without a byte. */
  #follow(reached: readonly number[], atStart: boolean, atEnd: boolean) {
    const { states } = this.#program
    const closure = ++this.#closure
    const pending = [...reached]
    const taking: number[] = []
    const ends: number[] = []
    let matched = -1
    let steps = 0
    for (let index = pending.pop(); index !== undefined; index = pending.pop()) {
      steps++
      if (this.#met[index] === closure) continue
      this.#met[index] = closure
      const state = states[index]!
      if (state.kind === 'split') pending.push(state.next, state.other)
      else if (state.kind === 'match') matched = Math.max(matched, state.pattern)
      else if (state.kind !== 'assertion') taking.push(index)
      else if (state.what === 'start' ? atStart : atEnd) pending.push(state.next)
      else if (state.what === 'end') ends.push(state.next)
    }
    this.#work.spend(steps)
    return { taking, matched, ends }
  }
}
