/**
 * Tar bytes to tar records.
 *
 * @packageDocumentation
 */
import { type ByteString, printable } from '../bytes.ts'
import { ComposefsError } from '../errors.ts'
import { paxSize } from './pax-records.ts'
import type { End, Header, TarRecord } from './records.ts'
import { type Emit, type Machine, Stage } from './stage.ts'
import {
  blockSize,
  extensionOf,
  hasValidChecksum,
  headerPath,
  isZeroBlock,
  paddingOf,
  parseHeader,
  type TarHeader,
  typeflags,
} from './tar-header.ts'
import { notTarHint } from './tar-hint.ts'
import { checkExtensionSize, checkLimit, type TarOptions, warn } from './tar-options.ts'

/**
 * The logic of {@link TarDecoder}.
 *
 * Concatenating block, chunk, padding and trailer bytes of the records gives the input. Nothing of a body is kept, but
 * for that of a local PAX header, which may state the size of the next body.
 */
export class TarDecoderMachine implements Machine<Buffer, TarRecord> {
  readonly #options: TarOptions
  /** Bytes taken from the input so far. */
  #offset = 0
  /** A block or a padding that came in pieces. */
  #piece: Buffer | undefined
  #pieceLength = 0
  /** The entry whose body is being read. */
  #current: Header | undefined
  #bodyLeft = 0
  /** The body of a local PAX header that comes in pieces. */
  #pax: Buffer | undefined
  /** What a local PAX header said about the size of the next entry. */
  #nextSize: number | undefined
  /** A header of which only the next block tells whether it has a body. */
  #held: Header | undefined
  #zeroBlock = false
  #ended = false

  /** @throws {@link ComposefsError} `ERR_ARGUMENT` for a limit that is none. */
  constructor(options: TarOptions = {}) {
    checkLimit('maxExtensionSize', options.maxExtensionSize)
    this.#options = options
  }

