/**
 * The OCI images of a repository (spec: oci-image, sections 7 and 8).
 *
 * @packageDocumentation
 */
import type { ErofsVersion } from '../erofs/format.ts'
import { ComposefsError } from '../errors.ts'
import type { ObjectId } from '../fsverity/object-id.ts'
import { decodeTag } from '../repository/names.ts'
import type { Repository } from '../repository/repository.ts'
import { contentTypes } from '../streams/splitstream-format.ts'
import type { FileSystem } from '../tree/filesystem.ts'
import { type Document, readDocument } from './document.ts'
import { closest, type FoundImage, findImage, listTags } from './find.ts'
import { keepTagged, taggedManifests } from './keep.ts'
import { type ImageConfig, isContainerImage, type Manifest, parseConfig, parseManifest } from './manifest.ts'
import {
  checkDigest,
  configRef,
  configStream,
  imageRef,
  imageRefPrefix,
  manifestPrefix,
  manifestStream,
  referrersOf,
  sha256,
  tagRef,
} from './names.ts'
import { layersToTree, type TreeOptions } from './tree.ts'
import { verifyStream } from './verify-stream.ts'

/** A config and the layers it names. */
export interface OpenedConfig {
  readonly digest: string
  readonly document: Document
  readonly config: ImageConfig
  /** Splitstreams of the layers, the lowest first. */
  readonly layers: readonly ObjectId[]
}

/** An image: its manifest and, unless it is some other artifact, its config. */
export interface OpenedImage {
  readonly manifestDigest: string
  readonly manifest: Manifest
  /** Exact bytes. */
  readonly manifestBytes: Buffer
  /** Splitstreams of the layers, the lowest first; of an artifact, of its blobs. */
  readonly layers: readonly ObjectId[]
  readonly config: OpenedConfig | undefined
  /** Exact bytes, of an artifact's config too. */
  readonly configBytes: Buffer
}

/** One line of `oci images`. */
export interface ListedImage {
  readonly name: string
  readonly manifestDigest: string
  readonly isContainer: boolean
  readonly architecture: string
  readonly os: string
  readonly created: string | null
  readonly layerCount: number
  readonly referrerCount: number
}

/**
 * Opens an image by whatever it is called, see {@link findImage}; that of a config or of an EROFS image is the one that
 * refers to it. Manifest and config are compared with their digests.
 *
 * @throws {@link ComposefsError} what {@link findImage} throws; `ERR_OCI_NOT_FOUND` for an EROFS image that was not made
 * of an OCI image, `ERR_DIGEST_MISMATCH`, `ERR_OCI_JSON`, `ERR_SPLITSTREAM_*`
 */
export function openImage(repository: Repository, name: string): OpenedImage {
  const found = findImage(repository, name)
  const image = openFound(repository, found)
  if (image !== undefined) return image
  if (found.kind === 'config') throw notFound(name, 'the repository has this config, and no manifest for it')
  throw new ComposefsError('ERR_OCI_NOT_FOUND', 'this image was not made of an OCI image', {
    path: name,
    hint: 'it has no layers; dump, ls, objects, checkout and diff take it',
  })
}

/** The image that refers to what was found, if there is one: a tagged one rather than another. */
export function openFound(repository: Repository, found: FoundImage): OpenedImage | undefined {
  if (found.kind === 'manifest') return openManifest(repository, checkDigest(found.digest))
  const tagged = repository.listRefs('streams', 'oci').map(({ target }) => target)
  for (const contentId of new Set([...tagged, ...repository.listStreams()])) {
    if (!contentId.startsWith(manifestPrefix)) continue
    try {
      const image = openManifest(repository, checkDigest(contentId.slice(manifestPrefix.length)))
      if (refersTo(image, found)) return image
    } catch (error) {
      // One that is damaged is not what was asked for.
      if (!(error instanceof ComposefsError)) throw error
    }
  }
  return undefined
}

function refersTo({ manifest, config }: OpenedImage, found: FoundImage): boolean {
  if (found.kind !== 'erofs') return manifest.config.digest === found.digest
  const refs = [...(config?.document.namedRefs ?? [])]
  return refs.some(([name, id]) => name.startsWith(imageRefPrefix) && id.equals(found.id))
}

