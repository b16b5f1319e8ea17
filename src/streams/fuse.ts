/**
 * Several stages in one Transform.
 *
 * @packageDocumentation
 */
import type { Given, Last } from './pipeline.ts'
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
export function fuse<A, B, C, const Outs extends readonly unknown[]>(
  first: Stage<A, B>,
  second: Stage<B, C>,
  ...more: { [I in keyof Outs]: Stage<Given<[C, ...Outs], I>, Outs[I]> }
): Stage<A, Last<[C, ...Outs]>> {
  const stages = [first, second, ...(more as unknown as Stage<unknown, unknown>[])] as Stage<unknown, unknown>[]
  const machine = new FusedMachine(stages.map((stage) => stage.machine)) as Machine<A, Last<[C, ...Outs]>>
  return new Stage(machine, { input: first.inputMode, output: stages.at(-1)!.outputMode })
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
