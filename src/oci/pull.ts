/**
 * An image from a registry (or what is laid out like one) into a repository, every layer from the socket into objects.
 *
 * @packageDocumentation
 */
import { ComposefsError } from '../errors.ts'
import type { ObjectId } from '../fsverity/object-id.ts'
import type { Repository } from '../repository/repository.ts'
import type { LayerOptions } from './layer.ts'
import {
  choosePlatform,
  type Descriptor,
  hostPlatform,
  isContainerImage,
  isIndex,
  layerCompression,
  type Manifest,
  type Platform,
  parseConfig,
  parseIndex,
  parseManifest,
} from './manifest.ts'
import { tagRef } from './names.ts'
import { type PublishedImage, type PublishOptions, publishImage } from './publish.ts'
import { type LayerEvent, LayerPuller, type WantedLayer } from './pull-layers.ts'
import type { ImageSource, SourceManifest } from './source.ts'

/** What a pull tells while it goes on. Library code prints nothing. */
export type PullEvent =
  | {
      readonly type: 'manifest'
      readonly digest: string
      /** Layers of the manifest, the lowest first. */
      readonly layers: readonly Descriptor[]
    }
  | LayerEvent
  | { readonly type: 'image'; readonly image: PublishedImage }

/** Options of {@link pullImage}. */
export interface PullOptions extends PublishOptions, Pick<LayerOptions, 'decompressor' | 'tar'> {
  /** Tag for the image. Default: none, so that only its digest leads to it. */
  readonly name?: string
  /** Which image of an index. Default: that of this machine. */
  readonly platform?: Platform
  /** Layers that are fetched at once. Default 4. */
  readonly parallel?: number
  readonly onEvent?: (event: PullEvent) => void
  readonly signal?: AbortSignal
}

const maxIndexDepth = 4

/**
 * Pulls an image: layers that the repository has are not fetched, the others are stored as they come, and the image is
 * published once the digest, size and diffID of every layer were right. After a failure finished layers are kept, and
 * the next try finds them.
 *
 * @throws {@link ComposefsError} what the source throws; `ERR_OCI_*`, `ERR_DIGEST_MISMATCH`, `ERR_SIZE_MISMATCH` and the
 * codes of every stage, naming the layer; the reason of `signal`. Nothing is published then but whole layers
 * @example
 * ```ts
 * import { parseReference, pullImage, RegistryClient } from 'composefs-streams/oci'
 * import { Repository } from 'composefs-streams/repository'
 *
 * const repository = await Repository.init('./repo', { insecure: 'auto' })
 * const source = await RegistryClient.open(parseReference('quay.io/fedora/fedora'))
 * const { imageId } = await pullImage(repository, source, { name: 'fedora' })
 * console.log(imageId.hex)
 * await source.close()
 * ```
 */
export async function pullImage(
  repository: Repository,
  source: ImageSource,
  options: PullOptions = {},
): Promise<PublishedImage> {
  repository.assertWritable()
  const { name, signal, onEvent = () => {} } = options
  if (name !== undefined) tagRef(name)
  const { bytes, digest } = await findManifest(source, options.platform ?? hostPlatform())
  const manifest = parseManifest(bytes)
  checkKinds(source, manifest)
  onEvent({ type: 'manifest', digest, layers: manifest.layers })
  const config = await source.readBlob(manifest.config, 'the config')
  const layers = await pullLayers(repository, source, await wantedLayers(source, manifest, config), options)
  signal?.throwIfAborted()
  const tags = name === undefined ? [] : [name]
  const image = await publishImage(repository, { manifest: bytes, config, layers, tags }, options)
  onEvent({ type: 'image', image })
  return image
}

async function findManifest(source: ImageSource, platform: Platform): Promise<SourceManifest> {
  let found = await source.manifest()
  for (let depth = 0; isIndex(found); depth++) {
    if (depth === maxIndexDepth)
      throw new ComposefsError('ERR_OCI_JSON', `the indexes of ${source.name} are nested too deep`)
    const { digest, size } = choosePlatform(parseIndex(found.bytes), platform)
    found = await source.manifest(digest, 'the manifest')
    if (found.bytes.length !== size) {
      throw new ComposefsError('ERR_SIZE_MISMATCH', 'the manifest has another size than the index says', {
        path: `${source.name}@${digest}`,
        expected: size,
        actual: found.bytes.length,
      })
    }
  }
  return found
}

/** Everything that can be refused is refused before anything is stored. */
function checkKinds({ name }: ImageSource, manifest: Manifest): void {
  if (!isContainerImage(manifest)) {
    throw new ComposefsError('ERR_OCI_MEDIA_TYPE', 'this is an artifact, not a container image', {
      path: name,
      actual: manifest.config.mediaType,
      expected: 'an image config',
    })
  }
  manifest.layers.forEach(({ mediaType, digest, urls = [] }, i) => {
    const layer = `layer ${i + 1} of ${manifest.layers.length} (${digest}) of ${name}`
    if (urls.length > 0 || mediaType.includes('foreign')) {
      throw new ComposefsError('ERR_OCI_MEDIA_TYPE', `${layer} is foreign (${mediaType}): it is not in the registry`, {
        hint: `it is to be fetched from ${urls[0] ?? 'elsewhere'}; copy the image to a registry that holds all its layers`,
      })
    }
    try {
      layerCompression(mediaType)
    } catch (cause) {
      const { message } = cause as ComposefsError
      throw new ComposefsError('ERR_OCI_MEDIA_TYPE', `${layer}: ${message}`, { cause })
    }
  })
}

async function wantedLayers(source: ImageSource, manifest: Manifest, config: Buffer): Promise<WantedLayer[]> {
  const layers = (await source.layers?.()) ?? manifest.layers
  const { diffIds } = parseConfig(config)
  if (diffIds.length !== layers.length) {
    throw new ComposefsError('ERR_OCI_JSON', 'config and manifest have different numbers of layers', {
      path: source.name,
      expected: layers.length,
      actual: diffIds.length,
    })
  }
  return layers.map((descriptor, i) => ({ number: i + 1, count: layers.length, descriptor, diffId: diffIds[i]! }))
}

async function pullLayers(
  repository: Repository,
  source: ImageSource,
  layers: readonly WantedLayer[],
  options: PullOptions,
): Promise<ReadonlyMap<string, ObjectId>> {
  const puller = new LayerPuller(repository, source, options)
  try {
    return await puller.pull(layers)
  } catch (error) {
    // What is complete shall not come a second time; that this failed as well would only hide why.
    await puller.keep().catch(() => {})
    throw error
  }
}
