/**
 * Where a checkout goes, and what it refuses.
 *
 * @packageDocumentation
 */
import { chmodSync, closeSync, constants, mkdirSync, opendirSync, openSync } from 'node:fs'
import { printable } from '../bytes.ts'
import { ComposefsError, type ErrorCode } from '../errors.ts'
import { errnoOf, isErrno } from '../native/errno.ts'
import { through } from '../native/through.ts'
import { listXattrs, setXattr } from '../native/xattr.ts'
import type { Directory } from '../tree/inode.ts'
import type { ContentOptions } from './restore-contents.ts'

/** How a tree is written out. */
export interface CheckoutOptions extends ContentOptions {
  /**
   * Write into a directory that is not empty. What has the name of a file, symlink or device is replaced, unless it is a
   * directory; directories are used as they are, and what the tree does not name stays. Default false.
   */
  readonly force?: boolean
}

/** The header of an access list, and no entry: the kernel removes the attribute. */
const noAccessList = Buffer.from([2, 0, 0, 0])
/** While it is being filled, a directory is closed to others. */
export const privateMode = 0o700

/**
 * Opens the directory that the tree goes to, which is made if need be.
 *
 * @throws {@link ComposefsError} `ERR_ENTRY_EXISTS` where it is not empty and must be; what `fs` throws, `ELOOP` or
 * `ENOTDIR` for a symlink
 */
export function openTarget(target: string, force: boolean): number {
  try {
    mkdirSync(target, privateMode)
  } catch (error) {
    if (!isErrno(error, 'EEXIST')) throw error
  }
  const fd = openSync(target, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW)
  try {
    if (!force) {
      assertEmpty(fd, target)
      chmodSync(through(fd), privateMode)
      dropAccessLists(fd)
    }
    return fd
  } catch (error) {
    closeSync(fd)
    throw error
  }
}

function assertEmpty(fd: number, path: string): void {
  const listing = opendirSync(through(fd))
  try {
    if (listing.readSync() === null) return
  } finally {
    listing.closeSync()
  }
  throw new ComposefsError('ERR_ENTRY_EXISTS', 'the directory is not empty', {
    path,
    hint: 'name a new or empty one, or allow that files in it are replaced (--force)',
  })
}

/** The directory may have inherited access lists, and would hand its default one on to all that is made in it. */
function dropAccessLists(fd: number): void {
  try {
    for (const name of listXattrs(fd)) if (name.startsWith('system.posix_acl_')) setXattr(fd, name, noAccessList)
  } catch (error) {
    // Then nothing can be done about them.
    if (!(error instanceof ComposefsError) || error.code !== 'ERR_NATIVE_MISSING') throw error
  }
}

/** @throws {@link ComposefsError} `ERR_PATH_INVALID` for a name that would lead out of the directory */
export function checkNames(directory: Directory): void {
  for (const name of directory.entries.keys()) {
    if (name !== '' && name !== '.' && name !== '..' && !name.includes('/') && !name.includes('\0')) continue
    throw new ComposefsError('ERR_PATH_INVALID', `no file can have the name ${JSON.stringify(printable(name))}`)
  }
}

/** An error with the path that was being made. Errors of the object store keep the path of the object in their text. */
export function checkoutError(error: unknown, path: string): unknown {
  if (error instanceof ComposefsError) {
    if (error.path === path) return error
    return Object.assign(error.within(`cannot make ${path}`), { path })
  }
  const name = errnoOf(error)
  if (name === undefined) return error
  const [code, hint] = refusals[name] ?? ['ERR_IO']
  return new ComposefsError(code, `cannot make it (${name})`, {
    path,
    cause: error,
    ...(hint !== undefined && { hint }),
  })
}

const inTheWay = 'it is in the way: check out to a new directory'
const refusals: Readonly<Record<string, readonly [ErrorCode, string?]>> = {
  ENOSPC: ['ERR_NO_SPACE', 'free space (or inodes) on the file system of the directory'],
  EDQUOT: ['ERR_NO_SPACE', 'free space, or raise the quota'],
  EEXIST: ['ERR_ENTRY_EXISTS', inTheWay],
  EISDIR: ['ERR_ENTRY_EXISTS', `a directory has this name; ${inTheWay}`],
  ENOTDIR: ['ERR_ENTRY_EXISTS', 'this is no directory; a symlink is not followed'],
  ELOOP: ['ERR_ENTRY_EXISTS', 'a symlink has this name, and is not followed'],
  ENAMETOOLONG: ['ERR_NAME_TOO_LONG'],
  ENOENT: ['ERR_NOT_FOUND', 'make the directory above it first; /proc must be mounted'],
  EACCES: ['ERR_IO', 'run as a user who may write there'],
  EPERM: ['ERR_IO', 'run as a user who may write there'],
  EROFS: ['ERR_IO', 'the file system is mounted read-only'],
  EMFILE: ['ERR_IO', 'the tree is deeper than files may be open: raise the limit (ulimit -n)'],
  EFBIG: ['ERR_IO', 'the file is larger than the file system can hold'],
}
