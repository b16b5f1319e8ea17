/**
 * A blob that goes on where it was cut.
 *
 * @packageDocumentation
 */
import { Readable } from 'node:stream'
import type { ComposefsError } from '../../errors.ts'
import { bodyChunks, discard } from './body.ts'
import { type DescribedBlob, type Encoding, encodingOf, unpackBlob } from './content-encoding.ts'
import type { Endpoint } from './endpoint.ts'
import { failure, Retryable, type Subject } from './failures.ts'

/** How often a blob may come from its beginning again, because the server cannot go on in the middle. */
const maxRestarts = 4
/** What makes an attempt count as a success although it was cut, in bytes. */
const enoughProgress = 64 * 1024

/**
 * The bytes of a blob. Cuts, stalls and refusals in the middle do not show: the transfer goes on at the byte where it
 * stopped, or, where the server cannot do that, passes over what came before. Never more bytes than the descriptor says.
 *
 * Errors: `ERR_REGISTRY_*`, `ERR_SIZE_MISMATCH`. The digest is not checked: that is the work of a `DigestVerifier`.
 */
export class BlobStream extends Readable {
  readonly #abort = new AbortController()
  readonly #chunks: AsyncGenerator<Buffer, void, undefined>
  /** Bytes that came so far. */
  bytesRead = 0

  /** @param places where it may be, the best first: where one fails, the next goes on */
  constructor(places: readonly Endpoint[], blob: DescribedBlob, subject: Subject) {
    super({ highWaterMark: 256 * 1024 })
    this.#chunks = blobChunks(places, blob, subject, this.#abort.signal)
  }

  override _read(): void {
    this.#chunks.next().then(
      ({ value }) => {
        this.bytesRead += value?.length ?? 0
        this.push(value ?? null)
      },
      (error: Error) => this.destroy(error),
    )
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#abort.abort(error ?? undefined)
    // Where nobody asked for a chunk it does not notice, and its timer keeps the process alive.
    this.#chunks.return().catch(() => {})
    callback(error)
  }
}

async function* blobChunks(
  places: readonly Endpoint[],
  blob: DescribedBlob,
  subject: Subject,
  signal: AbortSignal,
): AsyncGenerator<Buffer, void, undefined> {
  const transfer = new Transfer(blob, subject)
  for (const endpoint of places) {
    try {
      return yield* chunksFrom(endpoint, blob, transfer, endpoint.about(subject), signal)
    } catch (error) {
      if (endpoint === places.at(-1) || signal.aborted) throw error
      endpoint.leave(error)
      transfer.moveOn()
    }
  }
}

async function* chunksFrom(
  endpoint: Endpoint,
  blob: DescribedBlob,
  transfer: Transfer,
  subject: Subject,
  signal: AbortSignal,
): AsyncGenerator<Buffer, void, undefined> {
  const { digest, size } = blob
  const retrier = endpoint.retrier(signal)
  for (;;) {
    const start = transfer.offset
    try {
      const url = await endpoint.url(`blobs/${digest}`, signal, subject)
      const headers: Record<string, string> = transfer.range === undefined ? {} : { range: transfer.range }
      const { response, url: from } = await endpoint.send(url, { headers, allow: [416], signal, subject })
      if (transfer.accept(response.statusCode, response.headers)) {
        const { encoding, length } = transfer
        const raw = bodyChunks(response, endpoint.transport.patience, subject, from.host, signal)
        for await (const chunk of encoding === undefined ? raw : unpackBlob(raw, encoding, blob, length)) {
          const rest = transfer.take(chunk)
          if (rest.length > 0) yield rest
        }
        if (transfer.offset < size) throw transfer.tooShort(from.host)
        return
      }
      discard(response)
    } catch (error) {
      // All is there: whatever comes of the connection, the digest decides.
      if (transfer.offset === size && size > 0 && error instanceof Retryable) return
      if (transfer.offset - start >= enoughProgress) retrier.progress()
      await retrier.wait(transfer.encoding !== undefined && isDamage(error) ? transfer.damaged(error) : error)
    }
  }
}

/** What a decoder says of bytes that it cannot read. */
function isDamage(error: unknown): boolean {
  return (
    error instanceof Error && 'code' in error && /^(?:Z_|ERR__?ERROR|ERR_.*BROTLI|ERR_PADDING)/.test(String(error.code))
  )
}

type Headers = Readonly<Record<string, string | string[] | undefined>>

