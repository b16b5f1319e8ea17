/**
 * HTTP as registries need it: certificates, proxies of the environment, and time limits.
 *
 * By `node:http`, for it reads a body on to its end where the server closes the connection while the reader rests, which
 * undici 7 does not (nodejs/undici#5360).
 *
 * @packageDocumentation
 */
import type { ClientRequest, IncomingHttpHeaders, IncomingMessage } from 'node:http'
import type { Readable } from 'node:stream'
import { certificatesFor } from './certificates.ts'
import type { Connections } from './connections.ts'
import { codes, networkFailure, type Subject } from './failures.ts'
import { isLoopback } from './hosts.ts'

/** How connections are made. */
export interface TransportOptions {
  /** Whether certificates are checked and plain HTTP is refused. Default true; loopback may always use plain HTTP. */
  readonly tlsVerify?: boolean
  /** Directory with `*.crt` to trust, and `*.cert` with `*.key` to show. Default: see `containers-certs.d(5)`. */
  readonly certDir?: string
  /** Milliseconds for a connection to come about. Default 20 s. */
  readonly connectTimeout?: number
  /** Milliseconds of waiting for the other side, in which less than `minRate` asks for arrives, that end a request. Default 60 s. */
  readonly idleTimeout?: number
  /** Bytes a second that the other side sends or takes at least while we wait for it, over `idleTimeout`. Default 1000. */
  readonly minRate?: number
}

/** The methods that registries know. */
export type Method = 'GET' | 'HEAD' | 'POST' | 'PATCH' | 'PUT' | 'DELETE'

/** One request; there are no others than these. */
export interface TransportRequest {
  readonly method: Method
  readonly headers: Readonly<Record<string, string>>
  /** A stream, which is made for each attempt, goes with the header `content-length`. */
  readonly body?: string | Buffer | (() => Readable) | undefined
  readonly signal: AbortSignal
  readonly subject: Subject
  /** Whether a host that turns out to be inside a private network is not to be asked. */
  readonly publicOnly?: boolean
}

/** An answer with a status, whatever it is. */
export interface Response {
  readonly statusCode: number
  readonly headers: IncomingHttpHeaders
  readonly body: IncomingMessage
}

/** Who may keep whom waiting for how long. */
export interface Patience {
  readonly idleTimeout: number
  /** Bytes that have to move in `idleTimeout`. */
  readonly leastBytes: number
}

/** Connections on behalf of one registry. Nothing global is changed. */
export class Transport {
  readonly tlsVerify: boolean
  readonly patience: Patience
  /** The address of the registry, where we are connected to it directly. */
  peer: string | undefined
  readonly #host: string
  readonly #options: TransportOptions
  /** Our own certificate is for the registry alone, not for those that it sends us to. */
  readonly #connections = new Map<string, Promise<Connections>>()

  constructor(host: string, options: TransportOptions = {}) {
    const { tlsVerify = true, idleTimeout = 60_000, minRate = 1000 } = options
    this.tlsVerify = tlsVerify
    this.patience = { idleTimeout, leastBytes: Math.max(1, Math.ceil((minRate * idleTimeout) / 1000)) }
    this.#host = host
    this.#options = options
  }

  /**
   * Sends a request and waits for the head of its answer. Redirects are not followed.
   *
   * @throws `Retryable`, or a ComposefsError: `ERR_REGISTRY_CERTIFICATE`; an `AbortError`
   */
  async send(url: URL, request: TransportRequest): Promise<Response> {
    const { method, body, signal, subject } = request
    for (let attempt = 0; ; attempt++) {
      signal.throwIfAborted()
      const exchange = await this.#open(url, request)
      try {
        const message = await answerOf(exchange, body, this.patience)
        await this.#remember(url, message)
        return { statusCode: message.statusCode!, headers: message.headers, body: message }
      } catch (error) {
        signal.throwIfAborted()
        if (error instanceof BodyError) throw error.cause
        // A connection that was kept may have been closed in the same moment: that says nothing about the server.
        const stale = exchange.reusedSocket && (method === 'GET' || method === 'HEAD') && attempt < 2
        if (!stale) throw networkFailure(error, url, subject)
      }
    }
  }

  /** Ends all connections. */
  async close(): Promise<void> {
    const end = (connections: Connections): void => connections.destroy()
    await Promise.all([...this.#connections.values()].map((connections) => connections.then(end, () => {})))
  }

  async #open(url: URL, request: TransportRequest): Promise<ClientRequest> {
    const { method, headers, body, signal, publicOnly = false } = request
    const known = typeof body === 'string' || Buffer.isBuffer(body) ? Buffer.byteLength(body) : undefined
    const size = known ?? (body === undefined && method !== 'GET' && method !== 'HEAD' ? 0 : undefined)
    const connections = await this.#connectionsFor(url, publicOnly)
    return connections.request(url.protocol === 'https:', {
      method,
      path: `${url.pathname}${url.search}`,
      host: hostname(url),
      port: portOf(url),
      headers: { 'user-agent': 'composefs-streams', ...(size !== undefined && { 'content-length': size }), ...headers },
      signal,
    })
  }

  #connectionsFor({ host }: URL, guarded: boolean): Promise<Connections> {
    const loopback = isLoopback(host)
    const key = this.#isOwn(host) ? 'registry' : loopback ? 'loopback' : guarded ? 'guarded' : 'other'
    const known = this.#connections.get(key)
    if (known !== undefined) return known
    const made = this.#connect(key, loopback)
    this.#connections.set(key, made)
    return made
  }

