/**
 * An image of one repository as a source for another.
 *
 * @packageDocumentation
 */
import { Readable } from 'node:stream'
import type { Repository } from '../repository/repository.ts'
import type { PublishedArtifact } from './artifact.ts'
import { catStream } from './cat.ts'
import { type OpenedImage, openImage } from './image.ts'
import { layersOf, streamInfo } from './layer.ts'
import { type Descriptor, mediaTypes } from './manifest.ts'
import type { PublishedImage } from './publish.ts'
import { type PullOptions, pullAny, pullImage } from './pull.ts'
import type { BlobDescriptor, ImageSource, SourceManifest } from './source.ts'

/** Options of {@link copyImage}. */
export type CopyOptions = Omit<PullOptions, 'platform' | 'decompressor'>

/**
 * Copies an image from one repository to another, which may use another hash: layers are put together
 * again, compared with their diffIDs, and stored anew. Layers that are there are not read.
 *
 * @param image a tag, or `@` and the digest of a manifest
 * @throws {@link ComposefsError} what {@link openImage} and {@link pullImage} throw; `ERR_OCI_MEDIA_TYPE` for an artifact
 * @example
 * ```ts
 * import { copyImage } from 'composefs-streams/oci'
 * import { Repository } from 'composefs-streams/repository'
 *
 * const from = await Repository.open('./repo')
 * const to = await Repository.init('./other', { algorithm: 'sha256', insecure: 'auto' })
 * const { imageId } = await copyImage(from, 'fedora', to, { name: 'fedora' })
 * console.log(imageId.hex)
 * ```
 */
export async function copyImage(
  from: Repository,
  image: string,
  to: Repository,
  options: CopyOptions = {},
): Promise<PublishedImage> {
  return pullImage(to, new RepositorySource(from, image), options)
}

/** The same for an image or an artifact, whose blobs are copied as they are. Throws as {@link copyImage} does. */
export async function copyAny(
  from: Repository,
  name: string,
  to: Repository,
  options: CopyOptions = {},
): Promise<PublishedImage | PublishedArtifact> {
  return pullAny(to, new RepositorySource(from, name), options)
}

class RepositorySource implements ImageSource {
  readonly name: string
  readonly #repository: Repository
  readonly #image: OpenedImage

  constructor(repository: Repository, name: string) {
    this.name = name
    this.#repository = repository
    this.#image = openImage(repository, name)
  }

  async manifest(): Promise<SourceManifest> {
    const { manifestBytes, manifestDigest } = this.#image
    return { bytes: manifestBytes, mediaType: mediaTypes.manifest, digest: manifestDigest }
  }

  async readBlob(): Promise<Buffer> {
    return this.#image.configBytes
  }

  /** The tars: the blobs that they came in are not kept. */
  async layers(): Promise<Descriptor[]> {
    return this.#image.layers.map((id, i) => ({
      mediaType: mediaTypes.layer,
      digest: this.#digests[i]!,
      size: streamInfo(this.#repository, id, layersOf(this.#image)).streamSize,
      platform: undefined,
      annotations: {},
    }))
  }

  blob({ digest }: BlobDescriptor): Readable & { readonly bytesRead: number } {
    const id = this.#image.layers[this.#digests.indexOf(digest)]!
    return counted(catStream(this.#repository, id))
  }

  async close(): Promise<void> {}

  /** Of the tars; an artifact's blobs are what its manifest names. */
  get #digests(): readonly string[] {
    const { config, manifest } = this.#image
    return config?.config.diffIds ?? manifest.layers.map(({ digest }) => digest)
  }
}

function counted(source: Readable): Readable & { readonly bytesRead: number } {
  let bytesRead = 0
  async function* count(): AsyncGenerator<Buffer, void, undefined> {
    for await (const chunk of source as AsyncIterable<Buffer>) {
      bytesRead += chunk.length
      yield chunk
    }
  }
  const stream = Readable.from(count(), { objectMode: false, highWaterMark: source.readableHighWaterMark })
  return Object.defineProperty(stream, 'bytesRead', { get: () => bytesRead }) as Readable & { bytesRead: number }
}
