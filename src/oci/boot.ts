/**
 * Boot images: the same tree with `/boot` and `/sysroot` emptied, beside the plain image (spec: rs-0.9, section 1.7).
 *
 * @packageDocumentation
 */
import type { ErofsVersion } from '../erofs/format.ts'
import { makeImage } from '../erofs/writer.ts'
import { ComposefsError } from '../errors.ts'
import { fsverityDigest } from '../fsverity/merkle.ts'
import { ObjectId } from '../fsverity/object-id.ts'
import type { Repository } from '../repository/repository.ts'
import type { XattrFilter } from '../tree/transform.ts'
import { layersToTree, putImage, storeImage, type TreeOptions } from './tree.ts'

/** A boot image and how it was made. */
export interface BootImage {
  readonly id: ObjectId
  readonly version: ErofsVersion
  readonly xattrs: XattrFilter
}

/** Stores the boot image of every format of the repository, the default first. Throws as {@link layersToTree} does. */
export async function makeBootImages(
  repository: Repository,
  layers: readonly ObjectId[],
  options: TreeOptions = {},
): Promise<BootImage[]> {
  const { xattrs = 'allowlist-only', signal } = options
  const fileSystem = await layersToTree(repository, layers, { ...options, bootable: true })
  const versions = [repository.formats.default, ...repository.formats.extra]
  const images: BootImage[] = []
  for (const version of versions) {
    images.push({ id: await storeImage(repository, fileSystem, version, signal), version, xattrs })
  }
  return images
}

/** What a boot image may have been made with by an older program. */
const searched = { xattrs: ['allowlist-only', 'keep-user-xattrs'], versions: [1, 2] } as const

/**
 * Looks for the way to make a boot image whose id is known, from a kernel command line, say; stores what it finds.
 *
 * @param expected the id in hex
 * @returns undefined where no combination gives that id
 * @throws {@link ComposefsError} `ERR_DIGEST_SYNTAX`, `ERR_ALGORITHM_MISMATCH`, and as {@link layersToTree} does
 */
export async function findBootImage(
  repository: Repository,
  layers: readonly ObjectId[],
  expected: string,
  options: TreeOptions = {},
): Promise<BootImage | undefined> {
  const wanted = bootImageId(repository, expected)
  const { algorithm } = repository
  for (const xattrs of searched.xattrs) {
    const fileSystem = await layersToTree(repository, layers, { ...options, xattrs, bootable: true })
    for (const version of searched.versions) {
      const image = await makeImage(fileSystem, { version, signal: options.signal })
      if (fsverityDigest(algorithm, image).equals(wanted)) return { id: putImage(repository, image), version, xattrs }
    }
  }
  return undefined
}

/** The id that {@link findBootImage} is given. @throws {@link ComposefsError} `ERR_DIGEST_SYNTAX`, `ERR_ALGORITHM_MISMATCH` */
export function bootImageId({ algorithm }: Repository, expected: string): ObjectId {
  const id = ObjectId.fromHex(expected)
  if (id.algorithm === algorithm) return id
  throw new ComposefsError('ERR_ALGORITHM_MISMATCH', 'the digest is that of another hash than the repository uses', {
    expected: algorithm,
    actual: id.algorithm,
  })
}
