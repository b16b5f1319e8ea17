import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { onTestFinished } from 'vitest'
import { digestOf, type ImageBytes } from './image-archive.ts'
import { Random } from './random.ts'

/** What may happen to one request and pass. */
const passing = [
  'cut',
  'cut-at-once',
  'stall',
  'stall-at-once',
  'busy',
  'busy-for-a-moment',
  'error',
  'no-range',
  'wrong-content-range',
  'unsatisfiable',
  'token-runs-out',
  'redirect',
] as const
type Passing = (typeof passing)[number]

export type Fatal =
  | 'wrong-digest'
  | 'wrong-manifest'
  | 'wrong-length'
  | 'endless'
  | 'giant-manifest'
  | 'busy-for-hours'
  | 'always-busy'
  | 'broken'
  | 'dead'
  | 'missing'
  | 'forbidden'
  | 'schema-1'
  | 'foreign-realm'
  | 'plain-realm'
  | 'no-token'
  | 'wrong-password'
  | 'downgrade-redirect'
  | 'redirect-in-circles'

/** What no patience helps against, and the codes that it may end with. */
export const fatal: Readonly<Record<Fatal, readonly string[]>> = {
  'wrong-digest': ['ERR_DIGEST_MISMATCH'],
  'wrong-manifest': ['ERR_DIGEST_MISMATCH'],
  'wrong-length': ['ERR_SIZE_MISMATCH'],
  endless: ['ERR_SIZE_MISMATCH'],
  'giant-manifest': ['ERR_REGISTRY_PROTOCOL'],
  'busy-for-hours': ['ERR_REGISTRY_RATE_LIMITED'],
  'always-busy': ['ERR_REGISTRY_RATE_LIMITED'],
  broken: ['ERR_REGISTRY_UNREACHABLE'],
  dead: ['ERR_REGISTRY_STALLED'],
  missing: ['ERR_REGISTRY_NOT_FOUND'],
  forbidden: ['ERR_REGISTRY_FORBIDDEN'],
  'schema-1': ['ERR_OCI_MEDIA_TYPE'],
  'foreign-realm': ['ERR_REGISTRY_UNAUTHORIZED'],
  'plain-realm': ['ERR_REGISTRY_PROTOCOL'],
  'no-token': ['ERR_REGISTRY_PROTOCOL'],
  'wrong-password': ['ERR_REGISTRY_UNAUTHORIZED'],
  'downgrade-redirect': ['ERR_REGISTRY_PROTOCOL'],
  'redirect-in-circles': ['ERR_REGISTRY_PROTOCOL'],
}

export interface HostilePlan {
  readonly seed: number
  /** How likely each request meets something that passes. */
  readonly rate: number
  readonly fatal?: Fatal | undefined
  readonly login: 'none' | 'basic' | 'token'
  readonly credentials: { readonly username: string; readonly password: string }
}

/** A request as it arrived. */
export interface SeenRequest {
  readonly place: 'registry' | 'elsewhere'
  readonly url: string
  readonly headers: IncomingMessage['headers']
}

/** What passes does so at last: no address is troubled more often than this. */
const patience = 3
const lasting: ReadonlySet<Fatal> = new Set(['always-busy', 'broken', 'dead'])
const name = 'os/image'

/** A registry on loopback that does everything that a registry must not do, but the same for the same seed. */
export class HostileRegistry {
  readonly seen: SeenRequest[] = []
  readonly #random: Random
  readonly #plan: HostilePlan
  readonly #image: ImageBytes
  readonly #blobs: ReadonlyMap<string, Buffer>
  /** The layer that a fatal fault hits. */
  readonly #victim: string
  readonly #troubles = new Map<string, number>()
  readonly #registry = createServer((request, response) => this.#serve('registry', request, response))
  readonly #elsewhere = createServer((request, response) => this.#serve('elsewhere', request, response))
  readonly #sockets = new Set<Socket>()
  readonly #tokens = new Set<string>()

  constructor(image: ImageBytes, plan: HostilePlan) {
    this.#image = image
    this.#plan = plan
    this.#random = new Random(plan.seed)
    this.#blobs = new Map([image.config, ...image.layers].map((bytes) => [digestOf(bytes), bytes]))
    const diffIds = JSON.parse(image.config.toString()).rootfs.diff_ids as string[]
    // Of layers that are the same only the first is fetched.
    this.#victim = digestOf(this.#random.pick(image.layers.filter((_, i) => diffIds.indexOf(diffIds[i]!) === i)))
  }

