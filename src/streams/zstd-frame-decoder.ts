/**
 * One zstd frame to bytes, in JavaScript: for versions of Node that have no zstd.
 *
 * @packageDocumentation
 */
import type { ByteDecoder, DecoderOutput } from './byte-decoder.ts'
import { ByteGatherer } from './byte-gatherer.ts'
import { Xxh64 } from './xxh64.ts'
import { ZstdBlocks } from './zstd-block.ts'
import { type ZstdFrameHeader, zstdHeaderSize } from './zstd-header.ts'

/**
 * Decodes a frame whose bounds and header were checked before, by {@link ZstdFrameWalker}; checks its content size and
 * checksum. Synchronous.
 */
export class ZstdFrameDecoder {
  readonly #header: ZstdFrameHeader
  readonly #blocks: ZstdBlocks
  readonly #hash: Xxh64 | undefined
  /** A block, or the checksum, that is not complete. */
  readonly #partial: ByteGatherer = new ByteGatherer()
  #begun = false
  #lastBlock = false
  #size = 0

  /** @param bound most bytes of content, if known */
  constructor(header: ZstdFrameHeader, bound = 0) {
    this.#header = header
    this.#blocks = new ZstdBlocks(header, bound)
    this.#hash = header.hasChecksum ? new Xxh64() : undefined
  }

  /**
   * Takes the frame in pieces, the first of which holds at least the header, and gives the content of each block: views
   * that are good until the next one is asked for. Must be read to its end.
   *
   * @throws Error that says what is wrong
   */
  *push(piece: Buffer): Generator<Buffer, void, undefined> {
    let bytes = piece
    if (!this.#begun) {
      this.#begun = true
      bytes = bytes.subarray(zstdHeaderSize(bytes[4]!))
    }
    while (bytes.length > 0 && !this.#lastBlock) {
      const partial = this.#partial
      if (partial.length + bytes.length < 3) break
      const head = partial.length === 0 ? bytes : Buffer.concat([partial.bytes.subarray(0, 3), bytes.subarray(0, 3)])
      const word = head.readUIntLE(0, 3)
      const whole = 3 + (((word >> 1) & 3) === 1 ? 1 : word >>> 3)
      if (partial.length + bytes.length < whole) break
      const rest = whole - partial.length
      let block = bytes.subarray(0, rest)
      if (partial.length > 0) {
        partial.append(block)
        block = partial.bytes
      }
      bytes = bytes.subarray(rest)
      this.#lastBlock = (word & 1) === 1
      const content = this.#blocks.decode(block)
      partial.clear()
      this.#size += content.length
      this.#hash?.update(content)
      if (content.length > 0) yield content
    }
    this.#partial.append(bytes)
  }

  /** @throws Error if the frame's promises do not hold. */
  finish(): void {
    const { contentSize } = this.#header
    if (contentSize !== undefined && contentSize !== this.#size) {
      throw new Error(`it promises ${contentSize} bytes and holds ${this.#size}`)
    }
    if (this.#hash !== undefined && this.#hash.low32() !== this.#partial.bytes.readUInt32LE()) {
      throw new Error('its checksum does not match')
    }
  }

  /** A whole frame at once. An error with the code `ERR_BUFFER_TOO_LARGE` says that it holds more than `bound` bytes. */
  static decode(bytes: Buffer, header: ZstdFrameHeader, bound: number): Buffer {
    const decoder = new ZstdFrameDecoder(header, bound)
    const contents: Buffer[] = []
    for (const content of decoder.push(bytes)) {
      if (decoder.#size > bound) throw Object.assign(new Error('it is too large'), { code: 'ERR_BUFFER_TOO_LARGE' })
      contents.push(Buffer.from(content))
    }
    decoder.finish()
    return contents.length === 1 ? contents[0]! : Buffer.concat(contents)
  }
}

/** A {@link ZstdFrameDecoder} as a {@link ByteDecoder}. */
export class ZstdFrameStream implements ByteDecoder {
  readonly #decoder: ZstdFrameDecoder
  readonly #output: DecoderOutput
  readonly #translate: (error: Error) => Error

  constructor(header: ZstdFrameHeader, output: DecoderOutput, translate: (error: Error) => Error) {
    this.#decoder = new ZstdFrameDecoder(header)
    this.#output = output
    this.#translate = translate
  }

  async write(bytes: Buffer): Promise<void> {
    const contents = this.#decoder.push(bytes)
    for (;;) {
      const next = this.#attempt(() => contents.next())
      if (next.done === true) return
      const room = this.#output(Buffer.from(next.value))
      if (room !== undefined) await room
    }
  }

  async finish(): Promise<void> {
    this.#attempt(() => this.#decoder.finish())
  }

  destroy(): void {}

  #attempt<T>(step: () => T): T {
    try {
      return step()
    } catch (error) {
      throw this.#translate(error as Error)
    }
  }
}
