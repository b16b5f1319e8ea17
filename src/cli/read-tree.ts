/**
 * Trees that a command line names: images, dumpfiles, directories, and what is in the repository.
 *
 * @packageDocumentation
 */
import { statSync } from 'node:fs'
import type { Command } from 'commander'
import type { ErofsVersion } from '../erofs/format.ts'
import { readImage } from '../erofs/index.ts'
import { ComposefsError, type ErrorCode } from '../errors.ts'
import type { Algorithm } from '../fsverity/object-id.ts'
import { imageTree, type OpenedConfig, openConfig, openImage, resolveConfig, verifyLayers } from '../oci/image.ts'
import { DigestStore } from '../repository/digest-store.ts'
import type { Repository } from '../repository/repository.ts'
import { directoryTree } from '../sources/tree.ts'
import type { FileSystem } from '../tree/filesystem.ts'
import { globals, hashWithoutRepository, withRepository } from './context.ts'
import { interruption } from './interrupt.ts'
import { type TreeFlags, treeOptionsOf } from './options.ts'
import { readTreeInput } from './tree-input.ts'

/** What a name on the command line stands for. */
export interface NamedTree {
  readonly name: string
  readonly fileSystem: FileSystem
  /** Where the tree was read from an image. */
  readonly image?: { readonly bytes: Buffer; readonly version: ErofsVersion }
}

export const treeArgument: string =
  'an image or dumpfile (- for stdin), or of the repository the id or name of an image, or the tag or @digest of an OCI image'

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
  if (statSync(name, { throwIfNoEntry: false }) !== undefined) return treeOfInput(name)
  const fromRepository = withRepository(command, async (repository) => {
    const image = imageOf(repository, name)
    if (image !== undefined) return treeOfImage(name, image)
    const config = await configOf(repository, name)
    return { name, fileSystem: await imageTree(repository, config, { ...treeOptionsOf(flags), signal: interruption }) }
  })
  return fromRepository.catch((error: unknown) => {
    throw error instanceof ComposefsError && notHere.has(error.code) ? nothing(name, error) : error
  })
}

/** Whether a name is that of a directory on disk. */
export const isDirectory = (name: string): boolean => statSync(name, { throwIfNoEntry: false })?.isDirectory() === true

async function treeOfInput(name: string): Promise<NamedTree> {
  const input = await readTreeInput(name)
  return 'image' in input ? treeOfImage(name, input.image) : { name, ...input }
}

function treeOfImage(name: string, bytes: Buffer): NamedTree {
  const { version, fileSystem } = readImage(bytes)
  return { name, fileSystem, image: { bytes, version } }
}

function imageOf(repository: Repository, name: string): Buffer | undefined {
  if (name.startsWith('@')) return undefined
  try {
    return repository.readObject(repository.resolveImage(name))
  } catch (error) {
    // The name may still be a tag.
    if (!(error instanceof ComposefsError) || (error.code !== 'ERR_NOT_FOUND' && error.code !== 'ERR_OCI_NAME'))
      throw error
    return undefined
  }
}

/** By tag, or by the digest of a manifest or a config. */
async function configOf(repository: Repository, name: string): Promise<OpenedConfig> {
  if (!name.startsWith('@')) return resolveConfig(repository, name)
  try {
    const { config } = openImage(repository, name)
    if (config !== undefined) return await verifyLayers(repository, config)
  } catch (error) {
    if (!(error instanceof ComposefsError) || error.code !== 'ERR_OCI_NOT_FOUND') throw error
  }
  return openConfig(repository, name.slice(1))
}

const notHere: ReadonlySet<ErrorCode> = new Set(['ERR_OCI_NOT_FOUND', 'ERR_REPOSITORY_MISSING'])

function nothing(name: string, cause: ComposefsError): ComposefsError {
  const where = cause.code === 'ERR_REPOSITORY_MISSING' ? `no repository in ${cause.path}` : 'not in the repository'
  return new ComposefsError('ERR_NOT_FOUND', `there is no such file, and no such image (${where})`, {
    path: name,
    hint: 'name a file, or a repository with --repo; see also: composefs images, composefs oci images',
    cause,
  })
}
