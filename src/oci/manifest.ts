/**
 * Manifests, indexes and configs of OCI images, as far as they matter here.
 *
 * @packageDocumentation
 */
import { ComposefsError } from '../errors.ts'
import type { Compression } from '../streams/compression.ts'
import { type JsonObject, JsonReader } from './json.ts'

/** Points at a blob. */
export interface Descriptor {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
  readonly platform: Platform | undefined
  readonly annotations: Readonly<Record<string, string>>
  /** What it is, where it is no image. */
  readonly artifactType?: string | undefined
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
  /** What it says it is, if it does. */
  readonly mediaType?: string | undefined
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

const dockerManifest = 'application/vnd.docker.distribution.manifest.v2+json'
const indexTypes = new Set<string>([mediaTypes.index, 'application/vnd.docker.distribution.manifest.list.v2+json'])
/** What to ask a registry for, the usual ones first: OCI and Docker schema 2, image manifests and indexes. */
export const manifestTypes: readonly string[] = [mediaTypes.manifest, ...indexTypes, dockerManifest]
const configTypes = new Set<string>([mediaTypes.config, 'application/vnd.docker.container.image.v1+json'])
/** A tar of OCI or Docker, and what it says of its compression. */
const layerType =
  /^application\/vnd\.(?:oci\.image\.layer\.(?:nondistributable\.)?v1\.tar|docker\.image\.rootfs\.diff\.tar)(?:[+.](gzip|zstd))?$/

/** Whether the blob behind a descriptor is said to be a list of manifests. */
export const isIndex = ({ mediaType }: Pick<Descriptor, 'mediaType'>): boolean => indexTypes.has(mediaType)

/** Whether a manifest describes a container image, and not some other artifact. */
export function isContainerImage({ mediaType, config, layers }: Manifest): boolean {
  if (configTypes.has(config.mediaType)) return true
  // Registries and tools of Docker's early years called the config anything; no type of a vendor was among it
  // (docker/distribution#1621, moby/moby#22378).
  const isDocker = mediaType === undefined ? layers.length > 0 : mediaType === dockerManifest
  const areDockers = layers.every(({ mediaType }) => mediaType.startsWith('application/vnd.docker.image.rootfs.'))
  return isDocker && areDockers && !/^application\/vnd\./.test(config.mediaType)
}

/** Whether a tree can be made of it: signatures of images have the config of an image, and layers that are none. */
export function hasLayersOfFiles(manifest: Manifest): boolean {
  return isContainerImage(manifest) && manifest.layers.every(({ mediaType }) => layerType.test(mediaType))
}

/**
 * How a layer of this media type is said to be compressed. That is a hint: the first bytes of the blob decide.
 *
 * @throws {@link ComposefsError} `ERR_OCI_MEDIA_TYPE` for what is no layer of files
 */
export function layerCompression(mediaType: string): Compression {
  const match = layerType.exec(mediaType)
  if (match !== null) return (match[1] as Compression | undefined) ?? 'none'
  throw new ComposefsError('ERR_OCI_MEDIA_TYPE', `layers of the media type ${mediaType} are not supported`, {
    hint: mediaType.includes('foreign') ? 'foreign layers are fetched from elsewhere' : 'layers are tar, gzip or zstd',
  })
}

/**
 * What a manifest or index is, told by its contents: how it is labelled elsewhere (a header, a descriptor) must not
 * decide, or one digest would stand for two images (CVE-2021-41190).
 *
 * @param what what to call it in messages
 * @returns a media type
 * @throws {@link ComposefsError} `ERR_OCI_JSON`, also where it is both, or says that it is what it is not
 */
export function documentType(bytes: Uint8Array, what = 'manifest'): string {
  const json = new JsonReader(what)
  const document = json.object(json.parse(bytes))
  const isList = checkUnambiguous(document, what)
  const { mediaType } = document
  if (typeof mediaType !== 'string' || !manifestTypes.includes(mediaType)) {
    return isList
      ? mediaTypes.index
      : typeof mediaType === 'string' && mediaType !== ''
        ? mediaType
        : mediaTypes.manifest
  }
  if (indexTypes.has(mediaType) === isList) return mediaType
  throw new ComposefsError('ERR_OCI_JSON', `the ${what} is ambiguous: it is not what it says`, {
    expected: mediaType,
    actual: isList ? 'an index' : 'a manifest',
    hint: 'whoever made it made a mistake, or means to deceive; do not use it',
  })
}

/** Whether it is an index. What is both is refused; other tools read keys in any case, and a null as nothing. */
function checkUnambiguous(document: JsonObject, what: string): boolean {
  const keys = Object.keys(document).filter((key) => document[key] != null)
  const find = (names: readonly string[]) => keys.find((key) => names.includes(key.toLowerCase()))
  const ofManifest = find(['layers', 'config', 'fslayers', 'history'])
  const ofIndex = find(['manifests'])
  const ofSchema1 = find(['fslayers'])
  if (ofSchema1 !== undefined && find(['layers', 'config']) !== undefined) {
    throw new ComposefsError(
      'ERR_OCI_JSON',
      `the ${what} is ambiguous: it is both of schema 1 (${ofSchema1}) and a manifest of today`,
      {
        hint: 'tools differ about the image that it stands for; do not use it (CVE-2021-41190)',
      },
    )
  }
  if (ofManifest === undefined) return 'manifests' in document
  if (ofIndex === undefined) return false
  const text = `the ${what} is ambiguous: it is both a manifest (${ofManifest}) and an index (${ofIndex})`
  throw new ComposefsError('ERR_OCI_JSON', text, {
    hint: 'tools differ about the image that it stands for; do not use it (CVE-2021-41190)',
  })
}

/** Reads a manifest. @throws {@link ComposefsError} `ERR_OCI_JSON` naming the field */
export function parseManifest(bytes: Uint8Array): Manifest {
  const json = new JsonReader('manifest')
  const manifest = json.object(json.parse(bytes))
  checkUnambiguous(manifest, 'manifest')
  const { mediaType } = manifest
  return {
    ...(typeof mediaType === 'string' && { mediaType }),
    config: descriptor(json, manifest['config'], 'config'),
    layers: json.array(listOf(manifest, 'layers'), 'layers').map((layer, i) => descriptor(json, layer, `layers[${i}]`)),
    ...(manifest['subject'] != null && { subject: descriptor(json, manifest['subject'], 'subject') }),
  }
}

/**
 * Reads an index, or the `index.json` of a layout. Entries that cannot be used are left out: they may be of a kind that
 * does not concern an image. So are fields without a meaning here.
 *
 * @throws {@link ComposefsError} `ERR_OCI_JSON` naming the field, where no entry can be used
 */
export function parseIndex(bytes: Uint8Array): Descriptor[] {
  const json = new JsonReader('index')
  const index = json.object(json.parse(bytes))
  checkUnambiguous(index, 'index')
  const usable: Descriptor[] = []
  let unusable: unknown
  for (const [i, item] of json.array(listOf(index, 'manifests'), 'manifests').entries()) {
    try {
      usable.push(descriptor(json, item, `manifests[${i}]`))
    } catch (error) {
      unusable ??= error
    }
  }
  if (usable.length === 0 && unusable !== undefined) throw unusable
  return usable
}

/** Programs in Go write an empty list as null. */
const listOf = (object: JsonObject, field: string): unknown => (object[field] === null ? [] : object[field])

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
  return json.array(json.parse(bytes), '').map((item, i) => {
    const image = json.object(item, `[${i}]`)
    return {
      config: json.string(image['Config'], `[${i}].Config`),
      layers: json.strings(image['Layers'] ?? [], `[${i}].Layers`),
      tags: json.strings(image['RepoTags'] ?? [], `[${i}].RepoTags`),
    }
  })
}

