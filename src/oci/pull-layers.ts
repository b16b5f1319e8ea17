/**
 * The layers of one pull, several at a time.
 *
 * @packageDocumentation
 */
import type { Readable } from 'node:stream'
import { ComposefsError } from '../errors.ts'
import type { ObjectId } from '../fsverity/object-id.ts'
import type { Repository } from '../repository/repository.ts'
import { findBlob, importBlob } from './artifact.ts'
import { findLayer, importLayer, type LayerOptions, type StoredLayer } from './layer.ts'
import { type Descriptor, layerCompression } from './manifest.ts'
import { layerStream } from './names.ts'
import { inParallel } from './parallel.ts'
import type { ImageSource } from './source.ts'
import { linkedStream } from './verify-stream.ts'

/** A layer that an image consists of. */
export interface WantedLayer {
  /** From 1 on. */
  readonly number: number
  /** Layers of the image. */
  readonly count: number
  readonly descriptor: Descriptor
  /** Digest of the tar; of an artifact's layer, of the blob. */
  readonly diffId: string
  /** Whether it is a layer of files, or a blob that is kept as it is. */
  readonly isTar: boolean
}

/** What happens to a layer. Numbers count from 1. */
export type LayerEvent =
  | { readonly type: 'layer-start'; readonly number: number; readonly digest: string; readonly size: number }
  | {
      readonly type: 'layer-progress'
      readonly number: number
      /** Bytes of the blob that came so far. */
      readonly bytes: number
      readonly size: number
    }
  | {
      readonly type: 'layer'
      readonly number: number
      readonly digest: string
      readonly size: number
      /** The repository had it, or another layer of this image is the same: nothing was fetched. */
      readonly cached: boolean
      readonly diffId: string
      readonly layer: StoredLayer | undefined
    }
  /** All layers are stored, and nothing of them is held any more; images are made next. */
  | { readonly type: 'layers'; readonly fetched: boolean }

/** What a {@link LayerPuller} needs to know. */
export interface LayerPullOptions extends Pick<LayerOptions, 'decompressor' | 'tar'> {
  readonly parallel?: number
  readonly onEvent?: (event: LayerEvent) => void
  readonly signal?: AbortSignal
}

/** What a {@link LayerPuller} takes of a source. */
export type BlobSource = Pick<ImageSource, 'name' | 'blob'>

/** Whether a layer comes as it is stored. Media types err; only a blob that is its own tar is surely no other. */
export function isPlain({ descriptor, diffId, isTar }: WantedLayer): boolean {
  return !isTar || (descriptor.digest === diffId && layerCompression(descriptor.mediaType) === 'none')
}

const defaultParallel = 4
/** Milliseconds between two looks at how far the layers are. */
const progressInterval = 100

/**
 * Fetches the layers of an image. Those that are complete are linked while the others still come, so that whatever ends
 * the pull, the next one finds them.
 */
export class LayerPuller {
  readonly #repository: Repository
  readonly #source: BlobSource
  readonly #options: LayerPullOptions
  readonly #onEvent: (event: LayerEvent) => void
  readonly #stored = new Map<string, ObjectId>()
  readonly #active = new Map<WantedLayer, { readonly bytesRead: number }>()
  readonly #unlinked = new Map<string, ObjectId>()
  #linking: Promise<void> | undefined
  #left = 0
  #fetched = false

  constructor(repository: Repository, source: BlobSource, options: LayerPullOptions) {
    this.#repository = repository
    this.#source = source
    this.#options = options
    this.#onEvent = options.onEvent ?? (() => {})
  }

  /**
   * Stores those that the repository does not have, or not as their digests say: whatever it has is put together and
   * hashed. The first failure ends all; what is complete is linked then.
   *
   * @returns the splitstream of each layer by its diffID
   */
  async pull(layers: readonly WantedLayer[]): Promise<ReadonlyMap<string, ObjectId>> {
    const wanted = new Map<string, WantedLayer>()
    for (const layer of layers) {
      if (wanted.has(layer.diffId)) this.#done(layer)
      else wanted.set(layer.diffId, layer)
    }
    this.#left = wanted.size
    const timer = setInterval(() => this.#report(), progressInterval).unref()
    try {
      await this.#getAll([...wanted.values()])
    } catch (error) {
      this.#link()
      throw error
    } finally {
      clearInterval(timer)
      await this.#linking
    }
    this.#onEvent({ type: 'layers', fetched: this.#fetched })
    return this.#stored
  }

  /** Links what is complete, unless that is under way: then it goes on with it. */
  #link(): void {
    // That it failed would only hide why the pull does; where the pull does not, publishing meets the same failure.
    this.#linking ??= this.#linkAll()
      .catch(() => {})
      .finally(() => {
        this.#linking = undefined
      })
  }

