/**
 * The advisory lock of a repository (flock(2) on its directory), which the reference tools take too: shared by
 * everybody who has it open, exclusive for garbage collection.
 *
 * @packageDocumentation
 */
import { constants } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { systemError } from '../native/errno.ts'
import { lockOperation, native } from '../native/libc.ts'

export type LockMode = 'shared' | 'exclusive'

/** How long to wait between two attempts, in milliseconds: soon at first, then less and less often. */
const firstWait = 2
const longestWait = 100

/**
 * Takes the lock on an open directory, or changes what kind of lock is held; waits as long as others hold it. It goes
 * with the descriptor. Waiting does not block the process.
 *
 * @returns whether there is a lock: without koffi there is none, and nothing keeps a garbage collection away
 * @throws {@link ComposefsError} `ERR_IO` where the file system has no locks; an `AbortError` when `signal` fires
 */
export async function lockDirectory(
  fd: number,
  path: string,
  mode: LockMode,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<boolean> {
  const libc = native()
  if (libc === undefined) return false
  const { signal } = options
  const pause = (wait: number): Promise<void> => sleep(wait, undefined, signal === undefined ? {} : { signal })
  if (signal?.aborted === true) await pause(0)
  // Not the blocking form: it would stop the whole process, and no signal could end the wait.
  for (let wait = firstWait; ; wait = Math.min(wait * 2, longestWait)) {
    const errno = libc.flock(fd, lockOperation[mode] | lockOperation.nonBlocking)
    if (errno === 0) return true
    if (errno !== constants.errno.EAGAIN && errno !== constants.errno.EINTR) {
      throw systemError(errno, 'read', 'cannot lock the repository', path)
    }
    await pause(wait)
  }
}
