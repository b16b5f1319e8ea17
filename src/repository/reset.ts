/**
 * Forgetting everything but the objects.
 *
 * @packageDocumentation
 */
import { accessSync, closeSync, constants, lstatSync, openSync, readdirSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { ComposefsError } from '../errors.ts'
import { isErrno, systemError } from '../native/errno.ts'
import { assertObjectsOf, type InitOptions, initRepository, metadataOf, verityOf } from './init.ts'
import { type LockOptions, lockDirectory } from './lock.ts'
import { metadataName } from './metadata.ts'
import { anyObject, makeMetadata, readMetadata } from './metadata-file.ts'

/** Refs first: no name ever leads to what is gone. */
const removed = ['streams/refs', 'images/refs', 'streams', 'images']

/**
 * Removes all streams and images of a repository, and makes its metadata anew; imports find its objects again. Nobody
 * else may have it open: their end is waited for. Where there is nothing yet, a repository is made.
 *
 * Everything is checked before the first thing is removed.
 *
 * @throws {@link ComposefsError} `ERR_REPOSITORY_MISSING` where there is something else than a repository,
 * `ERR_REPOSITORY_CORRUPT` where files lie between the links; `ERR_NATIVE_MISSING` where there is no way to lock it, and
 * the codes of {@link initRepository}; the reason of `signal`
 */
export async function resetRepository(path: string, options: InitOptions & LockOptions = {}): Promise<void> {
  const root = resolve(path)
  const fd = openUsed(root)
  if (fd === undefined) {
    initRepository(root, options)
    return
  }
  try {
    await lockDirectory(fd, root, 'exclusive', options)
    assertRepository(root)
    assertObjectsOf(root, metadataOf(options).algorithm)
    accessSync(root, constants.W_OK)
    for (const kind of ['streams', 'images']) assertLinks(join(root, kind), ['refs'])
    const file = makeMetadata(root, metadataOf(options), verityOf(options))
    try {
      for (const name of removed) rmSync(join(root, name), { recursive: true, force: true })
      await file.publish(join(root, metadataName))
    } finally {
      file.close()
    }
  } catch (error) {
    if (options.signal?.aborted === true) throw error
    throw systemError(error, 'write', 'cannot reset the repository', root)
  } finally {
    closeSync(fd)
  }
}

/** Undefined where there is nothing, or an empty directory. */
function openUsed(root: string): number | undefined {
  try {
    if (readdirSync(root).length > 0) return openSync(root, constants.O_RDONLY | constants.O_DIRECTORY)
  } catch (error) {
    if (!isErrno(error, 'ENOENT', 'ENOTDIR')) throw systemError(error, 'read', 'cannot open the repository', root)
  }
  return undefined
}

/** Images and streams are names that other directories have as well. */
function assertRepository(root: string): void {
  let problem: unknown
  try {
    if (readMetadata(root) !== undefined) return
  } catch (error) {
    // To write it anew is what a reset is for, if only something else speaks for a repository.
    problem = error
  }
  if (anyObject(root) !== undefined) return
  throw new ComposefsError('ERR_REPOSITORY_MISSING', 'this is no composefs repository, and nothing was removed', {
    path: root,
    hint: 'it has neither a meta.json that can be used nor objects: name another place, or an empty directory',
    cause: problem,
  })
}

/** That a directory consists of links, and of these directories, which in turn consist of links and directories. */
function assertLinks(path: string, directories?: readonly string[]): void {
  const found = lstatSync(path, { throwIfNoEntry: false })
  if (found === undefined) return
  if (!found.isDirectory()) throw foreign(path)
  accessSync(path, constants.W_OK | constants.X_OK)
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    if (entry.isSymbolicLink()) continue
    const below = join(path, entry.name)
    if (!entry.isDirectory() || directories?.includes(entry.name) === false) throw foreign(below)
    assertLinks(below)
  }
}

function foreign(path: string): ComposefsError {
  return new ComposefsError('ERR_REPOSITORY_CORRUPT', 'this belongs to no repository, and nothing was removed', {
    path,
    hint: 'move it elsewhere first',
  })
}
