import type { IncomingMessage, ServerResponse } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { digestOf } from './image-archive.ts'
import { type Served, serve } from './serve.ts'

/** What a registry does to the request with this number (from 0) of a method, instead of its work. */
export type UploadFaults = Readonly<Record<string, readonly (UploadFault | undefined)[]>>
export type UploadFault =
  /** Takes so many bytes of the body and cuts the connection. */
  | { readonly take: number }
  /** Does its work, but nobody gets to know. */
  | 'no-answer'
  /** Takes everything, and says it has less. */
  | { readonly claim: number }
  | 'range-error'
  | 'forget'
  | 'error'
  /** Refuses with a status. */
  | number

/** A registry in memory to which images can be pushed, and which fails as it is told. */
export class UploadRegistry {
  readonly blobs: Map<string, Buffer> = new Map()
  readonly manifests: Map<string, Buffer> = new Map()
  /** `PATCH 0-99`: the uploads as they came. */
  readonly log: string[] = []
  readonly #faults: UploadFaults
  readonly #counts = new Map<string, number>()
  readonly #uploads = new Map<string, Buffer>()
  #served: Served | undefined
  /** Where uploads go on; default: here. */
  uploadHost: string | undefined
  /** Headers of answers about uploads that it leaves out. */
  readonly silent: Set<string> = new Set()

  constructor(faults: UploadFaults = {}) {
    this.#faults = faults
  }

  get host(): string {
    return this.#served!.host
  }

  get requests(): readonly IncomingMessage[] {
    return this.#served!.requests
  }

  async start(): Promise<this> {
    this.#served = await serve((request, response) => void this.#answer(request, response))
    return this
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<unknown> {
    const { method = '', socket } = request
    const url = new URL(request.url ?? '', `http://${this.host}`)
    const count = this.#counts.get(method) ?? 0
    this.#counts.set(method, count + 1)
    const fault = this.#faults[method]?.[count]
    if (method !== 'HEAD') this.log.push([method, request.headers['content-range'] ?? []].flat().join(' '))
    if (typeof fault === 'number') return request.resume().on('end', () => response.writeHead(fault).end())
    if (fault === 'error') return response.writeHead(500).end()
    if (fault === 'range-error') return response.writeHead(416).end()
    if (fault === 'forget') this.#uploads.clear()
    const [, blob] = /\/blobs\/(sha256:[0-9a-f]+)$/.exec(url.pathname) ?? []
    const [, manifest] = /\/manifests\/(.+)$/.exec(url.pathname) ?? []
    if (manifest !== undefined) return this.#manifest(manifest, request, response)
    if (blob !== undefined) {
      const found = this.blobs.get(blob)
      return response.writeHead(found === undefined ? 404 : 200, { 'content-length': found?.length ?? 0 }).end()
    }
    return this.#upload(url, request, response, () => socket.destroy(), fault)
  }

  async #manifest(name: string, request: IncomingMessage, response: ServerResponse): Promise<unknown> {
    if (request.method === 'PUT') {
      const bytes = await buffer(request)
      this.manifests.set(name, bytes)
      return response.writeHead(201, { 'docker-content-digest': digestOf(bytes) }).end()
    }
    const bytes = this.manifests.get(name)
    return response.writeHead(bytes === undefined ? 404 : 200).end(bytes)
  }

  async #upload(
    url: URL,
    request: IncomingMessage,
    response: ServerResponse,
    cut: () => unknown,
    fault?: UploadFault,
  ): Promise<unknown> {
    if (request.method === 'POST') {
      const id = `${this.#counts.get('POST')}`
      this.#uploads.set(id, Buffer.alloc(0))
      return this.#tell(response, 202, { location: this.#location(id, 0), 'docker-upload-uuid': id })
    }
    const id = url.pathname.split('/').at(-1)!
    const held = this.#uploads.get(id)
    if (held === undefined) return response.writeHead(404).end()
    if (request.method === 'GET') return this.#accepted(response, id, held, 204)
    const body = typeof fault === 'object' && 'take' in fault ? await some(request, fault.take) : await buffer(request)
    const range = request.headers['content-range']
    if (range !== undefined && Number(range.split('-')[0]) !== held.length) {
      return this.#accepted(response, id, held, 416)
    }
    const all = Buffer.concat([
      held,
      typeof fault === 'object' && 'claim' in fault ? body.subarray(0, fault.claim) : body,
    ])
    this.#uploads.set(id, all)
    if (typeof fault === 'object' && 'take' in fault) return cut()
    if (request.method === 'PATCH') {
      return fault === 'no-answer' ? cut() : this.#accepted(response, id, all, 202)
    }
    const digest = url.searchParams.get('digest')!
    if (digest !== digestOf(all)) return response.writeHead(400).end('{"errors":[{"code":"DIGEST_INVALID"}]}')
    this.blobs.set(digest, all)
    this.#uploads.delete(id)
    return fault === 'no-answer' ? cut() : response.writeHead(201).end()
  }

  #accepted(response: ServerResponse, id: string, held: Buffer, status: number): unknown {
    const range = `0-${Math.max(0, held.length - 1)}`
    return this.#tell(response, status, { range, location: this.#location(id, held.length) })
  }

  #tell(response: ServerResponse, status: number, headers: Record<string, string>): unknown {
    const told = Object.entries(headers).filter(([name]) => !this.silent.has(`${response.req.method} ${name}`))
    return response.writeHead(status, Object.fromEntries(told)).end()
  }

  /** Part of its query is for the registry alone: whoever writes it anew breaks it. */
  #location(id: string, offset: number): string {
    return `http://${this.uploadHost ?? this.host}/v2/os/image/blobs/uploads/${id}?state=a%2Bb%7e${offset}`
  }
}

/** The first bytes of a body; the rest never comes. */
async function some(request: IncomingMessage, count: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    chunks.push(chunk)
    size += chunk.length
    if (size >= count) break
  }
  return Buffer.concat(chunks).subarray(0, count)
}
