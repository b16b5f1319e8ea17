/**
 * Ctrl-C, in a way that leaves everything sound.
 *
 * @packageDocumentation
 */
import { setMaxListeners } from 'node:events'
import { ComposefsError } from '../errors.ts'

/** Gives work a signal that fires with `ERR_INTERRUPTED` at the first SIGINT or SIGTERM; the second one kills, as usual. */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const abort = new AbortController()
  setMaxListeners(0, abort.signal)
  const stop = (): void => abort.abort(new ComposefsError('ERR_INTERRUPTED', 'interrupted; the repository is sound'))
  process.once('SIGINT', stop).once('SIGTERM', stop)
  try {
    return await work(abort.signal)
  } finally {
    process.removeListener('SIGINT', stop).removeListener('SIGTERM', stop)
  }
}
