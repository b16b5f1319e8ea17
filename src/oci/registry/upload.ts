/**
 * A blob into a registry, chunk by chunk, going on where it was cut (spec: distribution, pushing blobs).
 *
 * @packageDocumentation
 */
import { createHash } from 'node:crypto'
import type { Readable } from 'node:stream'
import type { ComposefsError } from '../../errors.ts'
import { type ArrivedBlob, type BlobMaker, measure } from '../destination.ts'
import { sha256 } from '../names.ts'
import { discard } from './body.ts'
import type { Answer, Endpoint } from './endpoint.ts'
import { failure, Retryable, type Subject } from './failures.ts'
import type { Retrier } from './retry.ts'

/** What an upload needs to know. */
export interface UploadOptions {
  /** Bytes that are sent, and kept for another try, at once. */
  readonly chunkSize: number
  readonly subject: Subject
  readonly signal: AbortSignal
  /** Whether the registry has a blob, asked as soon as its digest is known. */
  has(digest: string): Promise<boolean>
}

/** How often a blob may be sent from its beginning again, because the registry lost what it had. */
const maxRestarts = 4
/** Answers of those who do not know PATCH. */
const unknown: readonly number[] = [400, 405, 501]
const octets = { 'content-type': 'application/octet-stream' }

/**
 * Sends a blob. Its digest need not be known: a blob of one chunk is made before it is sent, a larger one gets its digest
 * at the end.
 *
 * @throws {@link ComposefsError} `ERR_REGISTRY_*`; what `blob.open()` fails with; an `AbortError`
 */
export async function uploadBlob(endpoint: Endpoint, blob: BlobMaker, options: UploadOptions): Promise<ArrivedBlob> {
  const upload = new Upload(endpoint, options)
  for (let restarts = 0; ; restarts++) {
    const stream = blob.open()
    try {
      return await upload.run(stream)
    } catch (error) {
      if (error instanceof NoChunks) return await upload.atOnce(blob)
      if (!(error instanceof Lost)) throw error
      if (restarts === maxRestarts) throw error.failure
    } finally {
      stream.on('error', () => {}).destroy()
    }
  }
}

/**
 * The registry knows nothing of an upload any more, or less than it had acknowledged. docker-registry forgets those of
 * which a chunk was cut.
 */
class Lost extends Error {
  readonly failure: ComposefsError

  constructor(failure: ComposefsError) {
    super(failure.message)
    this.failure = failure
  }
}

/** The registry takes blobs as a whole only. */
class NoChunks extends Error {}

class Upload {
  readonly #endpoint: Endpoint
  readonly #options: UploadOptions
  readonly #retrier: Retrier
  /** Where the next request goes: each answer names a new place. */
  #location = new URL('http://localhost')
  /** Whether a chunk was ever taken. */
  #taken = false

  constructor(endpoint: Endpoint, options: UploadOptions) {
    this.#endpoint = endpoint
    this.#options = options
    this.#retrier = endpoint.retrier(options.signal)
  }

