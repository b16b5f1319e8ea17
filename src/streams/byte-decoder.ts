/**
 * What the decoders of all compressions have in common, and the driving of Node's own streams.
 *
 * @packageDocumentation
 */
import type { Readable, Writable } from 'node:stream'

/** Takes decoded bytes. A promise means: no more, please, until it has settled. May throw to stop the decoder. */
export type DecoderOutput = (chunk: Buffer) => undefined | Promise<void>

/**
 * Decodes a stream of bytes. One call at a time; all bytes of a chunk are used up once `write` has settled, and their
 * memory may then be reused. Bad input rejects with a ComposefsError.
 */
export interface ByteDecoder {
  write(chunk: Buffer): Promise<void>
  /** The input has ended. Settles once everything was handed to the output. */
  finish(): Promise<void>
  /** Frees native handles and child processes. Calls under way may stay unsettled. */
  destroy(): void
}

const zeros = Buffer.alloc(64 * 1024)

/** Where the first byte is that is not zero; -1 where all are. */
export function firstNonZero(bytes: Buffer): number {
  for (let at = 0; at < bytes.length; at += zeros.length) {
    const end = Math.min(bytes.length, at + zeros.length)
    if (bytes.compare(zeros, 0, end - at, at, end) === 0) continue
    return at + bytes.subarray(at, end).findIndex((byte) => byte !== 0)
  }
  return -1
}

interface Waiting {
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

/**
 * Drives a stream of Node (zlib), or the two ends of a child process, as a {@link ByteDecoder} without piping it. What
 * comes out is handed on a tick later: by then zlib works on the next piece in its own thread.
 */
export class StreamDecoder implements ByteDecoder {
  readonly #writable: Writable
  readonly #readable: Readable
  readonly #output: DecoderOutput
  readonly #translate: (error: Error) => Error
  readonly #queue: Buffer[] = []
  #draining = false
  #lastRead = false
  #ended = false
  #error: unknown
  /** The call that has not settled yet. */
  #waiting: Waiting | undefined

  /** @param translate makes the error that callers see */
  constructor(
    stream: { readonly writable: Writable; readonly readable: Readable },
    output: DecoderOutput,
    translate: (error: Error) => Error,
  ) {
    this.#writable = stream.writable
    this.#readable = stream.readable
    this.#output = output
    this.#translate = translate
    for (const end of new Set([stream.writable, stream.readable])) {
      end.on('error', (error) => this.#fail(this.#translate(error)))
    }
    stream.readable.on('data', (chunk: Buffer) => {
      this.#queue.push(chunk)
      this.#schedule()
    })
    stream.readable.once('end', () => {
      this.#lastRead = true
      this.#schedule()
    })
  }

  /** The stream saw the end of its data, and all of it was handed to the output. More input has no effect. */
  get ended(): boolean {
    return this.#ended
  }

  /** Settles once the chunk is used up or the stream has no use for more. */
  write(chunk: Buffer): Promise<void> {
    return this.#call(() => {
      this.#writable.write(chunk, (error) => {
        // A failure comes as an event too.
        if (!error) this.#settle()
      })
    })
  }

  /** Settles at the end of the output. */
  finish(): Promise<void> {
    return this.#call(() => this.#writable.end())
  }

  destroy(): void {
    this.#queue.length = 0
    this.#writable.destroy()
    this.#readable.destroy()
  }

  #call(start: () => void): Promise<void> {
    if (this.#error !== undefined) return Promise.reject(this.#error)
    if (this.#ended) return Promise.resolve()
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject }
      start()
    })
  }

  #settle(): void {
    const waiting = this.#waiting
    this.#waiting = undefined
    waiting?.resolve()
  }

  #fail(error: unknown): void {
    if (this.#error !== undefined) return
    this.#error = error
    this.destroy()
    const waiting = this.#waiting
    this.#waiting = undefined
    waiting?.reject(error)
  }

  #schedule(): void {
    if (this.#draining) return
    this.#draining = true
    process.nextTick(() => void this.#drain())
  }

  async #drain(): Promise<void> {
    try {
      for (let chunk = this.#queue.shift(); chunk !== undefined; chunk = this.#queue.shift()) {
        const room = this.#output(chunk)
        if (room === undefined) continue
        this.#readable.pause()
        await room
        this.#readable.resume()
      }
    } catch (error) {
      this.#fail(error)
    }
    this.#draining = false
    if (!this.#lastRead || this.#error !== undefined) return
    this.#ended = true
    this.#settle()
  }
}
