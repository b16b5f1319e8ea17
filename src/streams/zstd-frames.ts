/**
 * Where the frames of a zstd stream begin and end, found without decoding.
 *
 * @packageDocumentation
 */
import { ComposefsError } from '../errors.ts'
import { firstNonZero } from './byte-decoder.ts'
import { defaultMaxWindow, largestBlock, parseZstdHeader, type ZstdFrameHeader, zstdHeaderSize } from './zstd-header.ts'

/** What {@link ZstdFrameWalker} finds. Skippable frames are passed over. `bytes`, joined, are the frames as they stand. */
export type ZstdFrameEvent =
  | { readonly kind: 'frame'; readonly header: ZstdFrameHeader; readonly bytes: Buffer }
  /** Part of the blocks, a view of the input. Blocks up to here hold at most `bound` bytes of content in this frame. */
  | { readonly kind: 'blocks'; readonly bytes: Buffer; readonly bound: number }
  /** `bytes` is the checksum, or empty. `offset` is where the frame ends in the stream. */
  | { readonly kind: 'end'; readonly header: ZstdFrameHeader; readonly bytes: Buffer; readonly offset: number }

/** Options of {@link ZstdFrameWalker}. */
export interface ZstdFrameOptions {
  /** Largest window, in bytes. Default 128 MiB, as of the reference decoder. */
  readonly maxWindow?: number
  /** Whether zero bytes may follow the last frame. Default false. */
  readonly allowPadding?: boolean
  /** Cut the blocks apart: no `blocks` event then spans two of them. Default false. */
  readonly eachBlock?: boolean
}

const frameMagic = 0xfd2fb528
const skippableMagic = 0x184d2a50
const stage = 'ZstdFrameWalker'

/**
 * Walks over frame and block headers. Needed since decoders stop after the first frame, or take a cut one for whole.
 * Bytes that begin no frame are refused (`ERR_COMPRESSION_DATA`), zeros at the end too unless they are allowed.
 */
export class ZstdFrameWalker {
  readonly #maxWindow: number
  readonly #eachBlock: boolean
  readonly #allowPadding: boolean
  #state: 'start' | 'padding' | 'skip-size' | 'skip' | 'block-header' | 'block' | 'checksum' = 'start'
  /** The header, or part of one, that is being gathered. */
  readonly #small: Buffer = Buffer.alloc(18)
  #gathered = 0
  #left = 0
  #lastBlock = false
  #bound = 0
  #header: ZstdFrameHeader | undefined
  #base = 0

  constructor(options: ZstdFrameOptions = {}) {
    this.#maxWindow = options.maxWindow ?? defaultMaxWindow
    this.#eachBlock = options.eachBlock ?? false
    this.#allowPadding = options.allowPadding ?? false
  }

