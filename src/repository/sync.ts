/**
 * Bringing what was written to disk: a file system, or the names in a directory.
 *
 * @packageDocumentation
 */
import { spawn } from 'node:child_process'
import { closeSync, fsyncSync, openSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { dirname, posix, resolve } from 'node:path'
import { ComposefsError } from '../errors.ts'
import { isErrno, systemError } from '../native/errno.ts'
import { native } from '../native/libc.ts'

/**
 * Syncs the file system of an open directory: with syncfs(2), or without koffi with `sync --file-system`.
 *
 * @throws {@link ComposefsError} `ERR_NO_SPACE`, `ERR_IO`, `ERR_NATIVE_MISSING`
 */
export async function syncFileSystem(fd: number, path: string): Promise<void> {
  const libc = native()
  if (libc === undefined) return runSync(path)
  const errno = await libc.syncfs(fd)
  if (errno !== 0) throw systemError(errno, 'write', 'cannot sync the file system', path)
}

/**
 * Makes the names in a directory survive a power cut: that a file is on disk does not say that its name is.
 *
 * @throws {@link ComposefsError} `ERR_NO_SPACE`, `ERR_IO`
 */
export async function syncDirectory(path: string): Promise<void> {
  try {
    const directory = await open(path, 'r')
    try {
      await directory.sync()
    } finally {
      await directory.close()
    }
  } catch (error) {
    if (!isUnsyncable(error)) throw systemError(error, 'write', 'cannot sync a directory', path)
  }
}

/** The same while everything waits. */
export function syncDirectoryNow(path: string): void {
  try {
    const fd = openSync(path, 'r')
    try {
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
  } catch (error) {
    if (!isUnsyncable(error)) throw systemError(error, 'write', 'cannot sync a directory', path)
  }
}

/** The same for the names of directories that were just made: of `path`, and of those above up to `made`. */
export function syncMade(path: string, made: string): void {
  for (let name = resolve(path); name.length >= resolve(made).length; name = dirname(name)) {
    syncDirectoryNow(dirname(name))
  }
}

/** The directories above some links, the deepest first: any of them may have been made for the link. */
export function directoriesAbove(links: Iterable<string>): string[] {
  const directories = new Set<string>()
  for (const link of links) {
    let path = link
    do {
      path = posix.dirname(path)
      directories.add(path)
    } while (path !== '.')
  }
  return [...directories].sort((a, b) => b.length - a.length)
}

/** Some network file systems cannot sync directories, and need not. */
const isUnsyncable = (error: unknown): boolean => isErrno(error, 'EINVAL', 'EOPNOTSUPP', 'ENOTSUP')

function runSync(path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn('sync', ['-f', '--', path], { stdio: 'ignore' })
    child.on('error', (error) => {
      reject(isErrno(error, 'ENOENT') ? noWay(path, error) : systemError(error, 'write', 'cannot run sync', path))
    })
    child.on('close', (code, signal) => {
      if (code === 0) resolve()
      else
        reject(
          new ComposefsError('ERR_IO', 'cannot sync the file system', {
            path,
            expected: 0,
            actual: code ?? signal ?? '',
          }),
        )
    })
  })
}

function noWay(path: string, cause: Error): ComposefsError {
  return new ComposefsError('ERR_NATIVE_MISSING', 'nothing here can sync the file system', {
    path,
    hint: 'install koffi (npm install koffi), or the sync program of coreutils',
    cause,
  })
}
