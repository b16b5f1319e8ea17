/**
 * An image of one repository as a source for another.
 *
 * @packageDocumentation
 */
import { Readable } from 'node:stream'
import { ComposefsError } from '../errors.ts'
import type { Repository } from '../repository/repository.ts'
import { contentTypes } from '../streams/splitstream-format.ts'
import { parseSplitstream } from '../streams/splitstream-reader.ts'
import { catStream } from './cat.ts'
import { type OpenedConfig, type OpenedImage, openImage } from './image.ts'
import { type Descriptor, mediaTypes } from './manifest.ts'
import type { PublishedImage } from './publish.ts'
import { type PullOptions, pullImage } from './pull.ts'
import type { BlobDescriptor, ImageSource, SourceManifest } from './source.ts'

/** Options of {@link copyImage}. */
export type CopyOptions = Omit<PullOptions, 'platform' | 'decompressor'>

/**
 * Copies an image from one repository to another, which may use another hash: layers are put together again, compared
 * with their diffIDs, and stored anew. Layers that are there are not read.
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

class RepositorySource implements ImageSource {
  readonly name: string
  readonly #repository: Repository
  readonly #image: OpenedImage
  readonly #config: OpenedConfig

  constructor(repository: Repository, name: string) {
    this.name = name
    this.#repository = repository
    this.#image = openImage(repository, name)
    const { config } = this.#image
    if (config === undefined) {
      throw new ComposefsError('ERR_OCI_MEDIA_TYPE', `${name} is an artifact, not a container image`)
    }
    this.#config = config
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
    const { algorithm } = this.#repository
    const wanted = { algorithm, contentType: contentTypes.layer }
    return this.#config.layers.map((id, i) => ({
      mediaType: mediaTypes.layer,
      digest: this.#config.config.diffIds[i]!,
      size: parseSplitstream(this.#repository.readObject(id), wanted).streamSize,
      platform: undefined,
      annotations: {},
    }))
  }

  blob({ digest }: BlobDescriptor): Readable & { readonly bytesRead: number } {
    const id = this.#config.layers[this.#config.config.diffIds.indexOf(digest)]!
    return counted(catStream(this.#repository, id, { contentType: contentTypes.layer }))
  }

  async close(): Promise<void> {}
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
