/**
 * Gzip data to bytes, all members of it.
 *
 * @packageDocumentation
 */
import zlib from 'node:zlib'
import { ComposefsError } from '../errors.ts'
import { type ByteDecoder, type DecoderOutput, firstNonZero, StreamDecoder } from './byte-decoder.ts'
import { ByteGatherer } from './byte-gatherer.ts'

/** Options of {@link GzipDecoder}. */
export interface GzipOptions {
  /** Whether zero bytes may follow the last member, as archivers leave them that fill their last record. Default false. */
  readonly allowPadding?: boolean
}

const stage = 'GzipDecoder'
/** More than twice as fast as with the 16 KiB that are zlib's default. */
const chunkSize = 256 * 1024
/** Input that is gathered for one call: waking the other thread costs more than a copy. */
const callSize = 256 * 1024
/** Zlib had given nothing yet when short input failed, so there is less than this before the error. */
const mostToSearch = 4 * chunkSize

/**
 * Decodes any number of members with Node's zlib, in its thread pool; checksums and sizes are verified there.
 *
 * Rejects with `ERR_COMPRESSION_DATA` for damaged data and for anything that follows the last member, and with
 * `ERR_COMPRESSION_TRUNCATED`.
 */
export class GzipDecoder implements ByteDecoder {
  readonly #gunzip: zlib.Gunzip = zlib.createGunzip({ chunkSize })
  readonly #decoder: StreamDecoder
  readonly #allowPadding: boolean
  /** Input for the next call. */
  readonly #gathered: ByteGatherer = new ByteGatherer()
  /** The input that is being decoded. */
  #chunk: Buffer = Buffer.alloc(0)
  /** Bytes of input so far, that of the call under way included. */
  #read = 0
  /** Where the padding begins. */
  #padding: number | undefined

  constructor(output: DecoderOutput, options: GzipOptions = {}) {
    this.#allowPadding = options.allowPadding ?? false
    this.#decoder = new StreamDecoder({ writable: this.#gunzip, readable: this.#gunzip }, output, (error) =>
      this.#translate(error),
    )
  }

  async write(chunk: Buffer): Promise<void> {
    if (this.#gathered.length === 0 && chunk.length >= callSize) return this.#decode(chunk)
    this.#gathered.append(chunk)
    if (this.#gathered.length >= callSize) await this.#decodeGathered()
  }

  async finish(): Promise<void> {
    await this.#decodeGathered()
    return this.#decoder.finish()
  }

  destroy(): void {
    this.#decoder.destroy()
  }

  async #decodeGathered(): Promise<void> {
    const { bytes } = this.#gathered
    if (bytes.length === 0) return
    await this.#decode(bytes)
    this.#gathered.clear()
  }

  async #decode(chunk: Buffer): Promise<void> {
    const start = this.#read
    this.#read += chunk.length
    if (this.#padding === undefined) {
      this.#chunk = chunk
      await this.#decoder.write(chunk)
      // Zlib goes on to the next member by itself, and stops before a zero byte.
      if (this.#gunzip.bytesWritten === this.#read) return
      this.#padding = this.#gunzip.bytesWritten
    }
    this.#checkPadding(chunk.subarray(Math.max(0, this.#padding - start)), this.#padding)
  }

  #checkPadding(bytes: Buffer, begins: number): void {
    const other = firstNonZero(bytes)
    if (other < 0 && this.#allowPadding) return
    throw appended(this.#allowPadding ? this.#read - bytes.length + other : begins, other < 0)
  }

  #translate(error: Error): ComposefsError {
    if ((error as NodeJS.ErrnoException).code === 'Z_BUF_ERROR') {
      return new ComposefsError('ERR_COMPRESSION_TRUNCATED', 'the gzip data ends too early', {
        stage,
        offset: this.#read,
        hint: 'the input was cut off; fetch it again',
        cause: error,
      })
    }
    // Zlib does not say where. Of short input it can be found out; otherwise it is in the piece that zlib had.
    const from = this.#gunzip.bytesWritten
    const [sound, ended] = from === 0 ? soundLength(this.#chunk) : [from, false]
    if (ended) return appended(sound, false, error)
    const within = from === 0 ? '' : `, within ${this.#read - from} bytes`
    return new ComposefsError('ERR_COMPRESSION_DATA', `the gzip data is damaged (${error.message})${within}`, {
      stage,
      offset: sound,
      hint: 'fetch or make the input again',
      cause: error,
    })
  }
}

function appended(offset: number, zeros: boolean, cause?: Error): ComposefsError {
  return new ComposefsError('ERR_COMPRESSION_DATA', 'something follows the gzip data', {
    stage,
    offset,
    hint: zeros
      ? 'these are zeros: cut them off, or say allowPadding'
      : 'something was appended to the input, or it is damaged',
    cause,
  })
}

/** How many bytes of damaged data zlib takes, and whether a member ends after them. */
function soundLength(bytes: Buffer): [length: number, ended: boolean] {
  const attempt = (length: number): string | undefined => {
    try {
      zlib.gunzipSync(bytes.subarray(0, length), { maxOutputLength: mostToSearch })
      return undefined
    } catch (error) {
      return (error as NodeJS.ErrnoException).code
    }
  }
  let sound = 0
  for (let bad = bytes.length; bad - sound > 1; ) {
    const middle = (sound + bad) >>> 1
    if (attempt(middle) === 'Z_DATA_ERROR') bad = middle
    else sound = middle
  }
  // It takes two bytes to see that they begin no member.
  const end = [sound, sound - 1].find((length) => length > 0 && attempt(length) === undefined)
  return [end ?? sound, end !== undefined]
}
