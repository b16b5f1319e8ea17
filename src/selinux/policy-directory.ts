/**
 * Reading the SELinux policy of a root directory on disk.
 *
 * @packageDocumentation
 */
import { closeSync, constants, fstatSync, lstatSync, openSync, readFileSync, readlinkSync } from 'node:fs'
import { type ByteString, type BytesLike, bytesOf, fromLatin1, printable, toBuffer } from '../bytes.ts'
import { ComposefsError } from '../errors.ts'
import { systemError } from '../native/errno.ts'
import type { PolicyLimits } from './file-contexts.ts'
import { assertFileSize, loadPolicy, type Policy } from './policy.ts'

/** As the kernel's. */
const maxSymlinks = 40
const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants

/**
 * Reads the policy below a directory that is the root of a system; undefined if there is none. Symlinks are followed
 * as they will be on that system: they do not lead out of the directory.
 *
 * @throws {@link ComposefsError} `ERR_SELINUX_POLICY`, `ERR_SELINUX_REGEX`, `ERR_NOT_DIRECTORY`, `ERR_LIMIT`, `ERR_IO`
 */
export function readPolicyOfDirectory(directory: BytesLike, limits: PolicyLimits = {}): Policy | undefined {
  const root = bytesOf(directory)
  return loadPolicy((path) => {
    try {
      const resolved = resolveBelow(root, path)
      return resolved === undefined ? undefined : readFile(resolved, limits)
    } catch (error) {
      throw systemError(error, 'read', 'cannot read the SELinux policy', printable(fromLatin1(root + path)))
    }
  }, limits)
}

/** The path on this machine of a path in the root; undefined if it, or what a symlink leads to, does not exist. */
function resolveBelow(root: ByteString, path: ByteString): ByteString | undefined {
  const pending = path.split('/').reverse()
  const done: string[] = []
  let symlinks = 0
  let resolved = root
  for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
    if (name === '' || name === '.') continue
    if (name === '..') {
      done.pop()
      continue
    }
    const here = [root, ...done, name].join('/') as ByteString
    const found = lstatSync(toBuffer(here), { throwIfNoEntry: false })
    if (found === undefined) return undefined
    if (found.isSymbolicLink()) {
      if (++symlinks > maxSymlinks) {
        throw new ComposefsError('ERR_SELINUX_POLICY', 'too many symlinks lead to a file of the SELinux policy', {
          path: printable(here),
        })
      }
      const target = readlinkSync(toBuffer(here), 'latin1')
      if (target.startsWith('/')) done.length = 0
      pending.push(...target.split('/').reverse())
    } else if (found.isDirectory() || pending.length === 0) {
      done.push(name)
    } else {
      throw new ComposefsError('ERR_NOT_DIRECTORY', 'a parent of a file of the SELinux policy is no directory', {
        path: printable(here),
      })
    }
    resolved = [root, ...done].join('/') as ByteString
  }
  return resolved
}

function readFile(path: ByteString, limits: PolicyLimits): Buffer {
  // A fifo must not hold us up.
  const fd = openSync(toBuffer(path), O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
  try {
    const found = fstatSync(fd)
    if (!found.isFile()) {
      throw new ComposefsError('ERR_SELINUX_POLICY', 'a file of the SELinux policy is no regular file', {
        path: printable(path),
      })
    }
    assertFileSize(path, found.size, limits)
    return readFileSync(fd)
  } finally {
    closeSync(fd)
  }
}
