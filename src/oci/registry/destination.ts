/**
 * A repository of a registry as the place to push to.
 *
 * @packageDocumentation
 */
import { ComposefsError } from '../../errors.ts'
import type { ArrivedBlob, BlobMaker, ImageDestination } from '../destination.ts'
import { manifestTypes, mediaTypes } from '../manifest.ts'
import { sha256 } from '../names.ts'
import type { BlobDescriptor, SourceManifest } from '../source.ts'
import { discard, readBounded } from './body.ts'
import type { Answer, Endpoint, EndpointRequest } from './endpoint.ts'
import { failure, printable, type Subject } from './failures.ts'
import { placesOf } from './places.ts'
import { type Reference, referenceText } from './reference.ts'
import { addReferrer, referrersTag, subjectOf } from './referrers-tag.ts'
import { readRegistriesConfig } from './registries-conf.ts'
import { openPlace, type RegistryOptions } from './registry.ts'
import { uploadBlob } from './upload.ts'

/** How to push to a registry. */
export interface RegistryPushOptions extends RegistryOptions {
  /** Other repositories of this registry that may have the blobs: what they have is not sent. */
  readonly mountFrom?: readonly string[]
  /** Bytes of a blob that are sent, and kept in memory for another try, at once. Default 8 MiB. */
  readonly chunkSize?: number
}

const defaultChunkSize = 8 * 1024 * 1024
/** Answers of those whom one may not ask by HEAD: what is not seen is sent. */
const unreadable: readonly number[] = [400, 403, 404, 405, 406, 501]
const defaultMaxManifest = 4 * 1024 * 1024

/**
 * One image in a registry that is to be. Blobs that are there are not sent, large ones go in chunks, and a cut upload goes
 * on where it was.
 *
 * @example
 * ```ts
 * import { parseReference, pushImage, RegistryDestination } from 'composefs-streams/oci'
 * import type { Repository } from 'composefs-streams/repository'
 *
 * const push = async (repository: Repository) => {
 *   const destination = await RegistryDestination.open(parseReference('quay.io/team/os:latest'), { creds: 'me:secret' })
 *   await pushImage(repository, 'os', destination)
 *   await destination.close()
 * }
 * ```
 */
export class RegistryDestination implements ImageDestination {
  readonly ociOnly = false
  readonly reference: Reference
  readonly #endpoint: Endpoint
  readonly #options: RegistryPushOptions

  private constructor(reference: Reference, endpoint: Endpoint, options: RegistryPushOptions) {
    this.reference = reference
    this.#endpoint = endpoint
    this.#options = options
  }

  /**
   * Looks for credentials; nothing is sent yet. Mirrors play no part.
   *
   * @throws {@link ComposefsError} `ERR_REGISTRY_CONFIG`, `ERR_REGISTRY_BLOCKED`, `ERR_REGISTRY_CREDENTIALS`,
   * `ERR_ARGUMENT`
   */
  static async open(reference: Reference, options: RegistryPushOptions = {}): Promise<RegistryDestination> {
    const place = placesOf(reference, options.registriesConfig ?? readRegistriesConfig()).at(-1)!
    const { chunkSize = defaultChunkSize, mountFrom = [] } = options
    if (!(Number.isSafeInteger(chunkSize) && chunkSize > 0)) {
      throw new ComposefsError('ERR_ARGUMENT', `not a size of chunks: ${chunkSize}`)
    }
    const scopes = [
      `repository:${place.repository}:pull,push`,
      ...mountFrom.map((repository) => `repository:${repository}:pull`),
    ]
    const endpoint = await openPlace(place, false, { ...options, scopes })
    return new RegistryDestination(reference, endpoint, options)
  }

  /** `quay.io/team/os:latest` */
  get name(): string {
    return referenceText(this.reference)
  }

