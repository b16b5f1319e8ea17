/**
 * Places to push to, by the names that skopeo gives them: `docker://…`, `oci:DIR`, `oci-archive:FILE`.
 *
 * @packageDocumentation
 */
import { ComposefsError } from '../errors.ts'
import type { Repository } from '../repository/repository.ts'
import { ArchiveDestination } from './archive-destination.ts'
import type { ImageDestination } from './destination.ts'
import { LayoutDestination } from './layout-destination.ts'
import { type PushedImage, type PushOptions, pushImage } from './push.ts'
import { RegistryDestination, type RegistryPushOptions } from './registry/destination.ts'
import { parseReference, type Reference } from './registry/reference.ts'

/** Options of {@link push}. */
export interface PushByNameOptions extends PushOptions, RegistryPushOptions {}

const registry = 'docker://'

/**
 * Opens a place to push to: `docker://REF`, `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]`, or `oci-archive:-[:TAG]` for
 * standard output.
 *
 * @throws {@link ComposefsError} `ERR_OCI_REFERENCE`; what {@link RegistryDestination.open} throws
 */
export async function openDestination(name: string, options: RegistryPushOptions = {}): Promise<ImageDestination> {
  if (name.startsWith(registry)) return RegistryDestination.open(parseReference(name.slice(registry.length)), options)
  const [, transport, path, tag] = /^(oci|oci-archive):([^:]+)(?::(.+))?$/s.exec(name) ?? []
  if (transport === 'oci') return new LayoutDestination(path!, tag)
  if (transport === 'oci-archive') {
    return path === '-' ? new ArchiveDestination(process.stdout, tag, name) : ArchiveDestination.file(path!, tag)
  }
  throw new ComposefsError('ERR_OCI_REFERENCE', `not a place that can be pushed to: ${name}`, {
    hint: `${name === '-' ? 'for stdout write oci-archive:-; ' : ''}write it like docker://quay.io/team/os:latest, oci:DIR:TAG or oci-archive:FILE:TAG; for others let skopeo take it from there`,
  })
}

/**
 * Pushes an image to a place by its name: see {@link pushImage}. Where the image has the name of one in the same registry,
 * its blobs are looked for there as well.
 *
 * @example
 * ```ts
 * import { push } from 'composefs-streams/oci'
 * import { Repository } from 'composefs-streams/repository'
 *
 * const repository = await Repository.open('./repo')
 * const { manifestDigest, original } = await push(repository, 'fedora', 'docker://quay.io/team/fedora:41')
 * console.log(manifestDigest, original ? 'as it was' : 'new')
 * ```
 */
export async function push(
  repository: Repository,
  image: string,
  name: string,
  options: PushByNameOptions = {},
): Promise<PushedImage> {
  const mountFrom = [...new Set([...(options.mountFrom ?? []), ...siblings(image, name)])]
  const destination = await openDestination(name, { ...options, mountFrom })
  try {
    return await pushImage(repository, image, destination, options)
  } finally {
    await destination.close()
  }
}

/** Images are often called what they were pulled from. */
function siblings(image: string, name: string): string[] {
  if (!image.startsWith(registry) || !name.startsWith(registry)) return []
  const from = reference(image)
  const to = reference(name)
  return from !== undefined && from.registry === to?.registry && from.repository !== to.repository
    ? [from.repository]
    : []
}

function reference(name: string): Reference | undefined {
  try {
    return parseReference(name.slice(registry.length))
  } catch {
    // A tag may be anything.
    return undefined
  }
}