  /**
   * Must be read to its end. @throws {@link ComposefsError} `ERR_COMPRESSION_DATA`, `ERR_COMPRESSION_UNSUPPORTED` for a
   * frame that needs a dictionary, `ERR_LIMIT` for a window above `maxWindow`.
   */
  *push(chunk: Buffer): Generator<ZstdFrameEvent, void, undefined> {
    // Bytes of the chunk from `from` on belong to blocks and were not handed on yet.
    let from = 0
    let at = 0
    while (at < chunk.length) {
      switch (this.#state) {
        case 'start': {
          if (this.#allowPadding && this.#gathered === 0 && chunk[at] === 0 && this.#base + at > 0) {
            this.#state = 'padding'
            break
          }
          at = this.#frameStart(chunk, at)
          if (this.#header === undefined) break
          yield { kind: 'frame', header: this.#header, bytes: Buffer.from(this.#small.subarray(0, this.#gathered)) }
          this.#gathered = 0
          from = at
          break
        }
        case 'padding': {
          const other = firstNonZero(chunk.subarray(at))
          if (other >= 0) throw noFrame(this.#base + at + other)
          at = chunk.length
          break
        }
        case 'skip-size':
          at = this.#gather(chunk, at, 4)
          if (this.#gathered < 4) break
          this.#gathered = 0
          this.#left = this.#small.readUInt32LE()
          this.#state = this.#left > 0 ? 'skip' : 'start'
          break
        case 'skip': {
          const end = Math.min(chunk.length, at + this.#left)
          this.#left -= end - at
          at = end
          if (this.#left === 0) this.#state = 'start'
          break
        }
        case 'block-header':
          at = this.#gather(chunk, at, 3)
          if (this.#gathered === 3) this.#block(this.#base + at)
          break
        case 'block': {
          const end = Math.min(chunk.length, at + this.#left)
          this.#left -= end - at
          at = end
          break
        }
        case 'checksum':
          at = this.#gather(chunk, at, 4)
          if (this.#gathered === 4) yield this.#end(Buffer.from(this.#small.subarray(0, 4)), at)
          break
      }
      if (this.#state !== 'block' || this.#left > 0) continue
      if (this.#eachBlock || this.#lastBlock) {
        yield { kind: 'blocks', bytes: chunk.subarray(from, at), bound: this.#bound }
        from = at
      }
      this.#state = this.#lastBlock ? 'checksum' : 'block-header'
      if (this.#lastBlock && !this.#header!.hasChecksum) yield this.#end(Buffer.alloc(0), at)
    }
    if ((this.#state === 'block' || this.#state === 'block-header') && from < at) {
      yield { kind: 'blocks', bytes: chunk.subarray(from, at), bound: this.#bound }
    }
    this.#base += chunk.length
  }

  /** @throws {@link ComposefsError} `ERR_COMPRESSION_TRUNCATED` unless the input ended between two frames. */
  finish(): void {
    if (this.#state === 'padding' || (this.#state === 'start' && this.#gathered === 0)) return
    const begins = this.#base - this.#gathered
    if (this.#state === 'start' && this.#gathered < 4 && !beginsMagic(this.#small.subarray(0, this.#gathered))) {
      throw noFrame(begins)
    }
    throw new ComposefsError('ERR_COMPRESSION_TRUNCATED', 'the zstd data ends in the middle of a frame', {
      stage,
      offset: this.#base,
      hint: 'the input was cut off; fetch it again',
    })
  }

  #gather(chunk: Buffer, at: number, size: number): number {
    const end = Math.min(chunk.length, at + Math.max(0, size - this.#gathered))
    chunk.copy(this.#small, this.#gathered, at, end)
    this.#gathered += end - at
    return end
  }

  /** Gathers magic, descriptor and what the descriptor announces, in this order. */
  #frameStart(chunk: Buffer, from: number): number {
    let at = this.#gather(chunk, from, 4)
    if (this.#gathered < 4) return at
    const magic = this.#small.readUInt32LE()
    if ((magic & 0xfffffff0) === skippableMagic) {
      this.#gathered = 0
      this.#state = 'skip-size'
      return at
    }
    if (magic !== frameMagic) throw noFrame(this.#base + at - this.#gathered)
    at = this.#gather(chunk, at, 5)
    if (this.#gathered < 5) return at
    const size = zstdHeaderSize(this.#small[4]!)
    at = this.#gather(chunk, at, size)
    if (this.#gathered < size) return at
    this.#header = parseZstdHeader(this.#small.subarray(0, size), this.#base + at - size, this.#maxWindow)
    this.#state = 'block-header'
    this.#bound = 0
    return at
  }

  #block(end: number): void {
    const word = this.#small.readUIntLE(0, 3)
    const type = (word >> 1) & 3
    const size = word >> 3
    const { maxBlock } = this.#header!
    if (type === 3 || size > (type === 2 ? largestBlock : maxBlock)) {
      throw new ComposefsError(
        'ERR_COMPRESSION_DATA',
        type === 3 ? 'a zstd block has the reserved type' : 'a zstd block is larger than its frame allows',
        { stage, offset: end - 3, ...(type !== 3 && { expected: `at most ${maxBlock}`, actual: size }) },
      )
    }
    this.#gathered = 0
    this.#lastBlock = (word & 1) === 1
    this.#bound += type === 2 ? maxBlock : size
    this.#left = type === 1 ? 1 : size
    this.#state = 'block'
  }

  #end(bytes: Buffer, at: number): ZstdFrameEvent {
    const header = this.#header!
    this.#header = undefined
    this.#gathered = 0
    this.#state = 'start'
    return { kind: 'end', header, bytes, offset: this.#base + at }
  }
}

function beginsMagic(bytes: Buffer): boolean {
  const full = Buffer.alloc(4)
  full.writeUInt32LE(frameMagic)
  if (full.subarray(0, bytes.length).equals(bytes)) return true
  full.writeUInt32LE(skippableMagic | (bytes[0]! & 15))
  return full.subarray(0, bytes.length).equals(bytes)
}

function noFrame(offset: number): ComposefsError {
  return new ComposefsError('ERR_COMPRESSION_DATA', 'these bytes begin no zstd frame', {
    stage,
    offset,
    hint: offset > 0 ? 'something was appended to the zstd data, or it is damaged' : 'this is no zstd data',
  })
}
