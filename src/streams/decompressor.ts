/**
 * Bytes of any compression to plain bytes.
 *
 * @packageDocumentation
 */
import type { TransformCallback } from 'node:stream'
import { ComposefsError } from '../errors.ts'
import type { ByteDecoder, DecoderOutput } from './byte-decoder.ts'
import { type Compression, detectCompression, magicLength } from './compression.ts'
import { ExternalDecoder } from './external-decoder.ts'
import { GzipDecoder } from './gzip-decoder.ts'
import { AsyncStage } from './stage.ts'
import { ZstdDecoder } from './zstd-decoder.ts'

/** What {@link Decompressor} can be told. */
export interface DecompressorOptions {
  /** What the input is, for those who must not trust its first bytes. Default: these tell. */
  readonly compression?: Compression
  /** Most bytes of output. Default: no limit. */
  readonly maxOutput?: number
  /**
   * Most bytes of output for each byte of input, looked at once there are more than `freeOutput`. Default 1100: gzip
   * cannot do more than 1032, so no gzip input is refused, and no other one may be worse.
   */
  readonly maxRatio?: number
  /**
   * Bytes of output that `maxRatio` does not concern. Default 4 GiB: the image of an empty disk is nearly all zeros,
   * which zstd packs 30,000 to one.
   */
  readonly freeOutput?: number
  /** Largest window (zstd) or dictionary (xz), in bytes: the memory that decoding needs. Default 128 MiB. */
  readonly maxWindow?: number
  /** Whether zero bytes may follow gzip data. Default false, as in the reference implementation. */
  readonly allowPadding?: boolean
}

const stage = 'Decompressor'
/** Room for what zlib makes while the main thread is busy with what it made before. */
const highWaterMarks = { writableHighWaterMark: 256 * 1024, readableHighWaterMark: 512 * 1024 }

/**
 * Takes off gzip (all members), zstd (all frames, skippable ones anywhere), xz or bzip2 (with the programs of these
 * names); what begins like none of them passes untouched. The first bytes decide, and empty input gives empty output.
 *
 * Everything is verified that the format allows to verify. Errors: `ERR_COMPRESSION_DATA`, `ERR_COMPRESSION_TRUNCATED`,
 * `ERR_COMPRESSION_BOMB`, `ERR_COMPRESSION_UNSUPPORTED`, `ERR_LIMIT` for a window above `maxWindow`, and `ERR_ARGUMENT`.
 *
 * @example
 * ```ts
 * import { createReadStream, createWriteStream } from 'node:fs'
 * import { pipeline } from 'node:stream/promises'
 * import { Decompressor } from 'composefs-streams/streams'
 *
 * const decompressor = new Decompressor({ maxOutput: 2 ** 40 })
 * await pipeline(createReadStream('layer.tar.zst'), decompressor, createWriteStream('layer.tar'))
 * decompressor.compression // 'zstd'
 * ```
 */
export class Decompressor extends AsyncStage<Buffer, Buffer> {
  readonly #options: DecompressorOptions
  #compression: Compression | undefined
  /** The first bytes, while they do not tell. */
  #head: Buffer = Buffer.alloc(0)
  #decoder: ByteDecoder | undefined
  #read = 0
  #written = 0
  #resume: (() => void) | undefined

  constructor(options: DecompressorOptions = {}) {
    super(highWaterMarks)
    for (const name of ['maxOutput', 'maxRatio', 'freeOutput', 'maxWindow'] as const) {
      const value = options[name]
      if (value !== undefined && !(value >= 0)) {
        throw new ComposefsError('ERR_ARGUMENT', `${name} is no limit: ${value}`, { stage })
      }
    }
    this.#options = options
  }

  /** What the input is, once its first bytes were seen. */
  get compression(): Compression | undefined {
    return this.#compression
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, callback: TransformCallback): void {
    this.#write(chunk).then(() => callback(), callback)
  }

  override _flush(callback: TransformCallback): void {
    this.#finish().then(() => callback(), callback)
  }

  override _read(size: number): void {
    const resume = this.#resume
    this.#resume = undefined
    resume?.()
    super._read(size)
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#decoder?.destroy()
    callback(error)
  }

  async #write(chunk: Buffer): Promise<void> {
    this.#read += chunk.length
    if (this.#compression !== undefined) return this.#decode(chunk)
    const head = Buffer.concat([this.#head, chunk.subarray(0, magicLength)])
    if (!this.#begin(head, false)) {
      this.#head = head
      return
    }
    if (this.#head.length > 0) await this.#decode(this.#head)
    return this.#decode(chunk)
  }

  async #finish(): Promise<void> {
    if (this.#compression === undefined) {
      this.#begin(this.#head, true)
      await this.#decode(this.#head)
    }
    await this.#decoder?.finish()
  }

  /** Chooses the decoder, if it can be known yet. */
  #begin(head: Buffer, ended: boolean): boolean {
    this.#compression = this.#options.compression ?? detectCompression(head, ended)
    switch (this.#compression) {
      case undefined:
        return false
      case 'gzip':
        this.#decoder = new GzipDecoder(this.#output, this.#options)
        break
      case 'zstd':
        this.#decoder = new ZstdDecoder(this.#output, this.#options)
        break
      case 'xz':
      case 'bzip2':
        this.#decoder = new ExternalDecoder(this.#compression, this.#output, this.#options)
        break
    }
    return true
  }

  async #decode(chunk: Buffer): Promise<void> {
    if (chunk.length === 0) return
    await (this.#decoder === undefined ? this.#output(chunk) : this.#decoder.write(chunk))
  }

  readonly #output: DecoderOutput = (bytes) => {
    this.#written += bytes.length
    this.#checkSize()
    if (this.push(bytes)) return undefined
    return new Promise((resolve) => {
      this.#resume = resolve
    })
  }

  #checkSize(): void {
    const { maxOutput = Number.POSITIVE_INFINITY, maxRatio = 1100, freeOutput = 2 ** 32 } = this.#options
    const byRatio = Math.max(freeOutput, maxRatio * this.#read)
    if (this.#written <= maxOutput && this.#written <= byRatio) return
    const details = { stage, offset: this.#read, actual: `at least ${this.#written}` }
    throw this.#written > maxOutput
      ? new ComposefsError('ERR_COMPRESSION_BOMB', 'the input expands to more than maxOutput bytes', {
          ...details,
          expected: `at most ${maxOutput}`,
          hint: 'raise maxOutput if the input can be trusted',
        })
      : new ComposefsError('ERR_COMPRESSION_BOMB', 'the input expands far more than honest data does', {
          ...details,
          expected: `at most ${byRatio}`,
          hint: 'raise maxRatio or freeOutput if the input can be trusted',
        })
  }
}