  async #linkAll(): Promise<void> {
    // Bringing it to disk may take long, and whoever interrupts does not want to wait.
    while (this.#unlinked.size > 0 && this.#options.signal?.aborted !== true) {
      const layers = [...this.#unlinked]
      this.#unlinked.clear()
      await this.#repository.transaction((transaction) => {
        for (const [diffId, id] of layers) transaction.linkStream(layerStream(diffId), id)
      })
    }
  }

  /** Those that are linked come last: hashing them need not keep the network waiting. */
  #getAll(layers: readonly WantedLayer[]): Promise<void> {
    const { parallel = defaultParallel, signal } = this.#options
    const isLinked = ({ diffId }: WantedLayer) => linkedStream(this.#repository, layerStream(diffId)) !== undefined
    const linked = new Set(layers.filter(isLinked))
    const missing = layers.filter((layer) => !linked.has(layer))
    return inParallel([...missing, ...linked], parallel, signal, async (layer, signal) => {
      const id = linked.has(layer) ? await this.#find(layer, signal) : undefined
      if (id === undefined) return this.#fetch(layer, signal)
      this.#stored.set(layer.diffId, id)
      this.#left--
      this.#done(layer)
    })
  }

  #find({ diffId, descriptor, isTar }: WantedLayer, signal: AbortSignal): Promise<ObjectId | undefined> {
    return isTar ? findLayer(this.#repository, diffId, signal) : findBlob(this.#repository, descriptor, signal)
  }

  async #fetch(wanted: WantedLayer, signal: AbortSignal): Promise<void> {
    const { number, count, descriptor, diffId } = wanted
    const { digest, size } = descriptor
    this.#fetched = true
    this.#onEvent({ type: 'layer-start', number, digest, size })
    const blob = this.#source.blob(descriptor, `layer ${number} of ${count}`)
    this.#active.set(wanted, blob)
    try {
      const layer = await this.#store(wanted, blob, signal)
      this.#stored.set(diffId, layer.id)
      this.#unlinked.set(diffId, layer.id)
      this.#done(wanted, layer)
      // After the last one everything is linked at once.
      if (--this.#left > 0) this.#link()
    } catch (error) {
      throw inLayer(error, wanted, this.#source.name)
    } finally {
      this.#active.delete(wanted)
    }
  }

  #store(layer: WantedLayer, blob: Readable, signal: AbortSignal): Promise<StoredLayer> {
    const { descriptor, diffId, isTar } = layer
    const { digest, size } = descriptor
    if (!isTar) return importBlob(this.#repository, blob, descriptor, signal)
    const { decompressor, tar } = this.#options
    const compression = isPlain(layer) ? 'none' : undefined
    return importLayer(this.#repository, blob, { digest, size, diffId, compression, decompressor, tar, signal })
  }

  #done({ number, descriptor: { digest, size }, diffId }: WantedLayer, layer?: StoredLayer): void {
    this.#onEvent({ type: 'layer', number, digest, size, cached: layer === undefined, diffId, layer })
  }

  #report(): void {
    for (const [{ number, descriptor }, { bytesRead }] of this.#active) {
      this.#onEvent({ type: 'layer-progress', number, bytes: bytesRead, size: descriptor.size })
    }
  }
}

/** The source names the layer itself; the stages do not know it. */
function inLayer(error: unknown, { number, count, descriptor }: WantedLayer, name: string): unknown {
  if (!(error instanceof ComposefsError) || error.message.startsWith('layer ')) return error
  return error.within(`layer ${number} of ${count} (${descriptor.digest}) of ${name}`)
}
