/**
 * Images by the names that skopeo gives them: `docker://…`, `oci:DIR`, `oci-archive:FILE` and so on.
 *
 * @packageDocumentation
 */
import { ComposefsError } from '../errors.ts'
import type { Repository } from '../repository/repository.ts'
import type { PublishedArtifact } from './artifact.ts'
import { DirectorySource } from './directory-source.ts'
import { type ImportEvent, importArchive } from './import.ts'
import type { PublishedImage } from './publish.ts'
import { type PullEvent, type PullOptions, pullAny } from './pull.ts'
import { resolveShortName } from './registry/places.ts'
import { readRegistriesConfig } from './registry/registries-conf.ts'
import { RegistryClient, type RegistryOptions } from './registry/registry.ts'
import type { RepositoryOpener } from './repository-opener.ts'
import { SkopeoSource } from './skopeo-source.ts'
import type { ImageSource } from './source.ts'
import { checkImageName, openArchiveFile } from './transport-hints.ts'

/** Options of {@link pull}. */
export interface PullByNameOptions extends Omit<PullOptions, 'onEvent'>, RegistryOptions {
  readonly onEvent?: (event: PullEvent | ImportEvent) => void
}

type OpenOptions = RegistryOptions & Pick<PullOptions, 'platform'>
type Open = (name: string, options: OpenOptions) => Promise<ImageSource>

const sources: Readonly<Record<string, Open>> = {
  docker: (name, options) => {
    if (!name.startsWith('//')) throw unknown(`docker:${name}`, 'write it like docker://quay.io/fedora/fedora')
    return openRegistry(name.slice(2), options)
  },
  oci: async (name) => DirectorySource.layout(...pathAndTag(name)),
  dir: async (name) => DirectorySource.plain(name),
}
const archives: ReadonlySet<string> = new Set(['oci-archive', 'docker-archive'])
/** What skopeo alone understands. */
const foreign: ReadonlySet<string> = new Set([
  'containers-storage',
  'docker-daemon',
  'ostree',
  'sif',
  'tarball',
  'atomic',
])

/**
 * Opens an image by its name. Without a transport the name is that of an image in a registry, and may be short.
 *
 * What only skopeo understands (`containers-storage:`, `docker-daemon:` and others) comes through skopeo.
 *
 * @throws {@link ComposefsError} `ERR_OCI_REFERENCE`; what `RegistryClient.open`, `DirectorySource` and `SkopeoSource`
 * throw
 */
export async function openSource(name: string, options: OpenOptions = {}): Promise<ImageSource> {
  const [transport, rest] = split(name)
  if (transport === undefined) {
    checkImageName(name)
    return openRegistry(name, options)
  }
  const open = sources[transport]
  return open === undefined ? SkopeoSource.open(name, options.platform) : open(rest, options)
}

/**
 * Pulls an image or an artifact by its name, from whatever transport: see {@link pullAny} and {@link importArchive}.
 *
 * @example
 * ```ts
 * import { pull } from 'composefs-streams/oci'
 * import { Repository } from 'composefs-streams/repository'
 *
 * const repository = await Repository.init('./repo', { insecure: 'auto' })
 * const pulled = await pull(repository, 'docker://quay.io/fedora/fedora', { name: 'fedora' })
 * if (pulled.kind === 'image') console.log(pulled.imageId.hex)
 * ```
 */
export async function pull(
  repository: Repository | RepositoryOpener,
  name: string,
  options: PullByNameOptions = {},
): Promise<PublishedImage | PublishedArtifact> {
  const [transport, rest] = split(name)
  if (transport !== undefined && archives.has(transport)) {
    const [path, select] = pathAndTag(rest)
    const source = openArchiveFile(path)
    const which = { single: true, ...(select !== undefined && { select }) }
    const [image] = await importArchive(repository, source, { ...options, ...which })
    return image!
  }
  const source = await openSource(name, options)
  try {
    return await pullAny(repository, source, options)
  } finally {
    await source.close()
  }
}

async function openRegistry(name: string, options: RegistryOptions): Promise<RegistryClient> {
  const registriesConfig = options.registriesConfig ?? readRegistriesConfig()
  return RegistryClient.open(resolveShortName(name, registriesConfig), { ...options, registriesConfig })
}

/** `oci:DIR` is a transport, `fedora:41` is none. */
function split(name: string): [transport: string | undefined, rest: string] {
  const colon = name.indexOf(':')
  const transport = name.slice(0, Math.max(0, colon))
  const known = Object.hasOwn(sources, transport) || archives.has(transport) || foreign.has(transport)
  return known ? [transport, name.slice(colon + 1)] : [undefined, name]
}

function pathAndTag(text: string): [path: string, tag?: string] {
  const colon = text.indexOf(':')
  return colon < 0 ? [text] : [text.slice(0, colon), text.slice(colon + 1)]
}

function unknown(name: string, hint: string): ComposefsError {
  return new ComposefsError('ERR_OCI_REFERENCE', `not an image that can be pulled: ${name}`, { hint })
}
