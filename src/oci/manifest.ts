/**
 * Manifests, indexes and configs of OCI images, as far as they matter here.
 *
 * @packageDocumentation
 */
import { ComposefsError } from '../errors.ts'
import type { Compression } from '../streams/compression.ts'
import { JsonReader } from './json.ts'

/** Points at a blob. */
export interface Descriptor {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
  readonly platform: Platform | undefined
  readonly annotations: Readonly<Record<string, string>>
  /** Where else it is to be had. */
  readonly urls?: readonly string[] | undefined
}

/** What an image runs on. */
export interface Platform {
  readonly os: string
  readonly architecture: string
  readonly variant?: string | undefined
}

/** An image manifest. */
export interface Manifest {
  readonly config: Descriptor
  readonly layers: readonly Descriptor[]
  /** What a signature, or the like, is about. */
  readonly subject?: Descriptor | undefined
}

/** The part of an image config that matters here. */
export interface ImageConfig {
  readonly diffIds: readonly string[]
  readonly architecture: string | undefined
  readonly os: string | undefined
  readonly created: string | undefined
}

/** Media types that are written. */
export const mediaTypes = {
  index: 'application/vnd.oci.image.index.v1+json',
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar',
} as const

const indexTypes = new Set<string>([mediaTypes.index, 'application/vnd.docker.distribution.manifest.list.v2+json'])
/** What to ask a registry for, the usual ones first: OCI and Docker schema 2, image manifests and indexes. */
export const manifestTypes: readonly string[] = [
  mediaTypes.manifest,
  ...indexTypes,
  'application/vnd.docker.distribution.manifest.v2+json',
]
const configTypes = new Set<string>([mediaTypes.config, 'application/vnd.docker.container.image.v1+json'])
const oci = 'application/vnd.oci.image.layer.'
const docker = 'application/vnd.docker.image.rootfs.'
const layerTypes: ReadonlyMap<string, Compression> = new Map<string, Compression>([
  [`${oci}v1.tar`, 'none'],
  [`${oci}v1.tar+gzip`, 'gzip'],
  [`${oci}v1.tar+zstd`, 'zstd'],
  [`${oci}nondistributable.v1.tar`, 'none'],
  [`${oci}nondistributable.v1.tar+gzip`, 'gzip'],
  [`${oci}nondistributable.v1.tar+zstd`, 'zstd'],
  [`${docker}diff.tar`, 'none'],
  [`${docker}diff.tar.gzip`, 'gzip'],
  [`${docker}diff.tar.zstd`, 'zstd'],
])

/** Whether the blob behind a descriptor is a list of manifests. */
export const isIndex = ({ mediaType }: Pick<Descriptor, 'mediaType'>): boolean => indexTypes.has(mediaType)

/** Whether a manifest describes a container image, and not some other artifact. */
export const isContainerImage = ({ config }: Manifest): boolean => configTypes.has(config.mediaType)

/** How a layer of this media type is compressed. @throws {@link ComposefsError} `ERR_OCI_MEDIA_TYPE` */
export function layerCompression(mediaType: string): Compression {
  const compression = layerTypes.get(mediaType)
  if (compression !== undefined) return compression
  throw new ComposefsError('ERR_OCI_MEDIA_TYPE', `layers of the media type ${mediaType} are not supported`, {
    hint: mediaType.includes('foreign') ? 'foreign layers are fetched from elsewhere' : 'layers are tar, gzip or zstd',
  })
}

/** Reads a manifest. @throws {@link ComposefsError} `ERR_OCI_JSON` naming the field */
export function parseManifest(bytes: Uint8Array): Manifest {
  const json = new JsonReader('manifest')
  const manifest = json.object(json.parse(bytes))
  return {
    config: descriptor(json, manifest['config'], 'config'),
    layers: json.array(manifest['layers'], 'layers').map((layer, i) => descriptor(json, layer, `layers[${i}]`)),
    ...(manifest['subject'] != null && { subject: descriptor(json, manifest['subject'], 'subject') }),
  }
}

/** Reads an index, or the `index.json` of a layout. @throws {@link ComposefsError} `ERR_OCI_JSON` naming the field */
export function parseIndex(bytes: Uint8Array): Descriptor[] {
  const json = new JsonReader('index')
  const index = json.object(json.parse(bytes))
  return json.array(index['manifests'], 'manifests').map((item, i) => descriptor(json, item, `manifests[${i}]`))
}

/** Reads an image config. @throws {@link ComposefsError} `ERR_OCI_JSON` naming the field */
export function parseConfig(bytes: Uint8Array): ImageConfig {
  const json = new JsonReader('config')
  const config = json.object(json.parse(bytes))
  const rootfs = json.object(config['rootfs'], 'rootfs')
  const diffIds = json.array(rootfs['diff_ids'] ?? [], 'rootfs.diff_ids')
  return {
    diffIds: diffIds.map((diffId, i) => json.digest(diffId, `rootfs.diff_ids[${i}]`)),
    architecture: json.optionalString(config['architecture'], 'architecture'),
    os: json.optionalString(config['os'], 'os'),
    created: json.optionalString(config['created'], 'created'),
  }
}

