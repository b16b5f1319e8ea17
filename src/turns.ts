/**
 * Long work in turns: signals, timers and other work have theirs in between.
 *
 * @packageDocumentation
 */
/** So long nobody else has a turn, in milliseconds. */
const turn = 20

/** Says when a turn is over, and ends it. The clock is looked at each time: ask once for some hundred pieces of work. */
export class Turns {
  readonly #signal: AbortSignal | undefined
  #since = performance.now()

  constructor(signal: AbortSignal | undefined) {
    this.#signal = signal
  }

  get over(): boolean {
    return performance.now() - this.#since > turn
  }

  /** @throws the reason of the signal */
  async next(): Promise<void> {
    await new Promise<void>((resolve) => void setImmediate(resolve))
    this.#signal?.throwIfAborted()
    this.#since = performance.now()
  }
}

/** Work that can be interrupted wherever it yields. */
export type Steps<T> = Generator<void, T, undefined>

/** Does all steps in one go. */
export function atOnce<T>(steps: Steps<T>): T {
  for (;;) {
    const step = steps.next()
    if (step.done === true) return step.value
  }
}

/**
 * Does all steps in turns.
 *
 * @throws the reason of the signal
 */
export async function inTurns<T>(steps: Steps<T>, signal?: AbortSignal): Promise<T> {
  const turns = new Turns(signal)
  signal?.throwIfAborted()
  for (;;) {
    const step = steps.next()
    if (step.done === true) return step.value
    if (turns.over) await turns.next()
  }
}
