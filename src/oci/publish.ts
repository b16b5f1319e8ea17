/**
 * Publishing an image whose layers are stored: config, manifest, EROFS images and tag (spec: rs-0.9, section 1.2).
 *
 * @packageDocumentation
 */
import type { ErofsVersion } from '../erofs/format.ts'
import { ComposefsError } from '../errors.ts'
import type { ObjectId } from '../fsverity/object-id.ts'
import type { Repository } from '../repository/repository.ts'
import type { Transaction } from '../repository/transaction.ts'
import { contentTypes } from '../streams/splitstream-format.ts'
import { Turns } from '../turns.ts'
import { type BootImage, findBootImage, makeBootImages } from './boot.ts'
import { type Document, findDocument, writeDocument } from './document.ts'
import { keepTagged, type TaggedManifest, taggedManifests } from './keep.ts'
import { mediaTypes, parseConfig, parseManifest } from './manifest.ts'
import {
  bootRef,
  configRef,
  configStream,
  imageRef,
  imageRefPrefix,
  layerStream,
  manifestStream,
  sha256,
  tagRef,
} from './names.ts'
import { layersToTree, storeImage, type TreeOptions } from './tree.ts'

/** An image that is complete but for its publication. */
export interface ImageParts {
  /** Exact bytes. */
  readonly manifest: Buffer
  /** Exact bytes. */
  readonly config: Buffer
  /** Splitstream of each layer by its diffID. */
  readonly layers: ReadonlyMap<string, ObjectId>
  /** Names to give it; with none only its digest leads to it, and garbage collection removes it. */
  readonly tags: readonly string[]
}

/** How an image is published. */
export interface PublishOptions extends TreeOptions {
  /** Make boot images as well, in all formats. The plain images are the same with and without. */
  readonly bootable?: boolean
  /** Instead of that, look for the boot image that has this id (hex), see {@link findBootImage}. */
  readonly expectedDigest?: string
}

/** A published image. */
export interface PublishedImage {
  readonly kind: 'image'
  readonly manifestDigest: string
  readonly configDigest: string
  readonly diffIds: readonly string[]
  /** The EROFS image of the repository's default format. */
  readonly imageId: ObjectId
  /** All formats that were made. */
  readonly images: ReadonlyMap<ErofsVersion, ObjectId>
  /** The boot image of the default format, or the one that was looked for and found. */
  readonly boot: BootImage | undefined
  readonly tags: readonly string[]
}

/** An image whose objects are all stored: what is left is to link them. */
export interface PreparedImage {
  readonly image: PublishedImage
  /** Adds the image's links and tags to what a transaction publishes. */
  link(transaction: Transaction): void
}

/**
 * Makes the EROFS images and publishes everything at once: whoever finds the tag finds the whole image.
 *
 * @throws {@link ComposefsError} the codes of {@link layersToTree} and of the repository; `ERR_OCI_JSON`,
 * `ERR_OCI_NAME`; the reason of `signal`. Nothing is published then.
 */
export async function publishImage(
  repository: Repository,
  parts: ImageParts,
  options: PublishOptions = {},
): Promise<PublishedImage> {
  const prepared = await prepareImage(repository, parts, options)
  await repository.transaction((transaction) => prepared.link(transaction), options)
  return prepared.image
}

