/**
 * A repository of a registry, as the OCI distribution specification has it: manifests, blobs, tags, referrers.
 *
 * @packageDocumentation
 */
import { ComposefsError } from '../../errors.ts'
import { type JsonObject, JsonReader } from '../json.ts'
import { type Descriptor, documentType, manifestTypes, parseIndex } from '../manifest.ts'
import { sha256 } from '../names.ts'
import type { BlobDescriptor, ImageSource, SourceManifest } from '../source.ts'
import { BlobStream } from './blob-stream.ts'
import { discard, readBounded } from './body.ts'
import { type CredentialOptions, lookUpCredentials } from './credentials.ts'
import { type Answer, Endpoint, type EndpointRequest } from './endpoint.ts'
import { failure, printable, type Subject, withHint } from './failures.ts'
import { type Place, placesOf } from './places.ts'
import { type Reference, referenceText, registryHost } from './reference.ts'
import { referrersTag } from './referrers-tag.ts'
import { type RegistriesConfig, readRegistriesConfig } from './registries-conf.ts'
import type { RetryNotice, RetryOptions } from './retry.ts'
import type { TransportOptions } from './transport.ts'

/** How to talk to a registry. */
export interface RegistryOptions extends TransportOptions, RetryOptions, CredentialOptions {
  /** Token servers (`host` or `host:port`) that may have the credentials although they look foreign to the registry. */
  readonly trustedRealms?: readonly string[]
  /** Largest manifest, index or list, in bytes. Default 4 MiB. */
  readonly maxManifest?: number
  /** The `registries.conf` to use. Default: that of the user or system, see {@link readRegistriesConfig}. */
  readonly registriesConfig?: RegistriesConfig
  readonly onRetry?: (notice: RetryNotice) => void
  /** Hears of what does not work and is not needed so far: a credential helper. */
  readonly onWarning?: (warning: ComposefsError) => void
  readonly signal?: AbortSignal
}

const defaultMaxManifest = 4 * 1024 * 1024
/** Pages of a list that are followed. */
const maxPages = 1000
/** Answers to a HEAD of those that have only GET. */
const headless: readonly number[] = [400, 405, 501]
/** What a mirror that is gone fails with. */
const unreachable: ReadonlySet<string> = new Set([
  'ERR_REGISTRY_UNREACHABLE',
  'ERR_REGISTRY_STALLED',
  'ERR_REGISTRY_CERTIFICATE',
  'ERR_REGISTRY_RATE_LIMITED',
])
const schema1 = /^application\/vnd\.docker\.distribution\.manifest\.v1\+/

/** What a place answered. */
interface Found {
  readonly bytes: Buffer
  readonly answer: Answer
  readonly endpoint: Endpoint
  /** For messages. */
  readonly subject: Subject
}

/**
 * Reads one repository of one registry. Everything is bounded, retried and, where its digest is known, compared with it.
 *
 * @example
 * ```ts
 * import { parseReference, RegistryClient } from 'composefs-streams/oci'
 *
 * const client = await RegistryClient.open(parseReference('quay.io/fedora/fedora:latest'))
 * const { digest, mediaType } = await client.manifest()
 * console.log(digest, mediaType, await client.tags())
 * await client.close()
 * ```
 */
export class RegistryClient implements ImageSource {
  readonly reference: Reference
  /** Where to ask, the registry itself last. */
  readonly #endpoints: readonly Endpoint[]
  /** The first that had what was asked for. */
  #chosen = 0
  #answered = false
  readonly #limit: number
  readonly #signal: AbortSignal

  private constructor(reference: Reference, endpoints: readonly Endpoint[], options: RegistryOptions) {
    this.reference = reference
    this.#endpoints = endpoints
    this.#limit = options.maxManifest ?? defaultMaxManifest
    this.#signal = options.signal ?? new AbortController().signal
  }