function openManifest(repository: Repository, digest: string): OpenedImage {
  const id = repository.hasStream(manifestStream(digest))
  if (id === undefined) throw notFound(`@${digest}`, 'the manifest is not in the repository')
  const document = readDocument(repository, id, contentTypes.manifest)
  checkJson('manifest', digest, document.json)
  const manifest = parseManifest(document.json)
  const configId = document.namedRefs.get(configRef(manifest.config.digest))
  if (configId === undefined) throw damaged(`the manifest ${digest} does not refer to its config`)
  const configDocument = readDocument(repository, configId, contentTypes.config)
  checkJson('config', manifest.config.digest, configDocument.json)
  const config = isContainerImage(manifest) ? withLayers(manifest.config.digest, configDocument) : undefined
  const layers = config?.layers ?? blobsOf(manifest, document)
  const bytes = { manifestBytes: document.json, configBytes: configDocument.json }
  return { manifestDigest: digest, manifest, config, layers, ...bytes }
}

/**
 * Opens a config by its digest. Its layers are compared with their diffIDs, as {@link verifyLayers} does.
 *
 * @throws {@link ComposefsError} `ERR_OCI_NOT_FOUND`, and what {@link verifyLayers} throws
 */
export async function openConfig(repository: Repository, digest: string, signal?: AbortSignal): Promise<OpenedConfig> {
  return verifyLayers(repository, storedConfig(repository, digest, configId(repository, digest)), signal)
}

/**
 * Compares the layers of a config with their diffIDs: each is put together and hashed, for a config says which
 * splitstreams are its layers, and nothing vouches for that. Once for whatever is made of them.
 *
 * @returns the config
 * @throws {@link ComposefsError} `ERR_DIGEST_MISMATCH`, `ERR_NOT_FOUND`, `ERR_REPOSITORY_CORRUPT`, `ERR_SPLITSTREAM_*`,
 * naming the layer; the reason of `signal`
 */
export async function verifyLayers(
  repository: Repository,
  config: OpenedConfig,
  signal?: AbortSignal,
): Promise<OpenedConfig> {
  const { diffIds } = config.config
  for (const diffId of new Set(diffIds)) {
    const i = diffIds.indexOf(diffId)
    try {
      await verifyStream(repository, config.layers[i]!, diffId, { contentType: contentTypes.layer, signal })
    } catch (error) {
      throw error instanceof ComposefsError ? error.within(`layer ${i + 1} of ${diffIds.length}`) : error
    }
  }
  return config
}

/**
 * The config of an image, by whatever that is called, see {@link findImage}. Its layers are compared with their diffIDs.
 *
 * @param id of the config's splitstream, where it is known from elsewhere: then it vouches for the layers
 * @throws {@link ComposefsError} what {@link openImage} and {@link openConfig} throw; `ERR_DIGEST_MISMATCH` for another
 * `id`; the reason of `signal`
 */
export async function resolveConfig(
  repository: Repository,
  name: string,
  id?: ObjectId,
  signal?: AbortSignal,
): Promise<OpenedConfig> {
  const found = findImage(repository, name)
  if (found.kind === 'config') {
    const { digest } = found
    return id === undefined ? openConfig(repository, digest, signal) : openVouchedConfig(repository, digest, id)
  }
  const { config } = openImage(repository, name)
  if (config !== undefined) {
    if (id !== undefined) return openVouchedConfig(repository, config.digest, id)
    return verifyLayers(repository, config, signal)
  }
  throw new ComposefsError('ERR_OCI_MEDIA_TYPE', `${name} is an artifact, not a container image`)
}

/** The tree of an image: its layers merged, with the rules of OCI images applied. */
export async function imageTree(
  repository: Repository,
  config: OpenedConfig,
  options: TreeOptions = {},
): Promise<FileSystem> {
  return layersToTree(repository, config.layers, options)
}

/** The EROFS image that a config refers to, for a format. */
export function linkedImage(config: OpenedConfig, version: ErofsVersion): ObjectId | undefined {
  return config.document.namedRefs.get(imageRef(version))
}

/** All tagged images, by name. Tags that lead nowhere come with an error instead, so that nothing stays hidden. */
export function* listImages(
  repository: Repository,
): Generator<ListedImage | { readonly name: string; readonly error: ComposefsError }, void, undefined> {
  for (const tag of listTags(repository)) {
    try {
      yield describe(repository, tag)
    } catch (error) {
      if (!(error instanceof ComposefsError)) throw error
      yield { name: tag, error }
    }
  }
}