  async #connect(key: string, loopback: boolean): Promise<Connections> {
    const { connectTimeout = 20_000, certDir } = this.#options
    const { ca, client } = certificatesFor(this.#host, certDir)
    const [shown] = key === 'registry' ? client : []
    const tls = {
      rejectUnauthorized: this.tlsVerify,
      ...(ca !== undefined && { ca: [...ca] }),
      ...(shown !== undefined && { cert: shown.cert, key: shown.key }),
    }
    const { idleTimeout } = this.patience
    // Loaded late: most programs that use this package never talk to a registry.
    const { Connections } = await import('./connections.ts')
    // As in curl and Go, a proxy has no business with this machine.
    return new Connections({ tls, connectTimeout, idleTimeout, direct: loopback, publicOnly: key === 'guarded' })
  }

  /** URLs leave out the port that is the default. */
  #isOwn(host: string): boolean {
    return host === new URL(`https://${this.#host}`).host
  }

  /** Where a proxy is between us it is its address that we see, and that is no news about the registry. */
  async #remember(url: URL, { socket }: IncomingMessage): Promise<void> {
    if (!this.#isOwn(url.host) || this.peer !== undefined) return
    const connections = await this.#connectionsFor(url, false)
    const proxy = connections.proxyOf(url.protocol === 'https:', { host: hostname(url), port: portOf(url) })
    if (proxy === undefined) this.peer = socket.remoteAddress
  }
}

/** Without the brackets of IPv6. */
const hostname = (url: URL): string => url.hostname.replace(/^\[|\]$/g, '')

const portOf = ({ port, protocol }: URL): number => (port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port))

/** Sends the body and waits for the head of the answer; who neither takes nor says anything is given up. */
async function answerOf(
  request: ClientRequest,
  body: TransportRequest['body'],
  { idleTimeout, leastBytes }: Patience,
): Promise<IncomingMessage> {
  let timer: NodeJS.Timeout | undefined
  let over = false
  const wait = (): void => {
    clearTimeout(timer)
    if (over) return
    timer = setTimeout(() => {
      request.destroy(Object.assign(new Error('nothing comes'), { code: codes.stalled }))
    }, idleTimeout)
  }
  const answer = new Promise<IncomingMessage>((resolve, reject) => {
    request.once('response', (message) => {
      // Whoever loses interest in it need not hear of its end.
      resolve(message.on('error', () => {}))
    })
    request.on('error', reject)
    request.once('close', () => reject(new Error('the connection was closed')))
    // Not before: until there is a connection, connectTimeout counts.
    request.once('finish', wait)
  })
  const stream = typeof body === 'function' ? body() : undefined
  try {
    if (body === undefined) request.end()
    // An answer may come before everything is sent.
    else {
      const chunks = stream ?? [typeof body === 'string' ? Buffer.from(body) : (body as Buffer)]
      await Promise.race([answer, sendBody(request, chunks, leastBytes, wait, () => clearTimeout(timer))])
    }
    const message = await answer
    if (!request.writableEnded) message.once('close', () => request.destroy())
    return message
  } catch (error) {
    request.destroy()
    throw error
  } finally {
    over = true
    clearTimeout(timer)
    stream?.on('error', () => {}).destroy()
  }
}

/** What is sent failed, not the sending. */
class BodyError extends Error {}

/** In pieces, each of which has its time to be taken: a slow upload is no stalled one. */
async function sendBody(
  request: ClientRequest,
  chunks: Iterable<Buffer> | AsyncIterable<Buffer>,
  leastBytes: number,
  wait: () => void,
  rest: () => void,
): Promise<void> {
  const pieceSize = Math.min(Math.max(leastBytes, 1024), 64 * 1024)
  let connected = false
  for await (const chunk of failing(chunks)) {
    for (let at = 0; at < chunk.length; at += pieceSize) {
      if (connected) wait()
      await new Promise<void>((resolve, reject) => {
        request.write(chunk.subarray(at, at + pieceSize), (error) => (error == null ? resolve() : reject(error)))
      })
      connected = true
    }
    // Who makes the next chunk may take his time.
    rest()
  }
  request.end()
}

async function* failing(chunks: Iterable<Buffer> | AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, undefined> {
  try {
    yield* chunks
  } catch (cause) {
    throw new BodyError('the body failed', { cause })
  }
}
