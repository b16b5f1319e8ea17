/**
 * Making a repository (spec: repository, section 3).
 *
 * @packageDocumentation
 */
import { mkdirSync, readdirSync, rmdirSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import type { ErofsVersion } from '../erofs/format.ts'
import { ComposefsError } from '../errors.ts'
import type { Algorithm } from '../fsverity/object-id.ts'
import { isErrno, systemError } from '../native/errno.ts'
import { makeDirectories } from '../native/make-directories.ts'
import { effectiveFormats, type Metadata, newMetadata } from './metadata.ts'
import { anyObject, readMetadata, writeMetadata } from './metadata-file.ts'
import { syncMade } from './sync.ts'
import type { VerityPolicy } from './verity.ts'

/** What a new repository is to be. */
export interface InitOptions {
  /** Default `sha512`. */
  readonly algorithm?: Algorithm
  /** The format of its images, default 1. */
  readonly erofsVersion?: ErofsVersion
  /**
   * `false` (default): fs-verity is required, which the file system must support. `true`: it is not. `'auto'`:
   * required if the file system supports it.
   */
  readonly insecure?: boolean | 'auto'
}

/**
 * Makes a repository at a path, parents included. Where one with this configuration is already, nothing happens; where
 * there are objects without a `meta.json`, they stay. What a failure leaves behind is removed.
 *
 * @returns whether it was made
 * @throws {@link ComposefsError} `ERR_REPOSITORY_EXISTS` where there is one with another configuration,
 * `ERR_REPOSITORY_VERITY`, `ERR_NATIVE_MISSING`, `ERR_NO_SPACE`, `ERR_REPOSITORY_READONLY`, `ERR_IO`
 */
export function initRepository(root: string, options: InitOptions = {}): boolean {
  const metadata = metadataOf(options)
  const made = makeRoot(root)
  try {
    if (isSame(root, metadata)) return false
    assertObjectsOf(root, metadata.algorithm)
    // False: another process was faster.
    return writeMetadata(root, metadata, verityOf(options)) || !isSame(root, metadata)
  } catch (error) {
    removeRoot(root, made)
    throw error
  }
}

/** What `meta.json` is to say. */
export function metadataOf({ algorithm = 'sha512', erofsVersion = 1 }: InitOptions): Metadata {
  return newMetadata(algorithm, erofsVersion)
}

export function verityOf({ insecure = false }: InitOptions): VerityPolicy {
  return insecure === 'auto' ? 'wanted' : insecure ? 'off' : 'required'
}

/** @throws {@link ComposefsError} `ERR_REPOSITORY_EXISTS` where there are objects of another hash */
export function assertObjectsOf(root: string, algorithm: Algorithm): void {
  const present = anyObject(root)
  if (present === undefined || present.algorithm === algorithm) return
  throw conflict(root, `objects of ${present.algorithm}`, algorithm)
}

/** Whether the configuration is there already. */
function isSame(root: string, wanted: Metadata): boolean {
  const found = readMetadata(root)
  if (found === undefined) return false
  const [actual, expected] = [describe(found), describe(wanted)]
  if (actual === expected) return true
  throw conflict(root, actual, expected)
}

function conflict(path: string, actual: string, expected: string): ComposefsError {
  return new ComposefsError('ERR_REPOSITORY_EXISTS', 'a repository with another configuration is at this place', {
    path,
    expected,
    actual,
    hint: 'choose another place, or leave out what contradicts it',
  })
}

function describe(metadata: Metadata): string {
  const { default: first, extra } = effectiveFormats(metadata)
  return `algorithm: ${metadata.algorithm}, erofs_version: ${[first, ...extra].map((version) => `V${version}`).join('+')}`
}

/** Makes the directory, on disk as well; answers the topmost one that was missing. */
function makeRoot(root: string): string | undefined {
  try {
    const parent = makeDirectories(dirname(root))
    try {
      mkdirSync(root, 0o700)
      syncMade(root, parent ?? root)
      return resolve(parent ?? root)
    } catch (error) {
      if (!isErrno(error, 'EEXIST')) throw error
      readdirSync(root)
      return undefined
    }
  } catch (error) {
    if (isErrno(error, 'ENOTDIR', 'EEXIST')) {
      throw new ComposefsError('ERR_REPOSITORY_EXISTS', 'a file is in the way', { path: root, cause: error })
    }
    throw systemError(error, 'write', 'cannot make the directory of the repository', root)
  }
}

/** Takes back what {@link makeRoot} made, as far as it is empty. */
function removeRoot(root: string, made: string | undefined): void {
  if (made === undefined) return
  try {
    for (let path = resolve(root); ; path = dirname(path)) {
      rmdirSync(path)
      if (path === made) return
    }
  } catch {
    // Somebody else has put something there: it is theirs now.
  }
}
