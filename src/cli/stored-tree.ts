/**
 * Images of a repository, by whatever they are called on a command line.
 *
 * @packageDocumentation
 */
import type { ErofsVersion } from '../erofs/format.ts'
import { readImageSteps } from '../erofs/reader.ts'
import { makeImage } from '../erofs/writer.ts'
import { ComposefsError } from '../errors.ts'
import type { ObjectId } from '../fsverity/object-id.ts'
import { findImage } from '../oci/find.ts'
import { imageTree, openFound, resolveConfig } from '../oci/image.ts'
import type { Repository } from '../repository/repository.ts'
import type { FileSystem } from '../tree/filesystem.ts'
import { inTurns } from '../turns.ts'
import { interruption } from './interrupt.ts'
import { type TreeFlags, treeOptionsOf } from './options.ts'

/** How help texts describe the names of images of the repository. */
export const storedImage = 'a tag, a name, refs/NAME, an id, a digest (also with @), or how one of these two begins'

/** The tree of an image, and the image itself where there are no layers to make it of. */
export interface StoredTree {
  readonly fileSystem: FileSystem
  readonly image?: { readonly bytes: Buffer; readonly version: ErofsVersion }
}

/** Of which images the names come first, and what is known of an OCI image. */
export interface StoredTreeOptions {
  readonly first?: 'oci' | 'erofs'
  /** Of the splitstream of its config, see `resolveConfig`. */
  readonly verity?: ObjectId | undefined
}

/**
 * The tree of an image: of an OCI image that of its layers, which are verified; of another the image itself.
 *
 * @param flags how layers become a tree
 * @throws {@link ComposefsError} what `findImage`, `resolveConfig` and reading an image throw; `ERR_OCI_MEDIA_TYPE`
 */
export async function readStoredTree(
  repository: Repository,
  name: string,
  flags: TreeFlags = {},
  { first = 'oci', verity }: StoredTreeOptions = {},
): Promise<StoredTree> {
  const found = findImage(repository, name, first)
  if (found.kind === 'erofs' && (first === 'erofs' || openFound(repository, found) === undefined)) {
    const bytes = repository.readObject(found.id)
    const { version, fileSystem } = await inTurns(readImageSteps(bytes), interruption)
    return { fileSystem, image: { bytes, version } }
  }
  const exact = found.kind === 'erofs' ? found.id.hex : `@${found.digest}`
  const config = await resolveConfig(repository, exact, verity, interruption)
  return { fileSystem: await imageTree(repository, config, { ...treeOptionsOf(flags), signal: interruption }) }
}

/** The failure to find an image where other things than OCI images are looked for as well: `ERR_NOT_FOUND`. */
export function notStored(error: unknown, what = 'there is no such image in the repository'): never {
  if (!(error instanceof ComposefsError) || error.code !== 'ERR_OCI_NOT_FOUND') throw error
  const { path, hint } = error
  const details = { ...(path !== undefined && { path }), ...(hint !== undefined && { hint }) }
  throw new ComposefsError('ERR_NOT_FOUND', what, { ...details, cause: error })
}

/** An image as its bytes; that of layers is made as the repository would. Throws as {@link readStoredTree} does. */
export async function readStoredImage(repository: Repository, name: string): Promise<Buffer> {
  const { fileSystem, image } = await readStoredTree(repository, name, {}, { first: 'erofs' })
  return image?.bytes ?? makeImage(fileSystem, { version: repository.formats.default, signal: interruption })
}