  async #manifest(name: string, subject: Subject, signal: AbortSignal): Promise<SourceManifest | undefined> {
    const headers = { accept: manifestTypes.join(', ') }
    const request = { headers, allow: [404], signal, subject }
    const { maxManifest = defaultMaxManifest } = this.#options
    return this.#retry(signal, async () => {
      const { response, url } = await this.#request(`manifests/${name}`, request)
      const { patience } = this.#endpoint.transport
      const bytes = await readBounded(response, maxManifest, patience, subject, url.host, signal)
      const mediaType = String(response.headers['content-type'])
      if (response.statusCode >= 400) return undefined
      return { bytes, mediaType, digest: sha256(bytes) }
    })
  }

  async find(blob: BlobDescriptor, what: string, signal: AbortSignal): Promise<'present' | 'mounted' | undefined> {
    const subject = this.#subject(what, blob.digest)
    if (await this.#has(blob.digest, subject, signal)) return 'present'
    for (const from of this.#options.mountFrom ?? []) {
      if (await this.#mount(blob.digest, from, subject, signal)) return 'mounted'
    }
    return undefined
  }

  async put(blob: BlobMaker, what: string, signal: AbortSignal): Promise<ArrivedBlob> {
    const subject = this.#subject(what, blob.known?.digest)
    const { chunkSize = defaultChunkSize } = this.#options
    const has = (digest: string): Promise<boolean> => this.#has(digest, subject, signal)
    return uploadBlob(this.#endpoint, blob, { chunkSize, subject, signal, has })
  }

  async publish(manifest: SourceManifest, _platform: unknown, signal: AbortSignal): Promise<void> {
    const { digest } = manifest
    const subject = this.#subject('the manifest', digest)
    const { digest: wanted, tag = 'latest' } = this.reference
    if (wanted !== undefined && wanted !== digest) {
      throw failure('ERR_DIGEST_MISMATCH', subject, 'it is not the one that the reference names', {
        expected: wanted,
        actual: digest,
        hint: 'push to a tag, or keep the original layers',
      })
    }
    const { headers } = await this.#putManifest(wanted ?? tag, manifest, subject, signal)
    const stored = headers['docker-content-digest']
    if (typeof stored === 'string' && stored.startsWith('sha256:') && stored !== digest) {
      throw failure('ERR_DIGEST_MISMATCH', subject, 'the registry stored something else', {
        expected: digest,
        actual: printable(stored),
      })
    }
    const referred = subjectOf(manifest)
    // A registry that lists referrers by itself says so.
    if (referred !== undefined && headers['oci-subject'] === undefined) await this.#list(manifest, referred, signal)
  }

  async #list(manifest: SourceManifest, referred: string, signal: AbortSignal): Promise<void> {
    const tag = referrersTag(referred)
    const subject = this.#subject('the list of referrers', referred)
    const before = await this.#manifest(tag, subject, signal)
    const bytes = addReferrer(before?.bytes, manifest)
    if (bytes === undefined) return
    await this.#putManifest(tag, { bytes, mediaType: mediaTypes.index, digest: sha256(bytes) }, subject, signal)
  }

  async #putManifest(name: string, manifest: SourceManifest, subject: Subject, signal: AbortSignal) {
    const { bytes: body, mediaType } = manifest
    const headers = { 'content-type': mediaType, 'content-length': `${body.length}` }
    const answer = await this.#retry(signal, () =>
      this.#request(`manifests/${name}`, { method: 'PUT', headers, body, signal, subject }),
    )
    discard(answer.response)
    return answer.response
  }

  async close(): Promise<void> {
    await this.#endpoint.close()
  }

  async #has(digest: string, subject: Subject, signal: AbortSignal): Promise<boolean> {
    const answer = await this.#retry(signal, () =>
      this.#request(`blobs/${digest}`, { method: 'HEAD', allow: unreadable, signal, subject }),
    )
    discard(answer.response)
    return answer.response.statusCode < 300
  }

  /** Has the registry take a blob over from another of its repositories. */
  async #mount(digest: string, from: string, subject: Subject, signal: AbortSignal): Promise<boolean> {
    const path = `blobs/uploads/?mount=${encodeURIComponent(digest)}&from=${encodeURIComponent(from)}`
    // Who may not read there gets a refusal, or an upload like everybody else, which is left to the registry to remove.
    const request = {
      method: 'POST',
      headers: { 'content-length': '0' },
      allow: [400, 403, 404, 405, 501],
      signal,
      subject,
    } as const
    const answer = await this.#retry(signal, () => this.#request(path, request))
    discard(answer.response)
    return answer.response.statusCode === 201
  }

  async #request(path: string, request: EndpointRequest): Promise<Answer> {
    return this.#endpoint.send(await this.#endpoint.url(path, request.signal, request.subject), request)
  }

  #retry<T>(signal: AbortSignal, attempt: () => Promise<T>): Promise<T> {
    return this.#endpoint.retrier(signal).run(attempt)
  }

  #subject(what: string, digest?: string): Subject {
    return { what, reference: this.name, digest }
  }
}