function descriptor(json: JsonReader, value: unknown, field: string): Descriptor {
  const object = json.object(value, field)
  const { urls, artifactType } = object
  return {
    mediaType: json.string(object['mediaType'] ?? '', `${field}.mediaType`),
    digest: json.digest(object['digest'], `${field}.digest`),
    size: json.size(object['size'], `${field}.size`),
    platform: platformOf(object['platform']),
    annotations: annotationsOf(object['annotations']),
    ...(typeof artifactType === 'string' && artifactType !== '' && { artifactType }),
    ...(Array.isArray(urls) && { urls: urls.filter((url) => typeof url === 'string') }),
  }
}

/** One that says nothing is none; one that says half of it is for no machine. */
function platformOf(value: unknown): Platform | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const { os, architecture, variant } = value as JsonObject
  const text = (field: unknown): string | undefined => (typeof field === 'string' && field !== '' ? field : undefined)
  if (text(os) === undefined && text(architecture) === undefined) return undefined
  return { os: text(os) ?? 'unknown', architecture: text(architecture) ?? 'unknown', variant: text(variant) }
}

function annotationsOf(value: unknown): Record<string, string> {
  if (typeof value !== 'object' || value === null) return {}
  return Object.fromEntries(Object.entries(value).filter(([, text]) => typeof text === 'string'))
}