/** How far a transfer is. */
class Transfer {
  /** Bytes that were handed on. */
  offset = 0
  /** What the current answer claims to be packed with, and how long it says to be. */
  encoding: Encoding | undefined
  length: number | undefined
  readonly #size: number
  readonly #subject: Subject
  /** Bytes of the current answer that came before. */
  #skip = 0
  #restarts = 0
  /** Where an answer ended that looked whole. */
  #end: number | undefined
  #ranges = true

  constructor({ size }: DescribedBlob, subject: Subject) {
    this.#size = size
    this.#subject = subject
  }

  /** The Range header of the next request. Its end is named, since some registries refuse ranges without one. */
  get range(): string | undefined {
    return this.offset > 0 && this.offset < this.#size && this.#ranges
      ? `bytes=${this.offset}-${this.#size - 1}`
      : undefined
  }

  /** Another place has its own habits. */
  moveOn(): void {
    this.#restarts = 0
    this.#end = undefined
    this.#ranges = true
    this.encoding = undefined
  }

  /** Whether the body of an answer is what was asked for. If not, the next request asks for everything. */
  accept(status: number, headers: Headers): boolean {
    const length = headers['content-length'] === undefined ? undefined : Number(headers['content-length'])
    const wanted = this.range
    if (status === 206 && wanted !== undefined && this.#continues(headers['content-range'], length)) {
      this.#skip = 0
      // It goes on in what is stored.
      this.encoding = undefined
      return true
    }
    if (status === 200) {
      // What has the right size is as it is stored, whatever is claimed.
      this.encoding = length === this.#size ? undefined : encodingOf(headers)
      this.length = length
      // Of what is packed on its way no part can be asked for.
      if (this.encoding !== undefined) this.#ranges = false
      else if (length !== undefined && length !== this.#size) {
        throw this.#otherSize(length)
      }
      if (this.offset > 0) this.#restart()
      this.#skip = this.offset
      return true
    }
    if (wanted === undefined) throw this.#wrong(`the registry answers with the status ${status} to a plain request`)
    this.#restart()
    this.#ranges = false
    return false
  }

  /** The part of a chunk that is new. */
  take(chunk: Buffer): Buffer {
    const passed = Math.min(this.#skip, chunk.length)
    this.#skip -= passed
    const rest = chunk.subarray(passed)
    if (this.offset + rest.length > this.#size) {
      throw failure('ERR_SIZE_MISMATCH', this.#subject, 'the registry sends more than promised', {
        expected: this.#size,
        actual: `at least ${this.offset + rest.length}`,
        hint: 'the image in the registry is damaged, or this is no registry',
      })
    }
    this.offset += rest.length
    return rest
  }

  /**
   * An answer ended as if it were whole, and is not. That may be a cut which did not look like one; the second time it
   * is what the registry has.
   */
  tooShort(host: string): ComposefsError | Retryable {
    if (this.#end === this.offset) return this.#otherSize(this.offset)
    this.#end = this.offset
    const details = { offset: this.offset, hint: 'try again later' }
    return new Retryable(
      failure('ERR_REGISTRY_UNREACHABLE', this.#subject, `${host} ended the transfer too early`, details),
    )
  }

  damaged(cause: unknown): Retryable {
    const problem = `the registry packs the blob on its way (${this.encoding}), and damages it`
    return new Retryable(failure('ERR_REGISTRY_PROTOCOL', this.#subject, problem, { offset: this.offset, cause }))
  }

  #continues(header: string | string[] | undefined, length: number | undefined): boolean {
    const [, start, end, total] = /^bytes ([0-9]+)-([0-9]+)\/([0-9]+|\*)$/.exec(String(header)) ?? []
    const rest = this.#size - this.offset
    return (
      Number(start) === this.offset &&
      Number(end) === this.#size - 1 &&
      (total === '*' || Number(total) === this.#size) &&
      (length === undefined || length === rest)
    )
  }

  #otherSize(actual: number): ComposefsError {
    return failure('ERR_SIZE_MISMATCH', this.#subject, 'the registry has a blob of another size than promised', {
      expected: this.#size,
      actual,
      hint: 'the image in the registry is damaged',
    })
  }

  #restart(): void {
    this.#restarts++
    if (this.#restarts > maxRestarts) {
      throw this.#wrong('the registry cannot go on in the middle of a blob, and cuts it again and again')
    }
  }

  #wrong(problem: string) {
    return failure('ERR_REGISTRY_PROTOCOL', this.#subject, problem, { ...(this.offset > 0 && { offset: this.offset }) })
  }
}
