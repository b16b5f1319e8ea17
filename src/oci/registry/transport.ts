/**
 * HTTP as registries need it: certificates, proxies of the environment, and time limits.
 *
 * @packageDocumentation
 */
import { Readable } from 'node:stream'
import type { Dispatcher } from 'undici'
import { certificatesFor } from './certificates.ts'
import { networkFailure, type Subject } from './failures.ts'
import { isLoopback } from './hosts.ts'
import { drainPausedParsers } from './paused-parser.ts'

/** How connections are made. */
export interface TransportOptions {
  /** Whether certificates are checked and plain HTTP is refused. Default true; loopback may always use plain HTTP. */
  readonly tlsVerify?: boolean
  /** Directory with `*.crt` to trust, and `*.cert` with `*.key` to show. Default: see `containers-certs.d(5)`. */
  readonly certDir?: string
  /** Milliseconds for a connection to come about. Default 20 s. */
  readonly connectTimeout?: number
  /** Milliseconds without a byte, while we wait for one, that end a request. Default 60 s. */
  readonly idleTimeout?: number
}

/** The methods that registries know. */
export type Method = 'GET' | 'HEAD' | 'POST' | 'PATCH' | 'PUT' | 'DELETE'

/** One request; there are no others than these. */
export interface TransportRequest {
  readonly method: Method
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string | Buffer | undefined
  readonly signal: AbortSignal
  readonly subject: Subject
}

/** Answers with a status, whatever it is. */
export type Response = Dispatcher.ResponseData

/** Connections on behalf of one registry. Nothing global is changed. */
export class Transport {
  readonly tlsVerify: boolean
  readonly idleTimeout: number
  /** The address of the registry, where we are connected to it directly. */
  peer: string | undefined
  readonly #host: string
  readonly #options: TransportOptions
  /** Our own certificate is for the registry alone, not for those that it sends us to. */
  readonly #dispatchers = new Map<'registry' | 'other' | 'loopback', Promise<Dispatcher>>()

  constructor(host: string, options: TransportOptions = {}) {
    this.tlsVerify = options.tlsVerify ?? true
    this.idleTimeout = options.idleTimeout ?? 60_000
    this.#host = host
    this.#options = options
  }

  /**
   * Sends a request and waits for the head of its answer. Redirects are not followed.
   *
   * @throws `Retryable`, or a ComposefsError: `ERR_REGISTRY_CERTIFICATE`; an `AbortError`
   */
  async send(url: URL, { method, headers, body, signal, subject }: TransportRequest): Promise<Response> {
    signal.throwIfAborted()
    try {
      const dispatcher = await this.#dispatcher(url)
      return await dispatcher.request({
        origin: url.origin,
        path: `${url.pathname}${url.search}`,
        method,
        headers: { 'user-agent': 'composefs-streams', ...headers },
        signal,
        headersTimeout: this.idleTimeout,
        // Who reads slowly is no stalled server: the reader of the body measures that.
        bodyTimeout: 0,
        ...(body !== undefined && { body: typeof body === 'string' ? body : Readable.from(slices(body)) }),
      })
    } catch (error) {
      signal.throwIfAborted()
      throw networkFailure(error, url, subject)
    }
  }

  /** Ends all connections. */
  async close(): Promise<void> {
    await Promise.all([...this.#dispatchers.values()].map(async (dispatcher) => (await dispatcher).destroy()))
  }

  #dispatcher({ host }: URL): Promise<Dispatcher> {
    // URLs leave out the port that is the default.
    const own = host === new URL(`https://${this.#host}`).host
    const key = own ? 'registry' : isLoopback(host) ? 'loopback' : 'other'
    const known = this.#dispatchers.get(key)
    if (known !== undefined) return known
    const made = this.#connect(own, isLoopback(host))
    this.#dispatchers.set(key, made)
    return made
  }

  async #connect(own: boolean, loopback: boolean): Promise<Dispatcher> {
    const { ca, client } = certificatesFor(this.#host, this.#options.certDir)
    const [shown] = own ? client : []
    const tls = {
      rejectUnauthorized: this.tlsVerify,
      ...(ca !== undefined && { ca: [...ca] }),
      ...(shown !== undefined && { cert: shown.cert, key: shown.key }),
    }
    const connect = { ...tls, timeout: this.#options.connectTimeout ?? 20_000 }
    // Loaded late: most programs that use this package never talk to a registry.
    const { Agent, EnvHttpProxyAgent, Pool } = await import('undici')
    drainPausedParsers()
    // As in curl and Go, a proxy has no business with this machine.
    if (loopback) return new Agent({ connect })
    // A proxy that takes the connection and says nothing is as bad as a registry that does so.
    const clientFactory = (origin: URL, options: object) =>
      new Pool(origin, { ...options, headersTimeout: this.idleTimeout })
    return new EnvHttpProxyAgent({ connect, requestTls: tls, clientFactory, ...environmentProxies() })
  }
}

/** What the environment says, where it leaves the scheme out as curl and Go allow. */
function environmentProxies(): { httpProxy?: string; httpsProxy?: string } {
  const proxy = (name: string): string | undefined => {
    const value = process.env[name] || process.env[name.toUpperCase()]
    return value && !value.includes('://') ? `http://${value}` : undefined
  }
  const [httpProxy, httpsProxy] = [proxy('http_proxy'), proxy('https_proxy')]
  return { ...(httpProxy !== undefined && { httpProxy }), ...(httpsProxy !== undefined && { httpsProxy }) }
}

const sliceSize = 64 * 1024

/** In pieces, since the time limit begins anew with each: a slow upload is no stalled one. */
function* slices(bytes: Buffer): Generator<Buffer, void, undefined> {
  for (let at = 0; at < bytes.length; at += sliceSize) yield bytes.subarray(at, at + sliceSize)
}
