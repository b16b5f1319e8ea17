/**
 * The result of a sink, as a promise.
 *
 * @packageDocumentation
 */
import { ComposefsError } from '../errors.ts'

/** A promise and what settles it. */
export interface Deferred<T> {
  readonly promise: Promise<T>
  resolve(value: T): void
  /** Rejects, unless it was resolved: the sink was destroyed. */
  abandon(error: Error | null, stage: string): void
}

/** A promise that may stay unobserved: whoever drives the pipeline learns of the error there. */
export function deferred<T>(): Deferred<T> {
  const { promise, resolve, reject } = withResolvers<T>()
  promise.catch(() => {})
  return {
    promise,
    resolve,
    abandon: (error, stage) => {
      reject(error ?? new ComposefsError('ERR_STREAM_ORDER', 'the sink was destroyed before the end', { stage }))
    },
  }
}

/** `Promise.withResolvers` is newer than Node 20. */
function withResolvers<T>(): { promise: Promise<T>; resolve: (value: T) => void; reject: (error: Error) => void } {
  let resolve!: (value: T) => void
  let reject!: (error: Error) => void
  const promise = new Promise<T>((yes, no) => {
    resolve = yes
    reject = no
  })
  return { promise, resolve, reject }
}
