/**
 * Several stages in one Transform.
 *
 * @packageDocumentation
 */
import { type Emit, type Machine, Stage } from './stage.ts'

/**
 * Puts the machines of consecutive stages into one stage, which hands records on by calls: no queue, no tick between
 * them. The stages given are used up; put the result in their place.
 *
 * @example
 * ```ts
 * import { ContentSplitter, fuse, PaxParser, TarDecoder } from 'composefs-streams/streams'
 *
 * const split = fuse(new TarDecoder(), new PaxParser(), new ContentSplitter())
 * ```
 */
export function fuse<A, B, C>(a: Stage<A, B>, b: Stage<B, C>): Stage<A, C>
export function fuse<A, B, C, D>(a: Stage<A, B>, b: Stage<B, C>, c: Stage<C, D>): Stage<A, D>
export function fuse<A, B, C, D, E>(a: Stage<A, B>, b: Stage<B, C>, c: Stage<C, D>, d: Stage<D, E>): Stage<A, E>
export function fuse<A, B, C, D, E, F>(
  a: Stage<A, B>,
  b: Stage<B, C>,
  c: Stage<C, D>,
  d: Stage<D, E>,
  e: Stage<E, F>,
): Stage<A, F>
export function fuse(...stages: Stage<unknown, unknown>[]): Stage<unknown, unknown> {
  const machine = new FusedMachine(stages.map((stage) => stage.machine))
  return new Stage(machine, { input: stages[0]!.inputMode, output: stages.at(-1)!.outputMode })
}

class FusedMachine implements Machine<unknown, unknown> {
  readonly #machines: readonly Machine<unknown, unknown>[]
  #emit: Emit<unknown> | undefined
  #emits: Emit<unknown>[] = []

  constructor(machines: readonly Machine<unknown, unknown>[]) {
    this.#machines = machines
  }

  push(input: unknown, emit: Emit<unknown>): void {
    this.#connect(emit)
    this.#machines[0]!.push(input, this.#emits[0]!)
  }

  finish(emit: Emit<unknown>): void {
    this.#connect(emit)
    this.#machines.forEach((machine, i) => {
      machine.finish(this.#emits[i]!)
    })
  }

  /** Each machine's records go straight into the next one. */
  #connect(emit: Emit<unknown>): void {
    if (emit === this.#emit) return
    this.#emit = emit
    const machines = this.#machines
    this.#emits = new Array(machines.length)
    this.#emits[machines.length - 1] = emit
    for (let i = machines.length - 2; i >= 0; i--) {
      const next = machines[i + 1]!
      const onward = this.#emits[i + 1]!
      this.#emits[i] = (record) => next.push(record, onward)
    }
  }
}