/**
 * Makes the manifest of an image that came without one (a docker-archive): its layers uncompressed. The same image
 * gives the same bytes.
 */
export function makeManifest(
  config: { readonly digest: string; readonly size: number },
  layers: readonly { readonly diffId: string; readonly size: number }[],
): Buffer {
  return Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: mediaTypes.manifest,
      config: { mediaType: mediaTypes.config, digest: config.digest, size: config.size },
      layers: layers.map(({ diffId, size }) => ({ mediaType: mediaTypes.layer, digest: diffId, size })),
    }),
  )
}

/** One image of a docker-archive's `manifest.json`. */
export interface DockerImage {
  /** Member that holds the config. */
  readonly config: string
  /** Members that hold the layers, the lowest first. */
  readonly layers: readonly string[]
  readonly tags: readonly string[]
}

/** Reads the `manifest.json` of a docker-archive. @throws {@link ComposefsError} `ERR_OCI_JSON` naming the field */
export function parseDockerManifest(bytes: Uint8Array): DockerImage[] {
  const json = new JsonReader('manifest.json')
  return json.array(json.parse(bytes), 'it').map((item, i) => {
    const image = json.object(item, `[${i}]`)
    return {
      config: json.string(image['Config'], `[${i}].Config`),
      layers: json.strings(image['Layers'] ?? [], `[${i}].Layers`),
      tags: json.strings(image['RepoTags'] ?? [], `[${i}].RepoTags`),
    }
  })
}

/** The platform of this machine, as OCI calls it. */
export function hostPlatform(): Platform {
  const architectures: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386', ppc64: 'ppc64le' }
  const { arch, platform } = process
  return { os: platform === 'darwin' ? 'linux' : platform, architecture: architectures[arch] ?? arch }
}

/** Reads `OS/ARCHITECTURE[/VARIANT]`. @throws {@link ComposefsError} `ERR_ARGUMENT` */
export function parsePlatform(text: string): Platform {
  const [os, architecture, variant, ...rest] = text.split('/')
  if (!os || !architecture || rest.length > 0) {
    throw new ComposefsError('ERR_ARGUMENT', `not a platform: ${text}`, { hint: 'write it like linux/arm64' })
  }
  return { os, architecture, variant }
}

/**
 * The manifest for a platform among those of an index. One that is alone and names no platform is taken as it is.
 *
 * @throws {@link ComposefsError} `ERR_OCI_PLATFORM`, naming those that are there
 */
export function choosePlatform(manifests: readonly Descriptor[], wanted: Platform): Descriptor {
  const only = manifests[0]
  if (only !== undefined && manifests.length === 1 && only.platform === undefined) return only
  const { os, architecture } = wanted
  const alike = manifests.filter(({ platform }) => platform?.os === os && platform.architecture === architecture)
  for (const variant of variantsFor(wanted)) {
    const found = alike.find(({ platform }) => variant === 'any' || platform?.variant === variant)
    if (found !== undefined) return found
  }
  throw new ComposefsError('ERR_OCI_PLATFORM', `there is no image for ${platformText(wanted)}`, {
    hint: `choose one with --platform: ${manifests.map(({ platform }) => platformText(platform)).join(', ')}`,
  })
}

/** What runs where a variant is wanted, the best first: 32-bit ARM runs what was made for older ones. */
function variantsFor({ architecture, variant }: Platform): (string | undefined)[] {
  if (variant === undefined) return ['any']
  const older = architecture === 'arm' ? ['v7', 'v6', 'v5'].filter((other) => other < variant) : []
  // To leave it out means v8 of arm64, and the oldest that is in use of others.
  return [variant, ...older, undefined]
}

function platformText(platform: Platform | undefined): string {
  if (platform === undefined) return '(none named)'
  return [platform.os, platform.architecture, platform.variant].filter((part) => part !== undefined).join('/')
}

function descriptor(json: JsonReader, value: unknown, field: string): Descriptor {
  const object = json.object(value, field)
  return {
    mediaType: json.string(object['mediaType'], `${field}.mediaType`),
    digest: json.digest(object['digest'], `${field}.digest`),
    size: json.size(object['size'], `${field}.size`),
    platform: platformOf(json, object['platform'], `${field}.platform`),
    annotations: annotationsOf(json, object['annotations'], `${field}.annotations`),
    ...(object['urls'] != null && { urls: json.strings(object['urls'], `${field}.urls`) }),
  }
}

function platformOf(json: JsonReader, value: unknown, field: string): Platform | undefined {
  if (value === undefined || value === null) return undefined
  const platform = json.object(value, field)
  return {
    os: json.string(platform['os'], `${field}.os`),
    architecture: json.string(platform['architecture'], `${field}.architecture`),
    variant: json.optionalString(platform['variant'], `${field}.variant`),
  }
}

function annotationsOf(json: JsonReader, value: unknown, field: string): Record<string, string> {
  const object = json.object(value ?? {}, field)
  return Object.fromEntries(Object.entries(object).map(([key, item]) => [key, json.string(item, `${field}.${key}`)]))
}