  /**
   * Looks for mirrors and credentials; nothing is sent yet.
   *
   * @throws {@link ComposefsError} `ERR_REGISTRY_CONFIG`, `ERR_REGISTRY_BLOCKED`, `ERR_REGISTRY_CREDENTIALS`,
   * `ERR_ARGUMENT`
   */
  static async open(reference: Reference, options: RegistryOptions = {}): Promise<RegistryClient> {
    const places = placesOf(reference, options.registriesConfig ?? readRegistriesConfig())
    const endpoints: Endpoint[] = []
    for (const [i, place] of places.entries()) endpoints.push(await openPlace(place, i < places.length - 1, options))
    return new RegistryClient(reference, endpoints, options)
  }

  /** `quay.io/fedora/fedora:latest` */
  get name(): string {
    return referenceText(this.reference)
  }

  /**
   * A manifest or index.
   *
   * @param name a tag or digest. Default: that of the reference
   * @param what what to call it in messages
   * @throws {@link ComposefsError} `ERR_REGISTRY_*`, `ERR_DIGEST_MISMATCH`, `ERR_OCI_JSON`, `ERR_OCI_MEDIA_TYPE` for
   * the manifests of schema 1
   */
  async manifest(name: string = this.#wanted, what = 'the manifest'): Promise<SourceManifest> {
    const headers = { accept: manifestTypes.join(', ') }
    return this.#read(`manifests/${name}`, { headers }, this.#subject(what, name), ({ bytes, answer, subject }) => {
      const digest = sha256(bytes)
      const declared = answer.response.headers['docker-content-digest']
      const expected = name.startsWith('sha256:') ? name : declared
      if (typeof expected === 'string' && expected.startsWith('sha256:') && expected !== digest) {
        // Something else than a registry has no manifest with another digest.
        const { mediaType: _ } = parsed(bytes, subject)
        throw failure('ERR_DIGEST_MISMATCH', subject, 'it does not have its digest', {
          expected: printable(expected),
          actual: digest,
          hint: 'it was changed on the way or in the registry; do not use it',
        })
      }
      return { bytes, digest, mediaType: mediaTypeOf(bytes, answer.response.headers['content-type'], subject) }
    })
  }

  /**
   * Whether there is a manifest, and its digest where the registry tells it.
   *
   * @throws {@link ComposefsError} `ERR_REGISTRY_*`, but not `ERR_REGISTRY_NOT_FOUND`
   */
  async head(
    name: string = this.#wanted,
  ): Promise<{ digest: string | undefined; size: number | undefined } | undefined> {
    const headers = { accept: manifestTypes.join(', ') }
    return this.#head(`manifests/${name}`, headers, this.#subject('the manifest', name))
  }

  /** Whether there is a blob. Throws as {@link head} does. */
  async hasBlob(digest: string): Promise<boolean> {
    return (await this.#head(`blobs/${digest}`, {}, this.#subject('the blob', digest))) !== undefined
  }

  /**
   * A blob as a stream, which survives what happens to connections: see {@link BlobStream}. Its digest is not checked.
   *
   * @param what what to call it in messages
   */
  blob(blob: BlobDescriptor, what = 'the blob'): BlobStream {
    const places = this.#answered ? this.#endpoints.slice(this.#chosen) : this.#endpoints.slice(-1)
    return new BlobStream(places, blob, this.#subject(what, blob.digest))
  }

  /**
   * A small blob, checked.
   *
   * @throws {@link ComposefsError} `ERR_REGISTRY_*`, `ERR_DIGEST_MISMATCH`, `ERR_SIZE_MISMATCH`; `ERR_LIMIT` where it is
   * larger than a manifest may be
   */
  async readBlob(blob: BlobDescriptor, what = 'the blob'): Promise<Buffer> {
    const subject = this.#subject(what, blob.digest)
    if (blob.size > this.#limit) {
      throw failure('ERR_LIMIT', subject, `it is larger than the limit of ${this.#limit} bytes`, { actual: blob.size })
    }
    const stream = this.blob(blob, what)
    const stop = (): void => void stream.destroy(this.#signal.reason as Error)
    this.#signal.addEventListener('abort', stop, { once: true })
    const chunks: Buffer[] = []
    try {
      for await (const chunk of stream) chunks.push(chunk as Buffer)
    } finally {
      this.#signal.removeEventListener('abort', stop)
    }
    const bytes = Buffer.concat(chunks)
    const actual = sha256(bytes)
    if (actual === blob.digest) return bytes
    throw failure('ERR_DIGEST_MISMATCH', subject, 'it does not have its digest', { expected: blob.digest, actual })
  }

  /** All tags of the repository. @throws {@link ComposefsError} `ERR_REGISTRY_*`, `ERR_OCI_JSON` */
  async tags(): Promise<string[]> {
    const json = new JsonReader('list of tags')
    const found: string[] = []
    for await (const { bytes } of this.#pages('tags/list?n=1000', this.#subject('the list of tags'))) {
      for (const tag of json.strings(json.object(json.parse(bytes))['tags'] ?? [], 'tags')) found.push(tag)
    }
    return found
  }

  /**
   * The manifests that refer to one, such as signatures: by the referrers API, or by the tag that stands in for it.
   *
   * @throws {@link ComposefsError} `ERR_REGISTRY_*`, `ERR_OCI_JSON`
   */
  async referrers(digest: string): Promise<Descriptor[]> {
    const subject = this.#subject('the list of referrers', digest)
    const found: Descriptor[] = []
    let supported = true
    for await (const { bytes, answer } of this.#pages(`referrers/${digest}`, subject, [404])) {
      supported = answer.response.statusCode !== 404
      if (supported) for (const descriptor of parseIndex(bytes)) found.push(descriptor)
    }
    if (supported) return found
    try {
      return parseIndex((await this.manifest(referrersTag(digest), 'the list of referrers')).bytes)
    } catch (error) {
      if (error instanceof ComposefsError && error.code === 'ERR_REGISTRY_NOT_FOUND') return []
      throw error
    }
  }

  /** Ends all connections. */
  async close(): Promise<void> {
    await Promise.all(this.#endpoints.map((endpoint) => endpoint.close()))
  }

  get #wanted(): string {
    return this.reference.digest ?? this.reference.tag ?? 'latest'
  }

  #subject(what: string, name = ''): Subject {
    const digest = name.startsWith('sha256:') ? name : undefined
    return { what, reference: referenceText(this.reference), digest }
  }

  async #head(path: string, headers: Record<string, string>, subject: Subject) {
    const signal = this.#signal
    const { response } = await this.#ask((endpoint, isLast) =>
      endpoint.retrier(signal).run(async () => {
        const about = endpoint.about(subject)
        const url = await endpoint.url(path, signal, about)
        // A mirror that lacks it proves nothing.
        const request = { headers, allow: isLast ? [404] : [], signal, subject: about }
        const answer = await endpoint.send(url, { ...request, method: 'HEAD', allow: [...request.allow, ...headless] })
        if (!headless.includes(answer.response.statusCode)) return answer
        // It knows no HEAD.
        discard(answer.response)
        return endpoint.send(url, request)
      }),
    )
    discard(response)
    if (response.statusCode === 404) return undefined
    const { 'docker-content-digest': digest, 'content-length': size } = response.headers
    return {
      digest: typeof digest === 'string' ? digest : undefined,
      size: size === undefined ? undefined : Number(size),
    }
  }

  async #read<T>(
    path: string,
    request: Pick<EndpointRequest, 'headers' | 'allow'>,
    subject: Subject,
    use: (found: Found) => T,
  ): Promise<T> {
    const signal = this.#signal
    return this.#ask((endpoint) =>
      endpoint.retrier(signal).run(async () => {
        const about = endpoint.about(subject)
        const url = await endpoint.url(path, signal, about)
        const answer = await endpoint.send(url, { ...request, signal, subject: about })
        const { patience } = endpoint.transport
        const bytes = await readBounded(answer.response, this.#limit, patience, about, answer.url.host, signal)
        return use({ bytes, answer, endpoint, subject: about })
      }),
    )
  }

  /** Asks one place after the other, from the one on that answered before: blobs are where their manifest is. */
  async #ask<T>(question: (endpoint: Endpoint, isLast: boolean) => Promise<T>): Promise<T> {
    const failures: ComposefsError[] = []
    for (let i = this.#chosen; ; i++) {
      const endpoint = this.#endpoints[i]!
      const isLast = i === this.#endpoints.length - 1
      try {
        const answer = await question(endpoint, isLast)
        // A mirror that merely lacks something has other things.
        if (failures.some(({ code }) => unreachable.has(code)) || !this.#answered) this.#chosen = i
        this.#answered = true
        return answer
      } catch (error) {
        this.#signal.throwIfAborted()
        if (isLast) throw withMirrors(error, failures)
        failures.push(endpoint.leave(error))
      }
    }
  }

  /** A list and all its further pages (RFC 8288, rel=next), as long as they are on the same server. */
  async *#pages(path: string, subject: Subject, allow: readonly number[] = []) {
    let at = path
    for (let page = 0; page < maxPages; page++) {
      const { bytes, answer, endpoint } = await this.#read(at, { allow }, subject, (found) => found)
      yield { bytes, answer }
      const link = [answer.response.headers['link'] ?? []].flat().join(', ')
      const next = /<([^>]*)>\s*;[^,]*\brel="?next"?/.exec(link)?.[1]
      if (next === undefined) return
      const base = await endpoint.url('', this.#signal, subject)
      const url = URL.canParse(next, answer.url.href) ? new URL(next, answer.url) : undefined
      if (url === undefined || url.origin !== base.origin || !url.pathname.startsWith(base.pathname)) {
        throw failure('ERR_REGISTRY_PROTOCOL', subject, 'the list goes on in another place')
      }
      at = url.pathname.slice(base.pathname.length) + url.search
    }
    throw failure('ERR_REGISTRY_PROTOCOL', subject, `the list has more than ${maxPages} pages`)
  }
}

