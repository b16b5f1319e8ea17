/**
 * Bringing a file system to disk.
 *
 * @packageDocumentation
 */
import { spawn } from 'node:child_process'
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
