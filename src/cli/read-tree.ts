/**
 * Trees that a command line names: images, dumpfiles, directories, and what is in the repository.
 *
 * @packageDocumentation
 */
import { type Stats, statSync } from 'node:fs'
import type { Command } from 'commander'
import type { ErofsVersion } from '../erofs/format.ts'
import { readImageSteps } from '../erofs/reader.ts'
import { ComposefsError } from '../errors.ts'
import type { Algorithm } from '../fsverity/object-id.ts'
import { isErrno, systemError } from '../native/errno.ts'
import { DigestStore } from '../repository/digest-store.ts'
import type { Repository } from '../repository/repository.ts'
import { directoryTree } from '../sources/tree.ts'
import type { FileSystem } from '../tree/filesystem.ts'
import { inTurns } from '../turns.ts'
import { globals, hashWithoutRepository, withRepository } from './context.ts'
import { interruption } from './interrupt.ts'
import { type TreeFlags, treeOptionsOf } from './options.ts'
import { notStored, readStoredTree, storedImage } from './stored-tree.ts'
import { readTreeInput } from './tree-input.ts'

/** What a name on the command line stands for. */
export interface NamedTree {
  readonly name: string
  readonly fileSystem: FileSystem
  /** Where the tree was read from an image. */
  readonly image?: { readonly bytes: Buffer; readonly version: ErofsVersion }
}

export const treeArgument: string = `an image or dumpfile (- for stdin), or of the repository: ${storedImage}`

/**
 * The tree behind a name. What exists as a path comes first, and what it is decides how it is read.
 *
 * @param flags how an OCI image or a directory becomes a tree
 * @param algorithm the hash for the files of a directory
 * @throws {@link ComposefsError} `ERR_ARGUMENT` for a file that is neither image nor dumpfile; `ERR_NOT_FOUND`, and what
 * reading an image, a dumpfile, a directory or an OCI image throws
 */
export async function readTree(
  name: string,
  command: Command,
  flags: TreeFlags,
  algorithm?: Algorithm,
): Promise<NamedTree> {
  if (name === '-') return treeOfInput(name)
  if (isDirectory(name)) {
    const store = new DigestStore(algorithm ?? hashWithoutRepository(globals(command)))
    return { name, fileSystem: await directoryTree(name, store, { ...treeOptionsOf(flags), signal: interruption }) }
  }
  if (statOf(name) !== undefined) return treeOfInput(name)
  return fromRepository(name, command, async (repository) => ({
    name,
    ...(await readStoredTree(repository, name, flags, { first: 'erofs' })),
  }))
}

/** What `read` finds in the repository, for a name that is no file. An error says both. */
export async function fromRepository<T>(
  name: string,
  command: Command,
  read: (repository: Repository) => Promise<T>,
): Promise<T> {
  try {
    return await withRepository(command, read)
  } catch (error) {
    if (error instanceof ComposefsError && error.code === 'ERR_REPOSITORY_MISSING') throw nothing(name, error)
    return notStored(error, 'there is no such file, and no such image in the repository')
  }
}

/** What is at a path, undefined for nothing: the name may be that of an image in the repository. */
export function statOf(name: string): Stats | undefined {
  try {
    return statSync(name, { throwIfNoEntry: false })
  } catch (error) {
    // No file can be called that.
    if (isErrno(error, 'ENAMETOOLONG')) return undefined
    throw systemError(error, 'read', 'cannot look at the file', name)
  }
}

/** Whether a name is that of a directory on disk. */
export const isDirectory = (name: string): boolean => statOf(name)?.isDirectory() === true

/**
 * Refuses what is no object store: every object would be missing from it.
 *
 * @throws {@link ComposefsError} `ERR_NOT_DIRECTORY`, `ERR_ARGUMENT` for the repository around a store
 */
export function checkStore(path: string): void {
  if (!isDirectory(path)) throw new ComposefsError('ERR_NOT_DIRECTORY', 'there is no object store', { path })
  const objects = `${path}/objects`
  if (!isDirectory(objects)) return
  throw new ComposefsError('ERR_ARGUMENT', 'this is no object store', { path, hint: `did you mean ${objects}?` })
}

async function treeOfInput(name: string): Promise<NamedTree> {
  const input = await readTreeInput(name)
  return 'image' in input ? treeOfImage(name, input.image) : { name, ...input }
}

async function treeOfImage(name: string, bytes: Buffer): Promise<NamedTree> {
  const { version, fileSystem } = await inTurns(readImageSteps(bytes), interruption)
  return { name, fileSystem, image: { bytes, version } }
}

function nothing(path: string, cause: ComposefsError): ComposefsError {
  return new ComposefsError('ERR_NOT_FOUND', `there is no such file, and no repository in ${cause.path}`, {
    path,
    hint: 'name a file, or a repository with --repo',
    cause,
  })
}
