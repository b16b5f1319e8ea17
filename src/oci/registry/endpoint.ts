/**
 * One repository of one registry: requests that log in, follow redirects and come back after a failure.
 *
 * @packageDocumentation
 */
import { ComposefsError } from '../../errors.ts'
import { unlessAborted } from '../parallel.ts'
import { Authorizer } from './auth.ts'
import { discard, readExcerpt } from './body.ts'
import type { Credentials } from './credentials.ts'
import { failure, Retryable, type Subject, statusFailure } from './failures.ts'
import { isLoopback } from './hosts.ts'
import { Retrier, type RetryNotice, type RetryOptions } from './retry.ts'
import { type Method, type Response, Transport, type TransportOptions, type TransportRequest } from './transport.ts'

/** Where a repository is, and how to go there. */
export interface EndpointOptions extends TransportOptions, RetryOptions {
  /** Host and port. */
  readonly host: string
  /** `library/fedora` */
  readonly repository: string
  readonly credentials: Credentials | undefined
  /** Why there are none, where a program that may have some does not work. */
  readonly credentialProblem?: ComposefsError | undefined
  readonly trustedRealms: readonly string[]
  /** What is to be done there. Default: `repository:NAME:pull`. */
  readonly scopes?: readonly string[] | undefined
  /** Whether it stands in for another registry. */
  readonly mirror?: boolean
  readonly onWarning?: ((warning: ComposefsError) => void) | undefined
  readonly onRetry?: ((notice: RetryNotice) => void) | undefined
}

/** A request to the registry. */
export interface EndpointRequest {
  readonly method?: Method
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: TransportRequest['body']
  /** Statuses besides 2xx that are an answer and no failure. */
  readonly allow?: readonly number[]
  readonly signal: AbortSignal
  readonly subject: Subject
}

/** An answer, and where it came from. */
export interface Answer {
  readonly response: Response
  readonly url: URL
}

const redirects: ReadonlySet<number> = new Set([301, 302, 303, 307, 308])
/** What strangers may be told of something that is there. */
const hiding: ReadonlySet<number> = new Set([401, 403, 404])
const maxRedirects = 8
/** One to log in, one for a token that ran out on the way. */
const maxLogins = 2

export class Endpoint {
  readonly host: string
  readonly repository: string
  readonly transport: Transport
  readonly authorizer: Authorizer
  readonly #options: EndpointOptions
  /** For what several requests wait for, whichever of them is given up. */
  readonly #closing = new AbortController()
  #origin: Promise<string> | undefined
  /** How the registry is reached, as soon as it is known. */
  #reached: string
  /** What the registry asks of those who knock at its door. */
  #front: Promise<string | string[] | undefined> | undefined

  constructor(options: EndpointOptions) {
    const { host, repository, credentials, trustedRealms, scopes = [`repository:${repository}:pull`] } = options
    this.host = host
    this.repository = repository
    this.#options = options
    this.#reached = `https://${host}`
    this.transport = new Transport(host, options)
    const { transport } = this
    this.authorizer = new Authorizer({
      ...{ transport, host, scopes, credentials, trustedRealms },
      origin: () => this.#reached,
      problem: options.credentialProblem,
      signal: this.#closing.signal,
    })
  }