  /** `127.0.0.1:PORT/os/image:latest` */
  get reference(): string {
    return `${address(this.#registry)}/${name}:latest`
  }

  async start(): Promise<void> {
    await listen(this.#registry, '127.0.0.1', this.#sockets)
    await listen(this.#elsewhere, '127.0.0.2', this.#sockets)
    onTestFinished(() => this.close())
  }

  close(): void {
    this.#registry.close()
    this.#elsewhere.close()
    for (const socket of this.#sockets) socket.destroy()
  }

  #serve(place: SeenRequest['place'], request: IncomingMessage, response: ServerResponse): unknown {
    const url = request.url ?? ''
    this.seen.push({ place, url, headers: request.headers })
    // Who was cut off does not read what comes.
    response.on('error', () => {})
    const path = url.split('?')[0]!
    if (path === '/v2/') return reply(response, 200, {}, '{}')
    if (path === '/token') return this.#issue(request, response)
    if (place === 'registry' && !this.#authorized(request)) return this.#challenge(response)
    const fault = place === 'registry' ? this.#fault(path) : undefined
    if (this.#refuse(fault, response)) return
    if (path.startsWith(`/v2/${name}/manifests/`)) return this.#manifest(response, fault)
    const blob = this.#blobs.get(path.slice(`/v2/${name}/blobs/`.length))
    if (blob === undefined) return status(response, 404, 'BLOB_UNKNOWN')
    if (fault !== 'redirect') return this.#blob(path, blob, request, response, fault)
    return reply(response, 307, { location: `http://${address(this.#elsewhere)}${path}?signature=secret` })
  }

  #fault(path: string): Passing | undefined {
    const { fatal } = this.#plan
    // Of several failures the last one is told: it shall be the right one.
    if (fatal !== undefined && lasting.has(fatal) && path.endsWith(this.#victim)) return undefined
    const troubles = this.#troubles.get(path) ?? 0
    if (troubles >= patience || !this.#random.chance(this.#plan.rate)) return undefined
    this.#troubles.set(path, troubles + 1)
    return this.#random.pick(passing)
  }

  /** Faults that need no body. */
  #refuse(fault: Passing | undefined, response: ServerResponse): boolean {
    switch (fault) {
      case 'cut-at-once':
        response.destroy()
        return true
      case 'stall-at-once':
        return true
      case 'busy':
        status(response, 429, 'TOOMANYREQUESTS')
        return true
      case 'busy-for-a-moment':
        response.setHeader('retry-after', this.#random.chance(0.5) ? '0' : new Date().toUTCString())
        status(response, this.#random.pick([429, 503]), 'TOOMANYREQUESTS')
        return true
      case 'error':
        status(response, this.#random.pick([500, 502, 503, 504]), 'UNKNOWN')
        return true
      case 'token-runs-out':
        if (this.#plan.login !== 'token') return false
        // For this request alone. If each took it from all, one that is slow would meet it again and again.
        this.#challenge(response)
        return true
      default:
        return false
    }
  }

  #manifest(response: ServerResponse, fault: Passing | undefined): unknown {
    const { manifest } = this.#image
    const type = 'application/vnd.oci.image.manifest.v1+json'
    const headers = { 'content-type': type, 'docker-content-digest': digestOf(manifest) }
    switch (this.#plan.fatal) {
      case 'giant-manifest':
        response.writeHead(200, headers)
        return endless(response)
      case 'wrong-manifest':
        return reply(response, 200, headers, Buffer.concat([manifest, Buffer.from(' ')]))
      case 'schema-1':
        return reply(response, 200, { 'content-type': type }, '{"schemaVersion":1,"fsLayers":[]}')
      default:
        response.writeHead(200, { ...headers, 'content-length': manifest.length })
        return this.#send(response, manifest, fault)
    }
  }

  #blob(path: string, blob: Buffer, request: IncomingMessage, response: ServerResponse, fault?: Passing): unknown {
    const hit = path.endsWith(this.#victim) ? this.#plan.fatal : undefined
    switch (hit) {
      case 'missing':
        return status(response, 404, 'BLOB_UNKNOWN')
      case 'forbidden':
        return status(response, 403, 'DENIED')
      case 'always-busy':
        return status(response, 429, 'TOOMANYREQUESTS')
      case 'busy-for-hours':
        response.setHeader('retry-after', '7200')
        return status(response, 429, 'TOOMANYREQUESTS')
      case 'broken':
        return status(response, 500, 'UNKNOWN')
      case 'dead':
        return
      case 'endless':
        response.writeHead(200)
        response.write(blob)
        return endless(response)
      case 'wrong-length':
        return reply(response, 200, {}, blob.subarray(0, blob.length - 1))
      case 'downgrade-redirect':
        return reply(response, 307, { location: `ftp://${address(this.#elsewhere)}${path}` })
      case 'redirect-in-circles':
        return reply(response, 302, { location: path })
      default:
    }
    const bytes = hit === 'wrong-digest' ? flipped(blob, this.#random) : blob
    const start = Number(/^bytes=([0-9]+)-[0-9]+$/.exec(request.headers.range ?? '')?.[1] ?? 0)
    if (start === 0 || fault === 'no-range') {
      response.writeHead(200, this.#random.chance(0.7) ? { 'content-length': bytes.length } : {})
      return this.#send(response, bytes, fault)
    }
    if (fault === 'unsatisfiable') return reply(response, 416, {})
    const from = fault === 'wrong-content-range' ? start - 1 : start
    const range = `bytes ${from}-${bytes.length - 1}/${this.#random.chance(0.8) ? bytes.length : '*'}`
    response.writeHead(206, { 'content-range': range, 'content-length': bytes.length - from })
    return this.#send(response, bytes.subarray(from), fault)
  }

  #send(response: ServerResponse, bytes: Buffer, fault: Passing | undefined): unknown {
    if (fault !== 'cut' && fault !== 'stall') {
      return response.end(bytes)
    }
    return response.write(bytes.subarray(0, this.#random.below(bytes.length + 1)), () => {
      if (fault === 'cut') response.destroy()
    })
  }

  #authorized({ headers }: IncomingMessage): boolean {
    const { login } = this.#plan
    if (login === 'none' || headers.authorization === undefined) return login === 'none'
    if (login === 'basic') return this.#knows(headers)
    return this.#tokens.has(headers.authorization.replace(/^Bearer /, ''))
  }

  #challenge(response: ServerResponse): unknown {
    const { login, fatal } = this.#plan
    const realm =
      fatal === 'foreign-realm'
        ? `http://${address(this.#elsewhere)}/token`
        : fatal === 'plain-realm'
          ? 'http://auth.example.com/token'
          : `http://${address(this.#registry)}/token`
    const bearer = `Bearer realm="${realm}",service="hostile",scope="repository:${name}:pull"`
    response.setHeader('www-authenticate', login === 'basic' ? 'Basic realm="hostile"' : bearer)
    return status(response, 401, 'UNAUTHORIZED')
  }

  #issue({ headers }: IncomingMessage, response: ServerResponse): unknown {
    if (this.#plan.fatal === 'no-token') return reply(response, 200, {}, '{"token":17}')
    if (!this.#knows(headers)) return status(response, 401, 'UNAUTHORIZED')
    const token = this.#random.hex(32)
    this.#tokens.add(token)
    return response.end(JSON.stringify({ token, expires_in: this.#random.pick([1, 60, 300]) }))
  }

  #knows({ authorization }: IncomingMessage['headers']): boolean {
    const { username, password } = this.#plan.credentials
    const right = this.#plan.fatal === 'wrong-password' ? 'another' : password
    return authorization === `Basic ${Buffer.from(`${username}:${right}`).toString('base64')}`
  }
}

async function listen(server: Server, host: string, sockets: Set<Socket>): Promise<void> {
  server.on('connection', (socket) => sockets.add(socket.on('close', () => sockets.delete(socket))))
  server.on('clientError', (_error, socket) => socket.destroy())
  await new Promise<void>((resolve) => server.listen(0, host, resolve))
}

export function address(server: Server): string {
  const { address, port } = server.address() as AddressInfo
  return `${address}:${port}`
}

function reply(
  response: ServerResponse,
  code: number,
  headers: Record<string, string>,
  body?: Buffer | string,
): unknown {
  return response.writeHead(code, headers).end(body)
}

function status(response: ServerResponse, code: number, name: string): unknown {
  const body = JSON.stringify({
    errors: [{ code: name, message: `${name.toLowerCase()}, but you sent ${response.req.headers.authorization}` }],
  })
  return reply(response, code, { 'content-type': 'application/json' }, body)
}

function endless(response: ServerResponse): unknown {
  const chunk = Buffer.alloc(64 * 1024, 'x')
  const more = (): void => {
    if (response.destroyed) return
    if (response.write(chunk)) setImmediate(more)
    else response.once('drain', more)
  }
  return more()
}

function flipped(bytes: Buffer, random: Random): Buffer {
  const copy = Buffer.from(bytes)
  const at = random.below(copy.length)
  copy[at] = copy[at]! ^ (1 << random.below(8))
  return copy
}
