/**
 * An image from a registry (or what is laid out like one) into a repository, every layer from the socket into objects.
 *
 * @packageDocumentation
 */
import { ComposefsError } from '../errors.ts'
import type { Repository } from '../repository/repository.ts'
import { limitsOfImage, OutputBudget, type OutputLimits } from '../streams/output-budget.ts'
import { type PublishedArtifact, publishArtifact } from './artifact.ts'
import { bootImageId } from './boot.ts'
import { IndexWalk } from './image-index.ts'
import type { LayerOptions } from './layer.ts'
import {
  type Descriptor,
  isContainerImage,
  layerCompression,
  type Manifest,
  type Platform,
  parseConfig,
  parseManifest,
} from './manifest.ts'
import { tagRef } from './names.ts'
import { unlessAborted } from './parallel.ts'
import { hostPlatform } from './platform.ts'
import { type ImageParts, type PublishedImage, type PublishOptions, publishImage } from './publish.ts'
import { type BlobSource, isPlain, type LayerEvent, LayerPuller, type WantedLayer } from './pull-layers.ts'
import { openedLate, type RepositoryOpener } from './repository-opener.ts'
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
  | { readonly type: 'artifact'; readonly artifact: PublishedArtifact }

/** Options of {@link pullImage}. */
export interface PullOptions extends PublishOptions, Pick<LayerOptions, 'decompressor' | 'tar'> {
  /** Tag for the image. Default: none, so that only its digest leads to it. */
  readonly name?: string
  /** Which image of an index. Default: that of this machine. */
  readonly platform?: Platform
  /** Layers that are fetched at once. Default 4. */
  readonly parallel?: number
  /** Most bytes that all layers that are fetched may hold; `decompressor.maxOutput` is for each. Default: no limit. */
  readonly maxOutput?: number
  readonly onEvent?: (event: PullEvent) => void
}

type FetchArguments = [open: RepositoryOpener, source: ImageSource, found: FoundManifest, options: PullOptions]

interface FoundManifest {
  readonly bytes: Buffer
  readonly digest: string
  readonly manifest: Manifest
}

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
  repository: Repository | RepositoryOpener,
  source: ImageSource,
  options: PullOptions = {},
): Promise<PublishedImage> {
  const open = openedLate(repository)
  const found = await begin(source, options)
  if (isContainerImage(found.manifest)) return fetchImage(open, source, found, options)
  throw new ComposefsError('ERR_OCI_MEDIA_TYPE', 'this is an artifact, not a container image', {
    path: source.name,
    actual: found.manifest.config.mediaType,
    expected: 'an image config',
    hint: 'pullAny takes artifacts too',
  })
}

/**
 * Pulls an image as {@link pullImage} does, or an artifact, whose blobs are kept as they are. Throws as that does.
 *
 * @example
 * ```ts
 * import { parseReference, pullAny, RegistryClient } from 'composefs-streams/oci'
 * import { Repository } from 'composefs-streams/repository'
 *
 * const repository = await Repository.init('./repo', { insecure: 'auto' })
 * const source = await RegistryClient.open(parseReference('ghcr.io/me/chart'))
 * const pulled = await pullAny(repository, source, { name: 'chart' })
 * console.log(pulled.kind, pulled.manifestDigest)
 * await source.close()
 * ```
 */
export async function pullAny(
  repository: Repository | RepositoryOpener,
  source: ImageSource,
  options: PullOptions = {},
): Promise<PublishedImage | PublishedArtifact> {
  const open = openedLate(repository)
  const found = await begin(source, options)
  const fetch = isContainerImage(found.manifest) ? fetchImage : fetchArtifact
  return fetch(open, source, found, options)
}