/** The first part of {@link publishImage}, for those who publish several images at once. Throws as it does. */
export async function prepareImage(
  repository: Repository,
  parts: ImageParts,
  options: PublishOptions = {},
): Promise<PreparedImage> {
  const { manifest, config, layers, tags } = parts
  const { signal } = options
  const refs = tags.map((tag) => tagRef(tag))
  const { diffIds } = parseConfig(config)
  const ids = diffIds.map((diffId) => layers.get(diffId) ?? missing(diffId))
  const fileSystem = await layersToTree(repository, ids, { ...options, bootable: false })
  const versions = [repository.formats.default, ...repository.formats.extra]
  const images = new Map<ErofsVersion, ObjectId>()
  for (const version of versions) images.set(version, await storeImage(repository, fileSystem, version, signal))
  const boots = await bootImages(repository, ids, options)
  await new Turns(signal).next()

  const manifestDigest = sha256(manifest)
  const configDigest = sha256(config)
  const layerRefs = new Map(diffIds.map((diffId, i) => [diffId, ids[i]!]))
  const dockerRefs = dockerLayers(manifest, ids)
  const ref = configRef(configDigest)

  const link = (transaction: Transaction): void => {
    for (const [diffId, id] of layerRefs) transaction.linkStream(layerStream(diffId), id)
    for (const id of [...images.values(), ...boots.map(({ id }) => id)]) transaction.linkImage(id)
    for (const ref of refs) transaction.setRef('streams', ref, manifestStream(manifestDigest))
    // Others may have published the same config until then. What it refers to is kept, and they get what we add to it.
    transaction.defer(() => {
      const contentId = manifestStream(manifestDigest)
      const manifests = taggedManifests(repository, [contentId])
      keepTagged(repository, manifests)
      const kin = manifests.filter(({ document }) => isOf(document, layerRefs) && document.namedRefs.has(ref))
      const others = existingImageRefs(repository, config, layerRefs, kin)
      const configId = writeDocument(repository, configStream(configDigest), contentTypes.config, config, [
        ...layerRefs,
        ...imageRefs(images, boots, others),
      ])
      transaction.linkStream(configStream(configDigest), configId)
      const publish = (contentId: string, json: Buffer, named: Iterable<readonly [string, ObjectId]>): void => {
        const refs = new Map([...named, [ref, configId] as const])
        transaction.linkStream(contentId, writeDocument(repository, contentId, contentTypes.manifest, json, refs))
      }
      for (const { contentId, document } of kin) publish(contentId, document.json, document.namedRefs)
      publish(contentId, manifest, [[ref, configId], ...layerRefs, ...dockerRefs])
    })
  }
  const imageId = images.get(repository.formats.default)!
  const [boot] = boots
  return { image: { kind: 'image', manifestDigest, configDigest, diffIds, imageId, images, boot, tags }, link }
}

/** Of a config that is not OCI's, cfsctl looks for layers as for the blobs of an artifact: by their digests. */
function dockerLayers(bytes: Buffer, ids: readonly ObjectId[]): [digest: string, id: ObjectId][] {
  const { config, layers } = parseManifest(bytes)
  return config.mediaType === mediaTypes.config ? [] : layers.map(({ digest }, i) => [digest, ids[i]!])
}

async function bootImages(
  repository: Repository,
  layers: readonly ObjectId[],
  { bootable = false, expectedDigest, ...options }: PublishOptions,
): Promise<BootImage[]> {
  if (expectedDigest === undefined) return bootable ? makeBootImages(repository, layers, options) : []
  const found = await findBootImage(repository, layers, expectedDigest, options)
  return found === undefined ? [] : [found]
}

/** V2 before V1, then what other programs noted (boot images), by name. */
function imageRefs(
  images: ReadonlyMap<ErofsVersion, ObjectId>,
  boots: readonly BootImage[],
  others: Map<string, ObjectId>,
): [string, ObjectId][] {
  // In the order of the formats the default comes first: of V0 and V1 beside each other it is the one to find.
  for (const [version, id] of [...images].reverse()) others.set(imageRef(version), id)
  for (const { version, xattrs, id } of [...boots].reverse()) others.set(bootRef(version, xattrs), id)
  return [...others].sort(([a], [b]) => (a < b ? -1 : 1))
}

/** Images that are noted in the config, as it is linked, and as manifests refer to it: other programs leave these apart. */
function existingImageRefs(
  repository: Repository,
  config: Buffer,
  layers: ReadonlyMap<string, ObjectId>,
  manifests: readonly TaggedManifest[],
): Map<string, ObjectId> {
  const digest = sha256(config)
  const referred = manifests.map(({ document }) => document.namedRefs.get(configRef(digest)))
  const refs = [...referred, configStream(digest)].flatMap((stream) => {
    const document = findDocument(repository, stream, contentTypes.config, config)
    return document !== undefined && isOf(document, layers) ? [...document.namedRefs] : []
  })
  return new Map(refs.filter(([name, id]) => name.startsWith(imageRefPrefix) && repository.objects.isIntact(id)))
}

/** Whether it refers to these very layers: the images of others, under the same name, are none of this one's. */
function isOf({ namedRefs }: Document, layers: ReadonlyMap<string, ObjectId>): boolean {
  return [...layers].every(([diffId, id]) => namedRefs.get(diffId)?.equals(id) === true)
}

function missing(diffId: string): never {
  throw new ComposefsError('ERR_ARCHIVE_INCOMPLETE', `the layer ${diffId} is not there`)
}