  push(chunk: Buffer, emit: Emit<TarRecord>): void {
    let at = 0
    while (at < chunk.length) {
      const before = at
      if (this.#ended) at = this.#trailer(chunk, at, emit)
      else if (this.#current === undefined) at = this.#block(chunk, at, emit)
      else if (this.#bodyLeft > 0) at = this.#body(chunk, at, emit)
      else at = this.#padding(chunk, at, emit)
      this.#offset += at - before
    }
  }

  finish(emit: Emit<TarRecord>): void {
    if (this.#held !== undefined) this.#decide(undefined, emit)
    if (this.#current !== undefined) throw this.#truncated(this.#current)
    if (this.#pieceLength > 0) throw this.#truncated(undefined)
    if (this.#ended) return
    if (this.#zeroBlock) this.#loneZero(this.#offset - blockSize, emit)
    else warn(this.#options, 'TAR_END_MISSING', this.#offset)
  }

  /**
   * Passes over a body whose bytes are elsewhere: what is pushed next is its padding. Only directly after the header of
   * a file whose body is not empty.
   *
   * @returns the size of the body, or -1 where none can be passed over.
   */
  skipBody(emit: Emit<TarRecord>): number {
    const header = this.#current?.header
    if (header === undefined || this.#bodyLeft !== header.bodySize || !isFile(header.typeflag)) return -1
    this.#offset += this.#bodyLeft
    this.#bodyLeft = 0
    if (header.bodySize % blockSize === 0) {
      this.#current = undefined
      emit(endWithoutPadding)
    }
    return header.bodySize
  }

  #trailer(chunk: Buffer, at: number, emit: Emit<TarRecord>): number {
    emit({ kind: 'trailer', bytes: at === 0 ? chunk : chunk.subarray(at) })
    return chunk.length
  }

  #block(chunk: Buffer, at: number, emit: Emit<TarRecord>): number {
    const block = this.#collect(chunk, at, blockSize)
    if (typeof block === 'number') return block
    const next = at + blockSize - this.#pieceLength
    const offset = this.#offset - this.#pieceLength
    this.#pieceLength = 0
    if (this.#held !== undefined && this.#decide(block, emit)) return next
    if (isZeroBlock(block)) this.#zero(emit)
    else this.#header(block, offset, emit)
    return next
  }

  /** The next `size` bytes: a view if they are all there, a buffer of their own once they have come, else where to go on. */
  #collect(chunk: Buffer, at: number, size: number): Buffer | number {
    if (this.#pieceLength === 0 && at + size <= chunk.length) return chunk.subarray(at, at + size)
    // A new one each time: the record made of it may still wait in a queue.
    if (this.#pieceLength === 0) this.#piece = Buffer.allocUnsafe(size)
    const piece = this.#piece!
    const end = Math.min(chunk.length, at + size - this.#pieceLength)
    chunk.copy(piece, this.#pieceLength, at, end)
    if (this.#pieceLength + end - at === size) return piece
    this.#pieceLength += end - at
    return end
  }

  #zero(emit: Emit<TarRecord>): void {
    this.#ended = this.#zeroBlock
    this.#zeroBlock = !this.#ended
    if (this.#ended) emit({ kind: 'trailer', bytes: Buffer.alloc(2 * blockSize) })
  }

  #loneZero(offset: number, emit: Emit<TarRecord>): void {
    this.#zeroBlock = false
    warn(this.#options, 'TAR_ZERO_BLOCK', offset)
    emit({ kind: 'trailer', bytes: Buffer.alloc(blockSize) })
  }

  #header(block: Buffer, offset: number, emit: Emit<TarRecord>): void {
    if (offset === 0 && !hasValidChecksum(block)) {
      throw new ComposefsError('ERR_TAR_CHECKSUM', 'the input is no tar archive', {
        stage: 'TarDecoder',
        offset,
        hint: notTarHint(block),
      })
    }
    const header = parseHeader(block, offset)
    if (this.#zeroBlock) this.#loneZero(offset - blockSize, emit)
    const extension = extensionOf(header)
    if (extension === undefined) {
      // A size from PAX is meant for the entry, never for an extension header between the two.
      if (this.#nextSize !== undefined) header.bodySize = this.#nextSize
      this.#nextSize = undefined
      if (header.typeflag === typeflags.gnuSparse && header.format !== 'v7') throw sparse(header, offset)
      if (header.bodySize > 0 && hasNoContents(header.typeflag)) {
        this.#held = { kind: 'header', offset, block: Buffer.from(block), header }
        return
      }
    } else if (extension === 'x') {
      checkExtensionSize(header.bodySize, this.#options, offset, 'TarDecoder')
    }
    this.#begin({ kind: 'header', offset, block, header }, emit)
  }

  #begin(record: Header, emit: Emit<TarRecord>): void {
    emit(record)
    if (record.header.bodySize === 0) {
      emit(endWithoutPadding)
      return
    }
    this.#current = record
    this.#bodyLeft = record.header.bodySize
  }

  /**
   * Many writers repeat the size of the target in a hardlink, or state one for a directory, and write no body. So there
   * is none where a valid header, a zero block or the end of input follows. True if the block was the body's.
   */
  #decide(block: Buffer | undefined, emit: Emit<TarRecord>): boolean {
    const held = this.#held!
    this.#held = undefined
    const hasBody = block !== undefined && !isZeroBlock(block) && !hasValidChecksum(block)
    warn(this.#options, hasBody ? 'TAR_BODY_IGNORED' : 'TAR_SIZE_IGNORED', held.offset, headerPath(held.header))
    if (!hasBody) held.header.bodySize = 0
    this.#begin(held, emit)
    if (!hasBody) return false
    const at = this.#body(block, 0, emit)
    if (at < blockSize) this.#padding(block, at, emit)
    return true
  }

  #body(chunk: Buffer, at: number, emit: Emit<TarRecord>): number {
    const end = Math.min(chunk.length, at + this.#bodyLeft)
    const { offset, header } = this.#current!
    this.#bodyLeft -= end - at
    if (extensionOf(header) === 'x') this.#paxBody(chunk.subarray(at, end), offset, header.bodySize, emit)
    else emit({ kind: 'data', chunk: at === 0 && end === chunk.length ? chunk : chunk.subarray(at, end) })
    if (this.#bodyLeft === 0 && header.bodySize % blockSize === 0) {
      this.#current = undefined
      emit(endWithoutPadding)
    }
    return end
  }

  /** Hands the body on as one record, after a look at the size in it. */
  #paxBody(part: Buffer, offset: number, size: number, emit: Emit<TarRecord>): void {
    let body = part
    if (part.length < size) {
      this.#pax ??= Buffer.allocUnsafe(size)
      part.copy(this.#pax, size - this.#bodyLeft - part.length)
      if (this.#bodyLeft > 0) return
      body = this.#pax
      this.#pax = undefined
    }
    this.#nextSize = paxSize(body, offset + blockSize) ?? this.#nextSize
    emit({ kind: 'data', chunk: body })
  }

  #padding(chunk: Buffer, at: number, emit: Emit<TarRecord>): number {
    const size = paddingOf(this.#current!.header.bodySize)
    const padding = this.#collect(chunk, at, size)
    if (typeof padding === 'number') return padding
    const next = at + size - this.#pieceLength
    this.#pieceLength = 0
    this.#current = undefined
    emit({ kind: 'end', padding })
    return next
  }

  #truncated(record: Header | undefined): ComposefsError {
    const hint = 'the input was cut off; fetch or make the archive again'
    const stage = 'TarDecoder'
    const offset = this.#offset
    if (record === undefined) {
      const begins = offset - this.#pieceLength
      const hints = begins === 0 ? notTarHint(this.#piece!.subarray(0, this.#pieceLength)) : hint
      const what = begins === 0 ? 'the input is shorter than a tar header' : 'the tar ends inside of a header'
      return new ComposefsError('ERR_TAR_TRUNCATED', what, { stage, offset, hint: hints })
    }
    const name: ByteString = headerPath(record.header)
    const size = record.header.bodySize
    return new ComposefsError(
      'ERR_TAR_TRUNCATED',
      this.#bodyLeft > 0 ? 'the tar ends inside of an entry' : 'the tar ends inside of the padding of an entry',
      {
        stage,
        path: printable(name),
        expected: size + paddingOf(size),
        actual: size - this.#bodyLeft + this.#pieceLength,
        offset,
        hint,
      },
    )
  }
}

/**
 * Splits a tar into headers, bodies, paddings and the trailer, byte for byte (spec: tar-layer, sections 1 and 5). Checks
 * each header; what the extension headers mean is left to {@link PaxParser}, but for the size of a body.
 *
 * After two zero blocks everything up to the end of input is trailer. An archive without them is taken, with a warning.
 *
 * Errors: `ERR_TAR_CHECKSUM`, `ERR_TAR_NUMBER`, `ERR_TAR_TRUNCATED`, `ERR_TAR_SPARSE`, `ERR_TAR_EXTENSION_SIZE`,
 * `ERR_TAR_STRICT`; and where a PAX header states a size, `ERR_PAX_RECORD`, `ERR_PAX_VALUE`.
 *
 * @example
 * ```ts
 * import { createReadStream } from 'node:fs'
 * import { headerPath, TarDecoder } from 'composefs-streams/streams'
 *
 * for await (const record of createReadStream('layer.tar').pipe(new TarDecoder())) {
 *   if (record.kind === 'header') headerPath(record.header)
 * }
 * ```
 */
export class TarDecoder extends Stage<Buffer, TarRecord> {
  constructor(options: TarOptions = {}) {
    super(new TarDecoderMachine(options), { input: 'bytes', output: 'records' })
  }
}

/** `ERR_TAR_SPARSE`. Where the body of GNU's own sparse type ends depends on its map, so no stage can pass over it. */
function sparse(header: TarHeader, offset: number): ComposefsError {
  return new ComposefsError('ERR_TAR_SPARSE', 'an entry is a GNU sparse file', {
    stage: 'TarDecoder',
    path: printable(headerPath(header)),
    offset,
    hint: 'make the archive again without --sparse',
  })
}

const endWithoutPadding: End = { kind: 'end', padding: Buffer.alloc(0) }

function isFile(typeflag: number): boolean {
  return typeflag === typeflags.file || typeflag === typeflags.nul || typeflag === typeflags.contiguous
}

function hasNoContents(typeflag: number): boolean {
  return typeflag >= typeflags.hardlink && typeflag <= typeflags.fifo
}