/** Everything that can be refused is refused before anything is stored. */
async function begin(source: ImageSource, options: PullOptions): Promise<FoundManifest> {
  if (options.name !== undefined) tagRef(options.name)
  const finding = findManifest(source, options.platform ?? hostPlatform())
  const { bytes, digest } = await unlessAborted(options.signal, finding)
  const manifest = ofSource(source, () => parseManifest(bytes))
  if (isContainerImage(manifest)) checkLayers(source, manifest)
  options.onEvent?.({ type: 'manifest', digest, layers: manifest.layers })
  return { bytes, digest, manifest }
}

async function fetchImage(...[open, source, found, options]: FetchArguments): Promise<PublishedImage> {
  const parts = await fetchParts(open, source, found, options)
  const image = await publishImage(await open(), parts, options)
  options.onEvent?.({ type: 'image', image })
  return image
}

async function fetchArtifact(...[open, source, found, options]: FetchArguments): Promise<PublishedArtifact> {
  const parts = await fetchParts(open, source, found, options)
  const artifact = await publishArtifact(await open(), parts, options)
  options.onEvent?.({ type: 'artifact', artifact })
  return artifact
}

async function fetchParts(...[open, source, found, options]: FetchArguments): Promise<ImageParts> {
  const { bytes, manifest } = found
  const { signal, name, expectedDigest, maxOutput, decompressor } = options
  const config = await unlessAborted(signal, source.readBlob(manifest.config, 'the config'))
  const wanted = isContainerImage(manifest) ? await wantedLayers(source, manifest, config) : wantedBlobs(manifest)
  const repository = await open()
  if (expectedDigest !== undefined) bootImageId(repository, expectedDigest)
  const budget = new OutputBudget(limitsOfImage(maxOutput, decompressor), 'the image')
  const counted = countingPlain(source, wanted, budget, decompressor)
  const layerOptions = { ...options, decompressor: { ...decompressor, budget } }
  const layers = await new LayerPuller(repository, counted, layerOptions).pull(wanted)
  signal?.throwIfAborted()
  return { manifest: bytes, config, layers, tags: name === undefined ? [] : [name] }
}

/** Of what is not compressed the size is known before it is fetched; no decompressor counts it. */
function countingPlain(
  source: ImageSource,
  layers: readonly WantedLayer[],
  budget: OutputBudget,
  limits: OutputLimits = {},
): BlobSource {
  const plain = new Set(layers.filter((layer) => isPlain(layer)).map(({ descriptor }) => descriptor.digest))
  const blob: ImageSource['blob'] = (descriptor, what) => {
    const { digest, size } = descriptor
    if (plain.has(digest)) {
      new OutputBudget(limits, what).add(size, size)
      budget.add(size, size)
    }
    return source.blob(descriptor, what)
  }
  return { name: source.name, blob }
}

async function findManifest(source: ImageSource, platform: Platform): Promise<SourceManifest> {
  const walk = new IndexWalk(platform, source.name)
  let found = await source.manifest()
  for (;;) {
    const { bytes } = found
    const next = ofSource(source, () => walk.next(bytes))
    if (next === undefined) return found
    found = await source.manifest(next.digest, 'the manifest')
    if (found.bytes.length !== next.size) {
      throw new ComposefsError('ERR_SIZE_MISMATCH', 'the manifest has another size than the index says', {
        path: `${source.name}@${next.digest}`,
        expected: next.size,
        actual: found.bytes.length,
      })
    }
  }
}

/** Errors about a document name the image that it belongs to. */
function ofSource<T>({ name }: ImageSource, read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw error instanceof ComposefsError ? error.within(name) : error
  }
}

function checkLayers({ name }: ImageSource, manifest: Manifest): void {
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
  return layers.map((descriptor, i) => ({ ...place(i, layers), descriptor, diffId: diffIds[i]!, isTar: true }))
}

function wantedBlobs({ layers }: Manifest): WantedLayer[] {
  // Media types tell nothing: files are pushed as layers of tar unless somebody says what they are.
  return layers.map((descriptor, i) => ({ ...place(i, layers), descriptor, diffId: descriptor.digest, isTar: false }))
}

const place = (i: number, { length }: readonly Descriptor[]) => ({ number: i + 1, count: length })
