/**
 * Zstd data to bytes, all frames of it.
 *
 * @packageDocumentation
 */
import { ComposefsError } from '../errors.ts'
import type { ByteDecoder, DecoderOutput } from './byte-decoder.ts'
import { ByteGatherer } from './byte-gatherer.ts'
import { type ZstdBackend, zstdBackend } from './zstd-backend.ts'
import { ZstdFrameWalker } from './zstd-frames.ts'
import type { ZstdFrameHeader } from './zstd-header.ts'

/** Options of {@link ZstdDecoder}. */
export interface ZstdOptions {
  /** Largest window a frame may ask for, in bytes. Default 128 MiB. */
  readonly maxWindow?: number
  /** Whether zero bytes may follow the last frame. Default false. */
  readonly allowPadding?: boolean
  /** Decodes the frames. Default: Node's own zstd, else `zstd-napi`, else JavaScript. */
  readonly backend?: ZstdBackend
}

/** Frames up to these sizes are decoded in one call; it costs a tenth of a stream for each. */
const smallFrame = 128 * 1024
const smallContent = 4 * 1024 * 1024

/**
 * Decodes any number of frames, skippable ones among them; a cut one is an error on every version of Node, and so is a
 * wrong content size or checksum.
 *
 * Rejects with `ERR_COMPRESSION_DATA`, `ERR_COMPRESSION_TRUNCATED`, `ERR_COMPRESSION_UNSUPPORTED` (a dictionary is
 * needed), `ERR_LIMIT` (the window is too large).
 */
export class ZstdDecoder implements ByteDecoder {
  readonly #output: DecoderOutput
  readonly #backend: ZstdBackend
  readonly #walker: ZstdFrameWalker
  /** The frame so far, while it is small. */
  readonly #small: ByteGatherer = new ByteGatherer()
  #header: ZstdFrameHeader | undefined
  #bound = 0
  #frame: ByteDecoder | undefined

  constructor(output: DecoderOutput, options: ZstdOptions = {}) {
    this.#output = output
    this.#backend = options.backend ?? zstdBackend()
    this.#walker = new ZstdFrameWalker({
      eachBlock: this.#backend.eachBlock,
      allowPadding: options.allowPadding ?? false,
      ...(options.maxWindow !== undefined && { maxWindow: options.maxWindow }),
    })
  }

  async write(chunk: Buffer): Promise<void> {
    for (const event of this.#walker.push(chunk)) {
      switch (event.kind) {
        case 'frame':
          this.#header = event.header
          this.#bound = 0
          this.#small.append(event.bytes)
          break
        case 'blocks':
          this.#bound = event.bound
          await this.#blocks(event.bytes)
          break
        case 'end':
          await this.#end(event.bytes)
          break
      }
    }
  }

  async finish(): Promise<void> {
    this.#walker.finish()
  }

  destroy(): void {
    this.#frame?.destroy()
  }

  async #blocks(bytes: Buffer): Promise<void> {
    if (this.#frame === undefined) {
      if (this.#small.length + bytes.length <= smallFrame && this.#bound <= smallContent) {
        this.#small.append(bytes)
        return
      }
      const header = this.#header!
      this.#frame = this.#backend.openFrame(header, this.#output, (error) => damaged(error, header))
      await this.#frame.write(this.#small.take())
    }
    await this.#frame.write(bytes)
  }

  async #end(checksum: Buffer): Promise<void> {
    const header = this.#header!
    if (this.#frame !== undefined) {
      if (checksum.length > 0) await this.#frame.write(checksum)
      await this.#frame.finish()
      this.#frame.destroy()
      this.#frame = undefined
      return
    }
    this.#small.append(checksum)
    const content = decodeFrame(this.#backend, this.#small.bytes, header, this.#bound)
    this.#small.clear()
    if (content.length > 0) await this.#output(content)
  }
}

/**
 * Decodes all frames at once, for data that is known to be small.
 *
 * @throws {@link ComposefsError} as {@link ZstdDecoder}, and `ERR_COMPRESSION_BOMB` for more than `maxOutput` bytes.
 *
 * @example
 * ```ts
 * import { decodeZstd } from 'composefs-streams/streams'
 *
 * const text = decodeZstd(Buffer.from('28b52ffd2005290000' + '68656c6c6f', 'hex'), { maxOutput: 100 }).toString() // 'hello'
 * ```
 */
export function decodeZstd(bytes: Buffer, options: ZstdOptions & { readonly maxOutput: number }): Buffer {
  const backend = options.backend ?? zstdBackend()
  const walker = new ZstdFrameWalker(options.maxWindow === undefined ? {} : { maxWindow: options.maxWindow })
  const contents: Buffer[] = []
  let left = options.maxOutput
  let bound = 0
  for (const event of walker.push(bytes)) {
    if (event.kind === 'frame') bound = 0
    else if (event.kind === 'blocks') bound = event.bound
    else {
      const frame = bytes.subarray(event.header.offset, event.offset)
      const content = decodeFrame(backend, frame, event.header, Math.min(bound, left))
      left -= content.length
      if (left < 0) throw tooLarge(event.header, options.maxOutput)
      contents.push(content)
    }
  }
  walker.finish()
  return contents.length === 1 ? contents[0]! : Buffer.concat(contents)
}

function decodeFrame(backend: ZstdBackend, frame: Buffer, header: ZstdFrameHeader, bound: number): Buffer {
  try {
    return backend.decodeFrame(frame, header, bound)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw code === 'ERR_BUFFER_TOO_LARGE' ? tooLarge(header, bound) : damaged(error as Error, header)
  }
}

function tooLarge(header: ZstdFrameHeader, expected: number): ComposefsError {
  return new ComposefsError('ERR_COMPRESSION_BOMB', 'zstd data holds more than is expected here', {
    stage: 'ZstdDecoder',
    offset: header.offset,
    expected: `at most ${expected} bytes`,
    actual: 'more',
  })
}

function damaged(error: Error, header: ZstdFrameHeader): ComposefsError {
  return new ComposefsError('ERR_COMPRESSION_DATA', `a zstd frame is damaged (${error.message})`, {
    stage: 'ZstdDecoder',
    offset: header.offset,
    hint: 'fetch or make the input again',
    cause: error,
  })
}
