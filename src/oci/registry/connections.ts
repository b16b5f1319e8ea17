/**
 * Connections that are kept for the next request: direct ones, and tunnels through proxies.
 *
 * @packageDocumentation
 */
import { lookup } from 'node:dns'
import http from 'node:http'
import https from 'node:https'
import { isIP, type LookupFunction, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { type ConnectionOptions, connect as connectTls } from 'node:tls'
import { codes } from './failures.ts'
import { isPrivate } from './hosts.ts'
import { proxyFor } from './proxy.ts'

/** How the connections of one kind are made. */
export interface ConnectionsOptions {
  readonly tls: Pick<ConnectionOptions, 'rejectUnauthorized' | 'ca' | 'cert' | 'key'>
  /** Milliseconds for a connection to come about, TLS included. */
  readonly connectTimeout: number
  /** Milliseconds for a proxy to answer. */
  readonly idleTimeout: number
  /** Whether no proxy is used. */
  readonly direct: boolean
  /** Whether names that lead into a private network are refused. */
  readonly publicOnly: boolean
}

type Target = http.ClientRequestArgs & ConnectionOptions
type Done = (error: Error | null, stream: Duplex) => void

/** Connections of one kind, to wherever. */
export class Connections {
  readonly #options: ConnectionsOptions
  readonly #agents: readonly [plain: http.Agent, secure: https.Agent]
  /** What no agent knows yet. */
  readonly #pending = new Set<http.ClientRequest>()

  constructor(options: ConnectionsOptions) {
    this.#options = options
    const common = { keepAlive: true, ...(options.publicOnly && { lookup: publicLookup }) }
    const plain = new http.Agent(common)
    const secure = new https.Agent({ ...common, ...options.tls })
    this.#agents = [plain, secure]
    for (const agent of this.#agents) {
      const direct = agent.createConnection.bind(agent)
      agent.createConnection = (target: Target, done: Done) => {
        const proxy = this.proxyOf(agent === secure, target)
        if (proxy === undefined) return this.#watched(direct(target) as Socket, agent === secure)
        this.#tunnel(proxy, target).then(
          (socket) => done(null, agent === secure ? this.#watched(connectTls({ ...target, socket }), true) : socket),
          (error: Error) => done(error, undefined as never),
        )
        return undefined
      }
    }
  }

  /** Begins a request. Throws what `http.request` throws. */
  request(secure: boolean, options: http.RequestOptions): http.ClientRequest {
    return (secure ? https : http).request({ ...options, agent: this.#agents[secure ? 1 : 0] })
  }

  /** The proxy between us and a host. */
  proxyOf(secure: boolean, { host, port }: Pick<Target, 'host' | 'port'>): URL | undefined {
    return this.#options.direct ? undefined : proxyFor(secure, host ?? '', Number(port))
  }

  destroy(): void {
    for (const agent of this.#agents) agent.destroy()
    for (const request of this.#pending) request.destroy()
  }

  /** Gives up a connection that does not come about. */
  #watched(socket: Socket, secure: boolean): Socket {
    const timer = setTimeout(() => socket.destroy(errorOf('ETIMEDOUT')), this.#options.connectTimeout)
    const stop = (): void => clearTimeout(timer)
    return socket.once(secure ? 'secureConnect' : 'connect', stop).once('close', stop)
  }

  /** Has a proxy connect us (RFC 9110, section 9.3.6). */
  #tunnel(proxy: URL, { host, port }: Target): Promise<Socket> {
    const { idleTimeout, tls } = this.#options
    const secure = proxy.protocol === 'https:'
    const at = `${isIP(host ?? '') === 6 ? `[${host}]` : host}:${port}`
    const login = [proxy.username, proxy.password].map(decodeURIComponent).join(':')
    const request = (secure ? https : http).request({
      method: 'CONNECT',
      host: proxy.hostname.replace(/^\[|\]$/g, ''),
      port: proxy.port === '' ? (secure ? 443 : 80) : proxy.port,
      path: at,
      agent: false,
      headers: {
        host: at,
        ...(login !== ':' && { 'proxy-authorization': `Basic ${Buffer.from(login).toString('base64')}` }),
      },
      // Our own certificate is for the registry.
      ...(secure && { rejectUnauthorized: tls.rejectUnauthorized, ca: tls.ca }),
    })
    this.#pending.add(request)
    const timer = setTimeout(() => request.destroy(errorOf(codes.stalled)), idleTimeout)
    return new Promise<Socket>((resolve, reject) => {
      request.once('connect', ({ statusCode = 0 }, socket, head) => {
        if (statusCode >= 200 && statusCode < 300) {
          socket.unshift(head)
          return resolve(socket)
        }
        socket.destroy()
        reject(errorOf(codes.proxy, `the proxy ${proxy.host} answers with the status ${statusCode}`))
      })
      request.on('error', reject).once('close', () => reject(errorOf('ECONNRESET')))
      request.end()
    }).finally(() => {
      clearTimeout(timer)
      this.#pending.delete(request)
    })
  }
}

/** Refuses names that lead into a private network. */
const publicLookup: LookupFunction = (name, options, callback) => {
  lookup(name, { ...options, all: true }, (error, found) => {
    if (error !== null) return callback(error, '', 0)
    const [first] = found
    if (first === undefined || found.some(({ address }) => isPrivate(address))) {
      const problem = `${name} leads into a private network`
      return callback(errorOf(codes.inside, problem), '', 0)
    }
    if (options.all) callback(null, found)
    else callback(null, first.address, first.family)
  })
}

function errorOf(code: string, message = code): NodeJS.ErrnoException {
  return Object.assign(new Error(message), { code })
}
