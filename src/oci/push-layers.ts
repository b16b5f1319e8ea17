/**
 * The layers of one push: put together again, compressed, and sent, several at a time.
 *
 * @packageDocumentation
 */
import { PassThrough, pipeline, type Readable } from 'node:stream'
import { ComposefsError } from '../errors.ts'
import type { ObjectId } from '../fsverity/object-id.ts'
import type { Repository } from '../repository/repository.ts'
import { createCompressor } from '../streams/compressor.ts'
import { DigestVerifier } from '../streams/digest-verifier.ts'
import { catStream } from './cat.ts'
import { type ArrivedBlob, type BlobArrival, type ImageDestination, measure } from './destination.ts'
import { inParallel } from './parallel.ts'
import type { PushCompression } from './push-manifest.ts'
import type { BlobDescriptor } from './source.ts'

/** A layer of the image that is pushed. */
export interface LayerToPush {
  /** From 1 on. */
  readonly number: number
  /** Layers of the image. */
  readonly count: number
  /** Digest of the tar; of an artifact's layer, of the blob. */
  readonly diffId: string
  /** The splitstream that represents it. */
  readonly id: ObjectId
  /** Bytes of the tar. */
  readonly tarSize: number
  /** How it is packed if it has to be sent. */
  readonly compression: PushCompression
  /** The blob that would do if it were there. */
  readonly original: (BlobDescriptor & { readonly compression: PushCompression }) | undefined
}

/** What happens to a layer. Numbers count from 1, sizes are those of the tar. */
export type PushLayerEvent =
  | { readonly type: 'layer-start'; readonly number: number; readonly digest: string; readonly size: number }
  | {
      readonly type: 'layer-progress'
      readonly number: number
      /** Bytes of the tar that were put together so far. */
      readonly bytes: number
      readonly size: number
    }
  | {
      readonly type: 'layer'
      readonly number: number
      /** Digest of the tar. */
      readonly digest: string
      readonly size: number
      readonly how: BlobArrival
      /** Its blob. */
      readonly blob: BlobDescriptor
    }

/** A blob at its destination that stands for a layer. */
export type LayerBlob = ArrivedBlob & { readonly compression: PushCompression }

/** What {@link pushLayers} needs to know. */
export interface PushLayersOptions {
  /** Whether the layers are likely to be there, so that it is worth a look before they are sent. */
  readonly likely?: boolean
  readonly parallel?: number
  readonly onEvent?: (event: PushLayerEvent) => void
  readonly signal?: AbortSignal
}

const defaultParallel = 4
/** Milliseconds between two reports on one layer. */
const progressInterval = 100

/** Brings every layer to the destination. @returns the blob of each, in their order */
export async function pushLayers(
  repository: Repository,
  destination: ImageDestination,
  layers: readonly LayerToPush[],
  options: PushLayersOptions,
): Promise<LayerBlob[]> {
  const { parallel = defaultParallel, onEvent = () => {}, signal: outer } = options
  const blobs = new Map<string, LayerBlob>()
  const distinct = layers.filter(({ diffId }, i) => layers.findIndex((other) => other.diffId === diffId) === i)
  await inParallel(distinct, parallel, outer, async (layer, signal) => {
    const { number, count, diffId: digest, tarSize: size } = layer
    onEvent({ type: 'layer-start', number, digest, size })
    try {
      const blob = await pushLayer(repository, destination, layer, { ...options, onEvent, signal })
      blobs.set(digest, blob)
      onEvent({ type: 'layer', number, digest, size, how: blob.how, blob: { digest: blob.digest, size: blob.size } })
    } catch (error) {
      throw inLayer(error, `layer ${number} of ${count} (${digest})`)
    }
  })
  return layers.map(({ diffId }) => blobs.get(diffId)!)
}

async function pushLayer(
  repository: Repository,
  destination: ImageDestination,
  layer: LayerToPush,
  { likely = false, onEvent, signal }: PushLayersOptions & Required<Pick<PushLayersOptions, 'onEvent' | 'signal'>>,
): Promise<LayerBlob> {
  const { number, count, diffId, tarSize, compression, original } = layer
  const what = `layer ${number} of ${count}`
  if (original !== undefined) {
    const how = await destination.find(original, what, signal)
    if (how !== undefined) return { ...original, how }
  }
  const open = (): Readable => layerBlob(repository, layer, onEvent, signal)
  let known = compression === 'none' ? { digest: diffId, size: tarSize } : undefined
  if (likely) {
    known ??= await measure({ open }, signal)
    const how = await destination.find(known, what, signal)
    if (how !== undefined) return { ...known, compression, how }
  }
  return { ...(await destination.put({ known, open }, what, signal)), compression }
}

/** The bytes of the blob. They end only if the tar had its diffID. */
function layerBlob(
  repository: Repository,
  { number, id, diffId, tarSize: size, compression }: LayerToPush,
  onEvent: (event: PushLayerEvent) => void,
  signal: AbortSignal,
): Readable {
  const source = catStream(repository, id)
  const verifier = new DigestVerifier({ digest: diffId, size, name: 'the layer in the repository' })
  let reported = performance.now()
  verifier.on('data', () => {
    const now = performance.now()
    if (now - reported < progressInterval) return
    reported = now
    onEvent({ type: 'layer-progress', number, bytes: verifier.size, size })
  })
  const packed = compression === 'none' ? new PassThrough() : createCompressor(compression)
  const stop = (): void => void packed.destroy(signal.reason as Error)
  signal.addEventListener('abort', stop, { once: true })
  // A failure destroys what is read here, with that failure.
  pipeline(source, verifier, packed, () => signal.removeEventListener('abort', stop))
  return packed
}

/** The destination names the layer itself; the stages do not know it. */
function inLayer(error: unknown, layer: string): unknown {
  if (!(error instanceof ComposefsError) || error.message.startsWith('layer ')) return error
  return error.within(layer)
}
