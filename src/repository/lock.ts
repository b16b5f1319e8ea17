/**
 * The advisory lock of a repository (flock(2) on its directory), which the reference tools take too: shared by
 * everybody who has it open, exclusive for garbage collection.
 *
 * @packageDocumentation
 */
import { spawn } from 'node:child_process'
import { fstatSync } from 'node:fs'
import { constants } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { ComposefsError } from '../errors.ts'
import { errnoName, isErrno, systemError } from '../native/errno.ts'
import { lockOperation, native } from '../native/libc.ts'

export type LockMode = 'shared' | 'exclusive'

/** What there is to say about a lock. Library code prints nothing. */
export type LockEvent =
  /** Somebody else holds it for a second now; once for each wait. */
  | { readonly type: 'lock-wait'; readonly path: string; readonly mode: LockMode }
  /** There is no way to lock this directory: nothing keeps a garbage collection away. */
  | { readonly type: 'lock-none'; readonly path: string; readonly reason: string }

/** Options of {@link lockDirectory}. */
export interface LockOptions {
  /** Ends the wait. */
  readonly signal?: AbortSignal | undefined
  readonly onLock?: ((event: LockEvent) => void) | undefined
}

/** How long to wait between two attempts, in milliseconds: soon at first, then less and less often. */
const firstWait = 2
const longestWait = 100
/** Milliseconds of waiting after which that is said. */
const noticeAfter = 1000
/** What flock(1) ends with where somebody else has the lock. It says something on stderr in all other cases. */
const busyStatus = 1
const { EAGAIN, EINTR } = constants.errno
/** What file systems without locks answer; NFS says EBADF of an exclusive one on what is not open for writing. */
const noLocks: ReadonlySet<string> = new Set(['ENOLCK', 'ENOSYS', 'EOPNOTSUPP', 'ENOTSUP', 'EINVAL', 'EBADF'])

/** What became of an attempt; a text says why there can be no lock at all. */
type Attempt = 'held' | 'busy' | { readonly none: string }

/**
 * Takes the lock on an open directory, or changes what kind of lock is held; waits as long as others hold it. It goes
 * with the descriptor. Waiting does not block the process.
 *
 * Without koffi the program flock(1) locks the descriptor that it inherits: a lock belongs to what was opened, so it
 * stays when that program has ended.
 *
 * @returns whether there is a lock; `shared` does without where there is no way to have one
 * @throws {@link ComposefsError} `ERR_NATIVE_MISSING` where an exclusive lock is wanted and nothing can take it: there is
 * neither koffi nor flock(1), or the file system has no such lock; `ERR_IO`; the reason of `signal`
 */
export async function lockDirectory(
  fd: number,
  path: string,
  mode: LockMode,
  { signal, onLock }: LockOptions = {},
): Promise<boolean> {
  const start = performance.now()
  let told = false
  // Not the blocking form: it would stop the whole process, and no signal could end the wait.
  for (let wait = firstWait; ; wait = Math.min(wait * 2, longestWait)) {
    signal?.throwIfAborted()
    const attempt = await tryLock(fd, path, mode)
    if (attempt === 'held') return true
    if (attempt !== 'busy') {
      if (mode === 'exclusive') throw cannotExclude(path, attempt.none)
      onLock?.({ type: 'lock-none', path, reason: attempt.none })
      return false
    }
    if (!told && performance.now() - start >= noticeAfter) {
      told = true
      onLock?.({ type: 'lock-wait', path, mode })
    }
    await sleep(wait, undefined, signal === undefined ? {} : { signal }).catch(() => {})
  }
}

function tryLock(fd: number, path: string, mode: LockMode): Attempt | Promise<Attempt> {
  const libc = native()
  if (libc === undefined) return runFlock(fd, path, mode)
  const errno = libc.flock(fd, lockOperation[mode] | lockOperation.nonBlocking)
  if (errno === 0) return 'held'
  if (errno === EAGAIN || errno === EINTR) return 'busy'
  const name = errnoName(errno)
  if (noLocks.has(name) && isOpen(fd)) return { none: `the file system has no such lock (${name})` }
  throw systemError(errno, 'read', 'cannot lock the repository', path)
}

function isOpen(fd: number): boolean {
  try {
    fstatSync(fd)
    return true
  } catch {
    return false
  }
}

function runFlock(fd: number, path: string, mode: LockMode): Promise<Attempt> {
  return new Promise((resolve, reject) => {
    const child = spawn('flock', [mode === 'shared' ? '-s' : '-x', '-n', '3'], {
      stdio: ['ignore', 'ignore', 'pipe', fd],
    })
    let complaint = ''
    child.stderr?.on('data', (chunk: Buffer) => {
      complaint += chunk
    })
    child.on('error', (error) => {
      if (isErrno(error, 'ENOENT', 'EACCES')) resolve({ none: 'neither koffi nor the program flock is there' })
      else reject(systemError(error, 'read', 'cannot run flock', path))
    })
    child.on('close', (status) => {
      if (status === 0) resolve('held')
      // Ctrl-C at a terminal ends it too, before we hear of that.
      else if (status === null || (status === busyStatus && complaint === '')) resolve('busy')
      else resolve({ none: `the program flock fails: ${complaint.trim().slice(0, 200) || status}` })
    })
  })
}

function cannotExclude(path: string, reason: string): ComposefsError {
  return new ComposefsError('ERR_NATIVE_MISSING', `nothing can be removed safely without a lock: ${reason}`, {
    path,
    hint: 'install koffi (npm install koffi) or the program flock of util-linux, on a file system that has locks',
  })
}
