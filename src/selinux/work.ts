/**
 * A budget of work, so that no policy keeps a program busy for ever.
 *
 * @packageDocumentation
 */
import { ComposefsError } from '../errors.ts'

/** Counts the steps of matching. */
export class WorkBudget {
  readonly #perText: number
  #limit: number
  #spent = 0

  /**
   * @param limit most steps, of all texts together
   * @param perText so many more for each text
   */
  constructor(limit: number, perText: number) {
    this.#limit = limit
    this.#perText = perText
  }

  /** Another text is to be matched. */
  begin(): void {
    this.#limit += this.#perText
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
