/**
 * A budget of work, so that no policy keeps a program busy for ever.
 *
 * @packageDocumentation
 */
import { ComposefsError } from '../errors.ts'

/** Counts the steps of matching, of all paths together. */
export class WorkBudget {
  readonly #limit: number
  #spent = 0

  /** @param limit most steps */
  constructor(limit: number) {
    this.#limit = limit
  }

  /** @throws {@link ComposefsError} `ERR_LIMIT` */
  spend(steps: number): void {
    this.#spent += steps
    if (this.#spent <= this.#limit) return
    throw new ComposefsError('ERR_LIMIT', `matching paths with the SELinux policy takes over ${this.#limit} steps`, {
      hint: 'some regular expression of its file_contexts is too expensive; raise the limit (maxSteps) if it must be',
    })
  }
}
