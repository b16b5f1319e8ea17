/**
 * Several things at once, but not all.
 *
 * @packageDocumentation
 */
import { setMaxListeners } from 'node:events'

/**
 * Does work on every item, at most `limit` at a time, in their order. The first failure stops the others.
 *
 * @throws the reason of `outer`, or the first failure
 */
export async function inParallel<T>(
  items: readonly T[],
  limit: number,
  outer: AbortSignal | undefined,
  work: (item: T, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const stop = new AbortController()
  const signal = outer === undefined ? stop.signal : AbortSignal.any([outer, stop.signal])
  // Each item may have several who listen.
  setMaxListeners(0, signal)
  // All workers draw from one queue.
  const queue = items.values()
  let failed: { error: unknown } | undefined
  const worker = async (): Promise<void> => {
    for (const item of queue) {
      try {
        signal.throwIfAborted()
        await work(item, signal)
      } catch (error) {
        failed ??= { error }
        stop.abort()
        return
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(Math.max(1, limit), items.length) }, worker))
  outer?.throwIfAborted()
  if (failed !== undefined) throw failed.error
}

/** What work results in, or the reason of the signal where that fires before; the work itself goes on then. */
export async function unlessAborted<T>(signal: AbortSignal | undefined, work: Promise<T>): Promise<T> {
  if (signal === undefined) return work
  let stop = (): void => {}
  const aborted = new Promise<never>((_resolve, reject) => {
    stop = () => reject(signal.reason as Error)
    if (signal.aborted) stop()
    else signal.addEventListener('abort', stop, { once: true })
  })
  try {
    return await Promise.race([work, aborted])
  } finally {
    signal.removeEventListener('abort', stop)
  }
}
