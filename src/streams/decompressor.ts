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
import { OutputBudget, type OutputLimits } from './output-budget.ts'
import { AsyncStage } from './stage.ts'
import { ZstdDecoder } from './zstd-decoder.ts'

/** What {@link Decompressor} can be told. */
export interface DecompressorOptions extends OutputLimits {
  /** What the input is, for those who must not trust its first bytes. Default: these tell. */
  readonly compression?: Compression
  /** What several streams together may give, beside the limits of this one. */
  readonly budget?: OutputBudget | undefined
  /** Largest window (zstd) or dictionary (xz), in bytes: the memory that decoding needs. Default 128 MiB. */
  readonly maxWindow?: number
  /**
   * Whether zero bytes may follow the data, as tar programs leave them that fill their last record. Default true, as
   * GNU tar and skopeo have it.
   */
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
  readonly #budget: OutputBudget
  #resume: (() => void) | undefined

  constructor(options: DecompressorOptions = {}) {
    super(highWaterMarks)
    const { maxWindow } = options
    if (maxWindow !== undefined && !(maxWindow >= 0)) {
      throw new ComposefsError('ERR_ARGUMENT', `maxWindow is no limit: ${maxWindow}`, { stage })
    }
    this.#budget = new OutputBudget(options)
    this.#options = { allowPadding: true, ...options }
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
    this.#count(chunk.length, 0)
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
    this.#count(0, bytes.length)
    if (this.push(bytes)) return undefined
    return new Promise((resolve) => {
      this.#resume = resolve
    })
  }

  #count(read: number, written: number): void {
    this.#budget.add(read, written)
    this.#options.budget?.add(read, written)
  }
}
