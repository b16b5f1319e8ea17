/**
 * Finding out what is at a place, and holding on to it (spec: repository, section 3).
 *
 * @packageDocumentation
 */
import { closeSync, constants, openSync } from 'node:fs'
import type { ErofsVersion } from '../erofs/format.ts'
import { ComposefsError } from '../errors.ts'
import type { Algorithm } from '../fsverity/object-id.ts'
import { isErrno, systemError } from '../native/errno.ts'
import { type LockOptions, lockDirectory } from './lock.ts'
import { type Metadata, metadataName, newMetadata } from './metadata.ts'
import { anyObject, hasVerity, readMetadata } from './metadata-file.ts'

/** How a repository is opened. `signal` ends the wait for a garbage collection that is running, `onLock` tells of it. */
export interface OpenOptions extends LockOptions {
  /** Fails with `ERR_ALGORITHM_MISMATCH` unless the repository has this one. */
  readonly algorithm?: Algorithm
  /**
   * Whether to open a repository from before there was a `meta.json` (default true). It is written, for V2 images, when
   * something is written to the repository, not before.
   */
  readonly upgrade?: boolean
  /** Uses this image format alone, instead of what the repository says. */
  readonly erofsVersion?: ErofsVersion
  /** Does without fs-verity even where the repository requires it (default false). */
  readonly insecure?: boolean
  /** Compares every object that is there already with what is to be stored, whatever its size (default false). */
  readonly verifyObjects?: boolean
}

/** What {@link openRoot} found. */
export interface OpenedRoot {
  readonly path: string
  /** The directory; it carries the lock. */
  readonly fd: number
  readonly locked: boolean
  readonly metadata: Metadata
  readonly verityRequired: boolean
  /** Whether `meta.json` is to be written before anything else is. */
  readonly upgradePending: boolean
}

/** Opens and locks the directory of a repository, and reads its metadata. Throws what `Repository.open` says. */
export async function openRoot(path: string, options: OpenOptions): Promise<OpenedRoot> {
  const fd = openDirectory(path)
  try {
    const locked = await lockDirectory(fd, path, 'shared', options)
    const found = readMetadata(path)
    const metadata = found ?? oldMetadata(path, options.upgrade ?? true)
    if (options.algorithm !== undefined && options.algorithm !== metadata.algorithm) {
      throw new ComposefsError('ERR_ALGORITHM_MISMATCH', 'the repository uses another hash', {
        path,
        expected: options.algorithm,
        actual: metadata.algorithm,
        hint: 'leave out --hash (algorithm)',
      })
    }
    // fs-verity on the metadata says that all objects have it; without metadata, any object speaks for the others.
    const witness = found === undefined ? `objects/${anyObject(path)?.path}` : metadataName
    const verityRequired = hasVerity(`${path}/${witness}`, metadata.algorithm)
    return { path, fd, locked, metadata, verityRequired, upgradePending: found === undefined }
  } catch (error) {
    closeSync(fd)
    throw error
  }
}

function openDirectory(path: string): number {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_DIRECTORY)
  } catch (error) {
    if (isErrno(error, 'ENOENT')) throw noRepository('there is no composefs repository', path, error)
    if (isErrno(error, 'ENOTDIR')) throw noRepository('a file is no composefs repository', path, error)
    throw systemError(error, 'read', 'cannot open the repository', path)
  }
}

/** What the metadata of a repository would be that has none: V2 was the only image format then. */
function oldMetadata(root: string, upgrade: boolean): Metadata {
  const object = anyObject(root)
  if (object === undefined) throw noRepository('this directory is no composefs repository', root)
  if (upgrade) return newMetadata(object.algorithm, 2)
  throw new ComposefsError('ERR_REPOSITORY_METADATA', 'the repository has no meta.json', {
    path: root,
    hint: 'it is an old one: allow the upgrade (leave out --no-upgrade), or write the file with init',
  })
}

function noRepository(what: string, path: string, cause?: unknown): ComposefsError {
  return new ComposefsError('ERR_REPOSITORY_MISSING', what, {
    path,
    hint: 'make one with init, or name another place with --repo',
    cause,
  })
}