  retrier(signal: AbortSignal): Retrier {
    return new Retrier(this.#options, signal, this.#options.onRetry)
  }

  /** A subject for messages, which name a mirror. */
  about(subject: Subject): Subject {
    if (!this.#options.mirror) return subject
    return { ...subject, reference: `${subject.reference} (mirror ${this.host}/${this.repository})` }
  }

  /** Another place is asked instead. What is no failure of ours or the registry's is thrown again. */
  leave(error: unknown): ComposefsError {
    const failure = error instanceof Retryable ? error.failure : error
    if (!(failure instanceof ComposefsError)) throw failure
    this.#options.onWarning?.(failure)
    return failure
  }

  /** The address of something below `/v2/NAME/`. */
  async url(path: string, signal: AbortSignal, subject: Subject): Promise<URL> {
    this.#origin ??= this.#findOrigin(this.#closing.signal, subject).then((origin) => {
      this.#reached = origin
      return origin
    })
    this.#origin.catch(() => {
      this.#origin = undefined
    })
    return new URL(`/v2/${this.repository}/${path}`, await unlessAborted(signal, this.#origin))
  }

  /**
   * One attempt.
   *
   * @throws `Retryable`, or a ComposefsError with one of the codes `ERR_REGISTRY_*`; an `AbortError`
   */
  async send(url: URL, request: EndpointRequest): Promise<Answer> {
    try {
      return await this.#send(url, request)
    } catch (error) {
      throw this.authorizer.explain(error)
    }
  }

  async #send(url: URL, request: EndpointRequest): Promise<Answer> {
    const { signal, subject, allow = [] } = request
    // Uploads may go on elsewhere, and who is there has its own ways to know us.
    const own = url.origin === new URL((await this.#origin) ?? url).origin
    for (let logins = 0; ; logins++) {
      const header = own ? await this.authorizer.header(signal, subject) : undefined
      const answer = await this.#follow(url, request, header)
      const { response } = answer
      const ours = own && answer.url.origin === url.origin
      if (ours && logins < maxLogins && (await this.#loggedIn(response, header, request))) continue
      const { statusCode, headers } = response
      if ((statusCode >= 200 && statusCode < 300) || allow.includes(statusCode)) return answer
      const body = await readExcerpt(response, this.transport.patience, subject)
      const used = ours ? this.authorizer.shown(header) : `what the registry handed over to ${answer.url.host}`
      throw statusFailure(statusCode, headers, body, subject, used, (text) => this.authorizer.redact(text))
    }
  }

  /** Logs in where an answer asks for it, or may hide something from strangers. @returns whether to ask again */
  async #loggedIn(response: Response, used: string | undefined, request: EndpointRequest): Promise<boolean> {
    const { statusCode, headers } = response
    const { signal, subject, allow = [] } = request
    const asked = headers['www-authenticate']
    if (statusCode === 401 && (asked !== undefined || used !== undefined)) {
      discard(response)
      return this.authorizer.challenged(asked, used, signal, subject)
    }
    if (!hiding.has(statusCode) || used !== undefined) return false
    if (allow.includes(statusCode) && !this.authorizer.holdsBack) return false
    this.#front ??= this.#knock(this.#closing.signal, subject)
    const challenge = await unlessAborted(signal, this.#front)
    if (challenge === undefined || !this.authorizer.canMeet(challenge)) return false
    try {
      const again = await this.authorizer.challenged(challenge, used, signal, subject)
      if (again) discard(response)
      return again
    } catch (error) {
      signal.throwIfAborted()
      // Strangers were refused already.
      if (this.authorizer.holdsBack) throw error
      return false
    }
  }

  /** Some registries say only at their door that they want a login, and know nothing before. */
  async #knock(signal: AbortSignal, subject: Subject): Promise<string | string[] | undefined> {
    const url = new URL('/v2/', this.#reached)
    try {
      const response = await this.transport.send(url, { method: 'GET', headers: {}, signal, subject })
      discard(response)
      return response.statusCode === 401 ? response.headers['www-authenticate'] : undefined
    } catch {
      return undefined
    }
  }

  async close(): Promise<void> {
    this.#closing.abort()
    await this.transport.close()
  }

  async #follow(start: URL, request: EndpointRequest, authorization: string | undefined): Promise<Answer> {
    const { method = 'GET', body, signal, subject } = request
    let url = start
    let credentials = authorization
    for (let count = 0; ; count++) {
      const headers = {
        'accept-encoding': 'identity',
        ...request.headers,
        ...(credentials !== undefined && { authorization: credentials }),
      }
      const response = await this.transport.send(url, { method, headers, body, signal, subject })
      if (!redirects.has(response.statusCode)) return { response, url }
      discard(response)
      if (count === maxRedirects) throw failure('ERR_REGISTRY_PROTOCOL', subject, 'the registry redirects in circles')
      url = this.locate(url, response.headers['location'], subject)
      // Once dropped they stay dropped: the way back leads through somebody else's hands.
      if (url.origin !== start.origin) credentials = undefined
    }
  }

  /** Where a Location header leads. @throws {@link ComposefsError} `ERR_REGISTRY_PROTOCOL` where it must not lead */
  locate(from: URL, location: string | string[] | undefined, subject: Subject): URL {
    if (typeof location !== 'string' || !URL.canParse(location, from.href)) {
      throw failure('ERR_REGISTRY_PROTOCOL', subject, 'the registry redirects to nowhere')
    }
    const url = new URL(location, from)
    const { tlsVerify } = this.transport
    const plain = url.protocol === 'http:' && (!tlsVerify || (isLoopback(from.host) && isLoopback(url.host)))
    if (url.protocol === 'https:' || plain) return url
    throw failure('ERR_REGISTRY_PROTOCOL', subject, `the registry redirects to ${url.protocol}//${url.host}`, {
      hint: 'only https is followed, or http as well with --tls-verify=false',
    })
  }

  /** Plain HTTP is tried where it is allowed, after https. */
  async #findOrigin(signal: AbortSignal, subject: Subject): Promise<string> {
    const secure = `https://${this.host}`
    if (this.transport.tlsVerify && !isLoopback(this.host)) return secure
    const request = { method: 'GET', headers: {}, signal, subject } as const
    try {
      discard(await this.transport.send(new URL('/v2/', secure), request))
      return secure
    } catch (error) {
      // What is not retryable is a certificate: it says that https is spoken here.
      if (!(error instanceof Retryable) || error.failure.code === 'ERR_REGISTRY_STALLED') throw error
      return `http://${this.host}`
    }
  }
}