/** An endpoint with the credentials that are for it. Throws as {@link RegistryClient.open} does. */
export async function openPlace(
  place: Place,
  mirror: boolean,
  options: RegistryOptions & { readonly scopes?: readonly string[] },
): Promise<Endpoint> {
  const { creds, authFile, trustedRealms = [], retryTimes, tlsVerify = !place.insecure } = options
  const lookIn = {
    // They were given for the registry that was named.
    ...(place.own && creds !== undefined && { creds }),
    ...(authFile !== undefined && { authFile }),
  }
  const { signal, idleTimeout: timeout, onWarning } = options
  const { credentials, problem } = await lookUpCredentials(place, lookIn, { signal, timeout })
  if (problem !== undefined) onWarning?.(problem)
  return new Endpoint({
    ...options,
    host: registryHost(place),
    repository: place.repository,
    credentials,
    credentialProblem: credentials === undefined ? problem : undefined,
    tlsVerify,
    trustedRealms,
    // There are others to ask.
    mirror,
    ...(mirror && { retryTimes: Math.min(1, retryTimes ?? 1) }),
  })
}

/** The failure of the registry itself, which tells why its mirrors did not help. */
function withMirrors(error: unknown, mirrors: readonly ComposefsError[]): unknown {
  if (mirrors.length === 0 || !(error instanceof ComposefsError)) return error
  const { hint } = error
  const before = mirrors.map(({ message }) => message).join('; ')
  return withHint(error, `${hint === undefined ? '' : `${hint}; `}before it, its mirrors failed: ${before}`)
}

function parsed(bytes: Buffer, subject: Subject): JsonObject {
  const json = new JsonReader('manifest')
  try {
    return json.object(json.parse(bytes))
  } catch (cause) {
    const hint = 'something else than a registry answers: a proxy, or the page of a network that wants a login'
    throw failure('ERR_OCI_JSON', subject, 'it is not JSON', { cause, hint })
  }
}

/** What it is decides, never the header: it may change while the digest stays. */
function mediaTypeOf(bytes: Buffer, header: string | string[] | undefined, subject: Subject): string {
  const { mediaType, schemaVersion, layers, manifests } = parsed(bytes, subject)
  const declared = String(header ?? '')
    .split(';')[0]!
    .trim()
  const isSchema1 = layers === undefined && manifests === undefined && schema1.test(declared)
  if (schemaVersion === 1 || isSchema1 || schema1.test(String(mediaType))) {
    throw failure('ERR_OCI_MEDIA_TYPE', subject, 'it has the old format of Docker, schema 1, which is not supported', {
      hint: 'push the image again with a current tool, or convert it with skopeo copy --format oci',
    })
  }
  return documentType(bytes, `manifest of ${subject.reference}`)
}
