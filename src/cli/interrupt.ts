/**
 * Ctrl-C and SIGTERM, in a way that leaves everything sound.
 *
 * @packageDocumentation
 */
import { setMaxListeners } from 'node:events'
import { ComposefsError } from '../errors.ts'

const abort = new AbortController()
// All that a command does may listen.
setMaxListeners(0, abort.signal)

/** Milliseconds that interrupted work has to clear up. */
const grace = 500
let text = 'interrupted'

/** Fires with `ERR_INTERRUPTED` at the first SIGINT or SIGTERM. */
export const interruption: AbortSignal = abort.signal

/** The {@link interruption}, for work that leaves this behind: `the repository is sound`. */
export function interruptible(consequence: string): AbortSignal {
  text = `interrupted; ${consequence}`
  return interruption
}

/**
 * What work results in. From here on the first SIGINT or SIGTERM fires {@link interruption}; the second one kills, as
 * usual. Work that does not heed it is left alone after a moment: it may wait for somebody else, such as the reader of a
 * pipe.
 *
 * @throws the reason of {@link interruption}, whatever the work makes of it
 */
export async function unlessInterrupted<T>(work: () => Promise<T>): Promise<T> {
  const stop = (): void => abort.abort(new ComposefsError('ERR_INTERRUPTED', text))
  process.once('SIGINT', stop).once('SIGTERM', stop)
  const tooLate = new Promise<never>((_resolve, reject) => {
    const wait = (): void => void setTimeout(() => reject(interruption.reason as Error), grace)
    interruption.addEventListener('abort', wait, { once: true })
  })
  try {
    return await Promise.race([work(), tooLate])
  } catch (error) {
    throw interruption.aborted ? interruption.reason : error
  }
}