function describe(repository: Repository, name: string): ListedImage {
  const { manifestDigest, manifest, config } = openImage(repository, name)
  return {
    name,
    manifestDigest,
    isContainer: config !== undefined,
    architecture: config?.config.architecture ?? '',
    os: config?.config.os ?? '',
    created: config?.config.created ?? null,
    layerCount: manifest.layers.length,
    referrerCount: listReferrers(repository, manifestDigest).length,
  }
}

/** The digests of the manifests that declare this one as their subject. */
export function listReferrers(repository: Repository, manifestDigest: string): string[] {
  return repository.listRefs('streams', referrersOf(manifestDigest)).map(({ name }) => decodeTag(name))
}

/**
 * Gives a manifest in the repository a name.
 *
 * @throws {@link ComposefsError} `ERR_OCI_NOT_FOUND` where there is none, `ERR_DIGEST_MISMATCH` where it is another,
 * `ERR_OCI_NAME`, `ERR_DIGEST_SYNTAX`
 */
export async function tagImage(repository: Repository, manifestDigest: string, name: string): Promise<void> {
  const contentId = manifestStream(checkDigest(manifestDigest))
  const ref = tagRef(name)
  const id = repository.hasStream(contentId)
  if (id === undefined) throw notFound(manifestDigest, 'there is no such manifest')
  checkJson('manifest', manifestDigest, readDocument(repository, id, contentTypes.manifest).json)
  keepTagged(repository, taggedManifests(repository, [contentId]))
  await repository.setRef('streams', ref, contentId)
}

/** Takes a name away. The image stays until garbage collection. @throws {@link ComposefsError} `ERR_OCI_NOT_FOUND` */
export function untagImage(repository: Repository, name: string): void {
  const ref = tagRef(name)
  repository.assertWritable()
  keepTagged(repository)
  try {
    repository.removeRef('streams', ref)
  } catch (error) {
    if (!(error instanceof ComposefsError) || error.code !== 'ERR_NOT_FOUND') throw error
    throw notFound(name, 'there is no such tag', closest(name, listTags(repository)))
  }
}

/** A config whose splitstream has an id that is known from elsewhere, and vouches for all it refers to. */
function openVouchedConfig(repository: Repository, digest: string, id: ObjectId): OpenedConfig {
  const found = configId(repository, digest)
  if (!found.equals(id)) {
    const what = `the stream of the config ${digest} has another id`
    throw new ComposefsError('ERR_DIGEST_MISMATCH', what, { expected: id.hex, actual: found.hex })
  }
  repository.objects.verify(id)
  return storedConfig(repository, digest, id)
}

function configId(repository: Repository, digest: string): ObjectId {
  const id = repository.hasStream(configStream(checkDigest(digest)))
  if (id !== undefined) return id
  throw notFound(`@${digest}`, 'the config is not in the repository')
}

function storedConfig(repository: Repository, digest: string, id: ObjectId): OpenedConfig {
  const document = readDocument(repository, id, contentTypes.config)
  checkJson('config', digest, document.json)
  return withLayers(digest, document)
}

function withLayers(digest: string, document: Document): OpenedConfig {
  const config = parseConfig(document.json)
  const layers = config.diffIds.map((diffId) => {
    const id = document.namedRefs.get(diffId)
    if (id === undefined) throw damaged(`the config ${digest} does not refer to its layer ${diffId}`)
    return id
  })
  return { digest, document, config, layers }
}

function blobsOf({ layers }: Manifest, { namedRefs }: Document): ObjectId[] {
  return layers.map(({ digest }) => {
    const id = namedRefs.get(digest)
    if (id === undefined) throw damaged(`the manifest does not refer to its blob ${digest}`)
    return id
  })
}

function checkJson(what: string, expected: string, json: Buffer): void {
  const actual = sha256(json)
  if (actual === expected) return
  throw new ComposefsError('ERR_DIGEST_MISMATCH', `the ${what} in the repository does not have its digest`, {
    expected,
    actual,
    hint: 'import the image again',
  })
}

function notFound(path: string, what: string, near: readonly string[] = []): ComposefsError {
  const hint = near.length > 0 ? `did you mean ${near.join(' or ')}?` : 'see: composefs oci images'
  return new ComposefsError('ERR_OCI_NOT_FOUND', what, { path, hint })
}

function damaged(what: string): ComposefsError {
  return new ComposefsError('ERR_REPOSITORY_CORRUPT', what, { hint: 'import or pull the image again' })
}
