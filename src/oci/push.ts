/**
 * An image of a repository to a registry, a directory or an archive.
 *
 * @packageDocumentation
 */
import { Readable } from 'node:stream'
import type { Repository } from '../repository/repository.ts'
import type { ImageDestination } from './destination.ts'
import { type OpenedImage, openImage } from './image.ts'
import { layersOf, streamInfo } from './layer.ts'
import type { Platform } from './manifest.ts'
import { type LayerBlob, type LayerToPush, type PushLayerEvent, pushLayers } from './push-layers.ts'
import { compressionOf, type PushCompression, pushedManifest } from './push-manifest.ts'
import type { BlobDescriptor } from './source.ts'

/** What a push tells while it goes on. Library code prints nothing. */
export type PushEvent =
  | {
      readonly type: 'manifest'
      /** That of the image in the repository. */
      readonly digest: string
      /** The tars of its layers, the lowest first. */
      readonly layers: readonly (BlobDescriptor & { readonly mediaType: string })[]
    }
  | PushLayerEvent
  | { readonly type: 'pushed'; readonly image: PushedImage }

/** A pushed image. */
export interface PushedImage {
  readonly kind: 'image' | 'artifact'
  /** Digest of the manifest at the destination. */
  readonly manifestDigest: string
  readonly configDigest: string
  /** Whether the manifest is the one of the repository, byte for byte. */
  readonly original: boolean
  /** The blob of each layer, the lowest first. */
  readonly layers: readonly LayerBlob[]
}

/** Options of {@link pushImage}. */
export interface PushOptions {
  /**
   * How layers are packed that have to be sent. Default: gzip, but what came as a plain tar stays one, so that the
   * manifest stays as it is.
   */
  readonly compression?: PushCompression
  /** Layers that are sent at once. Default 4. */
  readonly parallel?: number
  readonly onEvent?: (event: PushEvent) => void
  readonly signal?: AbortSignal
}

/**
 * Pushes an image, or an artifact, whose blobs stay as they are: its layers are put together again, bit for bit, and
 * compared with their diffIDs on the way; what the destination has is not sent. The config keeps its bytes. So does the
 * manifest where all blobs are those that it names, that is where they are there already, or are plain tars; otherwise
 * there is a new one, for compressors differ.
 *
 * @param name a tag, or `@` and the digest of a manifest
 * @throws {@link ComposefsError} what {@link openImage} and the destination throw; `ERR_DIGEST_MISMATCH` for a layer that
 * is damaged, `ERR_COMPRESSION_UNSUPPORTED`; the reason of `signal`. Nothing has the destination's name then
 * @example
 * ```ts
 * import { LayoutDestination, pushImage } from 'composefs-streams/oci'
 * import { Repository } from 'composefs-streams/repository'
 *
 * const repository = await Repository.open('./repo')
 * const { manifestDigest } = await pushImage(repository, 'fedora', new LayoutDestination('./layout', 'fedora'))
 * console.log(manifestDigest)
 * ```
 */
export async function pushImage(
  repository: Repository,
  name: string,
  destination: ImageDestination,
  options: PushOptions = {},
): Promise<PushedImage> {
  const { onEvent = () => {}, signal = new AbortController().signal } = options
  const image = openImage(repository, name)
  const { manifest, manifestBytes, manifestDigest } = image
  const layers = layersToPush(repository, image, options)
  const tars = layers.map(({ diffId, tarSize }, i) => ({ ...manifest.layers[i]!, digest: diffId, size: tarSize }))
  onEvent({ type: 'manifest', digest: manifestDigest, layers: tars })
  const config = { digest: manifest.config.digest, size: image.configBytes.length }
  const likely = (await destination.find(config, 'the config', signal)) !== undefined
  const pushed = await pushLayers(repository, destination, layers, { ...options, likely })
  if (!likely) await putBytes(destination, config, image.configBytes, signal)
  const changed = pushed.map((blob, i) => (isSame(blob, manifest.layers[i]!) ? undefined : blob))
  const described = pushedManifest(manifestBytes, changed, destination.ociOnly)
  signal.throwIfAborted()
  await destination.publish(described, platformOf(image), signal)
  const original = described.digest === manifestDigest
  const kind = image.config === undefined ? ('artifact' as const) : ('image' as const)
  const result = { kind, manifestDigest: described.digest, configDigest: config.digest, original, layers: pushed }
  onEvent({ type: 'pushed', image: result })
  return result
}

function layersToPush(
  repository: Repository,
  { manifest, config, layers }: OpenedImage,
  { compression: wanted }: PushOptions,
): LayerToPush[] {
  return manifest.layers.map((descriptor, i) => {
    // An artifact consists of blobs that nobody may change.
    const diffId = config?.config.diffIds[i] ?? descriptor.digest
    const id = layers[i]!
    const { streamSize: tarSize } = streamInfo(repository, id, layersOf({ config }))
    const keep = config === undefined || (wanted === undefined && descriptor.digest === diffId)
    const compression = keep ? 'none' : (wanted ?? 'gzip')
    // What the destination calls a layer of this image may be any blob: only the image's own manifest is believed.
    const { digest, size } = descriptor
    const original = { digest, size, compression: compressionOf(descriptor.mediaType) }
    const fits = wanted === undefined || keep || original.compression === compression
    const place = { number: i + 1, count: manifest.layers.length }
    return { ...place, diffId, id, tarSize, compression, original: fits ? original : undefined }
  })
}

async function putBytes(destination: ImageDestination, known: BlobDescriptor, bytes: Buffer, signal: AbortSignal) {
  await destination.put({ known, open: () => Readable.from([bytes]) }, 'the config', signal)
}

function isSame(a: BlobDescriptor, b: BlobDescriptor): boolean {
  return a.digest === b.digest && a.size === b.size
}

function platformOf({ config }: OpenedImage): Platform | undefined {
  const { os, architecture } = config?.config ?? {}
  return os === undefined || architecture === undefined ? undefined : { os, architecture }
}
