/**
 * Images in everything that skopeo understands, without temporary files.
 *
 * @packageDocumentation
 */
import { Readable } from 'node:stream'
import { ComposefsError } from '../errors.ts'
import { JsonReader } from './json.ts'
import { type Descriptor, mediaTypes, type Platform } from './manifest.ts'
import { sha256 } from './names.ts'
import { type ProxyPipe, SkopeoProxy } from './skopeo-proxy.ts'
import type { BlobDescriptor, ImageSource, SourceManifest } from './source.ts'

/** Largest manifest or config, in bytes. */
const maxJson = 8 * 1024 * 1024

/**
 * An image by way of `skopeo experimental-image-proxy`: `containers-storage:`, `docker-daemon:` and so on. skopeo gives
 * manifests of OCI; one of Docker it converts, and its config as well.
 *
 * @example
 * ```ts
 * import { pullImage, SkopeoSource } from 'composefs-streams/oci'
 * import type { Repository } from 'composefs-streams/repository'
 *
 * const pull = async (repository: Repository) => {
 *   const source = await SkopeoSource.open('containers-storage:localhost/os:latest')
 *   await pullImage(repository, source, { name: 'os' }).finally(() => source.close())
 * }
 * ```
 */
export class SkopeoSource implements ImageSource {
  readonly name: string
  readonly #proxy: SkopeoProxy
  readonly #image: unknown

  private constructor(name: string, proxy: SkopeoProxy, image: unknown) {
    this.name = name
    this.#proxy = proxy
    this.#image = image
  }

  /**
   * Starts skopeo and has it open the image.
   *
   * @param platform which image of several
   * @throws {@link ComposefsError} `ERR_NATIVE_MISSING` without koffi; `ERR_OCI_TRANSPORT` where skopeo is missing or
   * refuses, with what it says
   */
  static async open(name: string, platform?: Platform): Promise<SkopeoSource> {
    const { os, architecture, variant } = platform ?? {}
    const proxy = await SkopeoProxy.start(
      [
        ...(os === undefined ? [] : ['--override-os', os]),
        ...(architecture === undefined ? [] : ['--override-arch', architecture]),
        ...(variant === undefined ? [] : ['--override-variant', variant]),
      ],
      name,
    )
    try {
      return new SkopeoSource(name, proxy, await proxy.call('OpenImage', name))
    } catch (error) {
      await proxy.close()
      throw error
    }
  }

  async manifest(): Promise<SourceManifest> {
    const bytes = await this.#proxy.read(maxJson, 'GetManifest', this.#image)
    return { bytes, mediaType: mediaTypes.manifest, digest: sha256(bytes) }
  }

  async layers(): Promise<readonly Descriptor[] | undefined> {
    let infos: unknown
    try {
      infos = await this.#proxy.call('GetLayerInfo', this.#image)
    } catch (error) {
      // Older versions do not know this request; what they cannot give, they say when it is asked for.
      if (error instanceof ComposefsError && error.code === 'ERR_OCI_TRANSPORT') return undefined
      throw error
    }
    const json = new JsonReader('answer of skopeo')
    return json.array(infos, 'value').map((item, i) => {
      const info = json.object(item, `value[${i}]`)
      return {
        mediaType: json.string(info['media_type'], `value[${i}].media_type`),
        digest: json.digest(info['digest'], `value[${i}].digest`),
        size: json.size(info['size'], `value[${i}].size`),
        platform: undefined,
        annotations: {},
      }
    })
  }

  async readBlob({ digest, size }: BlobDescriptor, what = 'the blob'): Promise<Buffer> {
    // A converted config is nowhere but here; one that was not converted would be written anew.
    const converted = await this.#proxy.read(maxJson, 'GetFullConfig', this.#image)
    if (sha256(converted) === digest) return converted
    const bytes = await this.#proxy.read(maxJson, 'GetBlob', this.#image, digest, size)
    const actual = sha256(bytes)
    if (actual === digest) return bytes
    throw new ComposefsError('ERR_DIGEST_MISMATCH', `${what} of ${this.name} does not have its digest`, {
      expected: digest,
      actual,
    })
  }

  blob({ digest, size }: BlobDescriptor): Readable & { readonly bytesRead: number } {
    return new ProxyBlob(() => this.#proxy.open('GetBlob', this.#image, digest, size))
  }

  async close(): Promise<void> {
    await this.#proxy.close()
  }
}

/** A blob from a pipe. It ends only if skopeo says that all went well. */
class ProxyBlob extends Readable {
  bytesRead = 0
  readonly #open: () => Promise<ProxyPipe>
  #pipe: Promise<ProxyPipe> | undefined

  constructor(open: () => Promise<ProxyPipe>) {
    super({ highWaterMark: 256 * 1024 })
    this.#open = open
  }

  override _read(): void {
    if (this.#pipe === undefined) {
      this.#pipe = this.#open()
      this.#pipe.then(
        (pipe) => this.#begin(pipe),
        (error: Error) => this.destroy(error),
      )
    } else {
      this.#pipe.then(
        ({ stream }) => stream.resume(),
        () => {},
      )
    }
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#pipe?.then(
      ({ stream }) => stream.destroy(),
      () => {},
    )
    callback(error)
  }

  #begin({ stream, finished }: ProxyPipe): void {
    if (this.destroyed) return
    stream.on('data', (chunk: Buffer) => {
      this.bytesRead += chunk.length
      if (!this.push(chunk)) stream.pause()
    })
    stream.once('error', (error) => this.destroy(error))
    stream.once('end', () =>
      finished.then(
        () => this.push(null),
        (error: Error) => this.destroy(error),
      ),
    )
  }
}