  async run(stream: Readable): Promise<ArrivedBlob> {
    const hash = createHash('sha256')
    let size = 0
    for await (const { bytes, last } of pieces(stream, this.#options.chunkSize)) {
      if (last && size === 0) return this.#whole(bytes)
      if (size === 0) await this.#begin()
      hash.update(bytes)
      await this.#chunk(bytes, size)
      size += bytes.length
    }
    const digest = `sha256:${hash.digest('hex')}`
    await this.#finish(digest)
    return { digest, size, how: 'sent' }
  }

  /** Sends everything in one request, for those who take no chunks. What is made twice has to be the same. */
  async atOnce(blob: BlobMaker): Promise<ArrivedBlob> {
    const { has, signal } = this.#options
    const known = blob.known ?? (await measure(blob, signal))
    const { digest, size } = known
    if (await has(digest)) return { digest, size, how: 'present' }
    await this.#retrier.run(async () => {
      await this.#open()
      await this.#put(digest, () => blob.open(), size)
    })
    return { digest, size, how: 'sent' }
  }

  /** One chunk is all: it has its digest before anything is sent. */
  async #whole(bytes: Buffer): Promise<ArrivedBlob> {
    const digest = sha256(bytes)
    const size = bytes.length
    if (await this.#options.has(digest)) return { digest, size, how: 'present' }
    await this.#retrier.run(async () => {
      await this.#open()
      await this.#put(digest, bytes)
    })
    return { digest, size, how: 'sent' }
  }

  async #begin(): Promise<void> {
    await this.#retrier.run(() => this.#open())
  }

  async #open(): Promise<void> {
    const { signal, subject } = this.#options
    const url = await this.#endpoint.url('blobs/uploads/', signal, subject)
    const answer = await this.#send('POST', url)
    const { location, 'docker-upload-uuid': id } = answer.response.headers
    if (location !== undefined || typeof id !== 'string') this.#moved(answer)
    // Some give nothing but its name.
    else this.#location = new URL(encodeURIComponent(id), answer.url)
  }

  /** Sends a chunk that begins at `start`, as often and as much of it as it takes. */
  async #chunk(bytes: Buffer, start: number): Promise<void> {
    const end = start + bytes.length
    let held: number | undefined = start
    while (held !== end) {
      try {
        held = await this.#patch(bytes.subarray(held - start), held)
        // What was taken over counts, and an answer that takes nothing must not go on for ever.
        if (held === undefined) throw this.#refused(start)
      } catch (error) {
        await this.#retrier.wait(error)
        held = await this.#retrier.run(() => this.#held())
      }
      if (held === undefined || held < start || held > end) throw this.#lost(start)
    }
    this.#taken = true
    this.#retrier.progress()
  }

  /** How much the registry has after a chunk that begins at `from`; undefined where it does not want one from there. */
  async #patch(bytes: Buffer, from: number): Promise<number | undefined> {
    const end = from + bytes.length
    // Who took one chunk knows them.
    const refusing = this.#taken ? [] : unknown
    const headers = { ...octets, 'content-length': `${bytes.length}`, 'content-range': `${from}-${end - 1}` }
    const answer = await this.#send('PATCH', this.#location, { headers, body: bytes, allow: [404, 416, ...refusing] })
    const { statusCode, headers: answered } = answer.response
    if (refusing.includes(statusCode)) throw new NoChunks()
    if (statusCode === 404) throw this.#lost(from)
    if (statusCode === 416) return undefined
    this.#moved(answer, true)
    const held = heldBytes(answered['range']) ?? end
    return held > from ? held : undefined
  }

  /** How much the registry has of this upload. */
  async #held(): Promise<number> {
    // Who cannot tell begins again.
    const answer = await this.#send('GET', this.#location, { allow: [400, 404, 405, 501] })
    if (answer.response.statusCode >= 400) throw this.#lost()
    this.#moved(answer, true)
    return heldBytes(answer.response.headers['range']) ?? 0
  }

  async #finish(digest: string): Promise<void> {
    await this.#retrier.run(async () => {
      try {
        await this.#put(digest)
      } catch (error) {
        // The answer to an attempt that worked may have been lost.
        if (error instanceof Lost && (await this.#options.has(digest))) return
        throw error
      }
    })
  }

  async #put(digest: string, body?: Buffer | (() => Readable), size = 0): Promise<void> {
    const url = new URL(this.#location)
    // Not by searchParams, which would write the rest of the query anew: that belongs to the registry.
    url.search = `${url.search === '' ? '?' : `${url.search}&`}digest=${encodeURIComponent(digest)}`
    const headers = { ...octets, 'content-length': `${Buffer.isBuffer(body) ? body.length : size}` }
    const { response } = await this.#send('PUT', url, { headers, body, allow: [404] })
    if (response.statusCode === 404) throw this.#lost()
  }

  async #send(
    method: 'POST' | 'PATCH' | 'PUT' | 'GET',
    url: URL,
    request: {
      headers?: Record<string, string>
      body?: Buffer | (() => Readable) | undefined
      allow?: readonly number[]
    } = {},
  ): Promise<Answer> {
    const { signal, subject } = this.#options
    const headers = method === 'POST' ? { 'content-length': '0' } : (request.headers ?? {})
    const answer = await this.#endpoint.send(url, { ...request, method, headers, signal, subject })
    discard(answer.response)
    return answer
  }

  /** Some name the next place only at the beginning. */
  #moved({ response, url }: Answer, optional = false): void {
    const { location } = response.headers
    if (optional && location === undefined) return
    this.#location = this.#endpoint.locate(url, location, this.#options.subject)
  }

  #lost(offset?: number): Lost {
    const problem = 'the registry lost the upload'
    const details = { hint: 'try again later', ...(offset !== undefined && { offset }) }
    return new Lost(failure('ERR_REGISTRY_UNREACHABLE', this.#options.subject, problem, details))
  }

  #refused(offset: number): Retryable {
    const problem = 'the registry does not take the next part of the upload'
    return new Retryable(failure('ERR_REGISTRY_PROTOCOL', this.#options.subject, problem, { offset }))
  }
}

/** `0-1023` means 1024 bytes. Of one byte and of none docker-registry says the same; none is the safe guess. */
function heldBytes(range: string | string[] | undefined): number | undefined {
  const end = /^(?:bytes=)?0-([0-9]+)$/.exec(String(range))?.[1]
  return end === undefined ? undefined : end === '0' ? 0 : Number(end) + 1
}

/** Cuts a stream; only the last piece may be shorter, and it is empty only where everything is. */
async function* pieces(stream: Readable, size: number): AsyncGenerator<{ bytes: Buffer; last: boolean }> {
  let gathered: Buffer[] = []
  let length = 0
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    let rest = chunk
    while (length + rest.length > size) {
      gathered.push(rest.subarray(0, size - length))
      rest = rest.subarray(size - length)
      yield { bytes: Buffer.concat(gathered, size), last: false }
      gathered = []
      length = 0
    }
    gathered.push(rest)
    length += rest.length
  }
  yield { bytes: Buffer.concat(gathered, length), last: true }
}
