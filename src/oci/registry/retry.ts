/**
 * Trying again, politely.
 *
 * @packageDocumentation
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { ComposefsError } from '../../errors.ts'
import { Retryable, seconds } from './failures.ts'

/** When to try again, and when to give up. */
export interface RetryOptions {
  /** How often a request is tried again. Default 5; what brings a transfer forward does not count. */
  readonly retryTimes?: number
  /** Milliseconds before the first retry; each further one waits up to twice as long. Default 500. */
  readonly retryDelay?: number
  /** Most milliseconds to wait because a server asks for it; beyond that the pull fails and says how long. Default 2 min. */
  readonly maxRetryWait?: number
}

/** A retry that is about to happen. */
export interface RetryNotice {
  readonly error: ComposefsError
  /** From 1 on. */
  readonly attempt: number
  /** Milliseconds until then. */
  readonly delay: number
}

const longestDelay = 30_000

/** Counts the failures of one transfer. */
export class Retrier {
  readonly #times: number
  readonly #delay: number
  readonly #maxWait: number
  readonly #signal: AbortSignal
  readonly #onRetry: (notice: RetryNotice) => void
  #failures = 0

  constructor(options: RetryOptions, signal: AbortSignal, onRetry: (notice: RetryNotice) => void = () => {}) {
    this.#times = options.retryTimes ?? 5
    this.#delay = options.retryDelay ?? 500
    this.#maxWait = options.maxRetryWait ?? 120_000
    this.#signal = signal
    this.#onRetry = onRetry
  }

  /** Does something until it works. Throws what {@link wait} throws. */
  async run<T>(attempt: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await attempt()
      } catch (error) {
        await this.wait(error)
      }
    }
  }

  /** Something was gained: the next failure is the first again. */
  progress(): void {
    this.#failures = 0
  }

  /**
   * Waits before the next attempt.
   *
   * @throws the error itself where it will not pass, the last one when all attempts are used up, and where the server
   * wants a longer wait than allowed; an `AbortError`
   */
  async wait(error: unknown): Promise<void> {
    this.#signal.throwIfAborted()
    // instanceof of ComposefsError goes by a brand; this class is ours alone.
    if (!(error instanceof Retryable)) throw error
    const { failure, after } = error
    if (after !== undefined && after > this.#maxWait) {
      const { code, message } = failure
      throw new ComposefsError(code, message, {
        cause: failure,
        hint: `no wait is longer than ${seconds(this.#maxWait)}`,
      })
    }
    if (this.#failures >= this.#times) throw failure
    this.#failures++
    const most = Math.min(longestDelay, this.#delay * 2 ** (this.#failures - 1))
    // Many clients that failed together shall not come back together.
    const jitter = most / 2 + (Math.random() * most) / 2
    const delay = after === undefined ? jitter : after + jitter * 0.1
    this.#onRetry({ error: failure, attempt: this.#failures, delay })
    await sleep(delay, undefined, { signal: this.#signal })
  }
}
