/**
 * Extension headers that wait for the entry they belong to.
 *
 * @packageDocumentation
 */
import { type ByteString, fromLatin1 } from '../bytes.ts'
import { ComposefsError } from '../errors.ts'
import { PaxAttributes } from './pax-attributes.ts'
import { paxRecords } from './pax-records.ts'
import type { Header } from './records.ts'
import type { Slab } from './slab.ts'
import { blockSize, paddingOf } from './tar-header.ts'
import { checkExtensionSize, type PaxParserOptions } from './tar-options.ts'

/** The one that is being read: header block, body and padding in one buffer. */
interface Growing {
  readonly kind: 'x' | 'L' | 'K' | 'g'
  readonly offset: number
  readonly size: number
  readonly bytes: Buffer
  filled: number
}

/** Collects the extension headers of one entry: their bytes and what they say. Copies whatever it is given. */
export class PaxExtensions {
  /** Where the first of them begins. */
  readonly offset: number
  /** Their bytes as they stand in the archive. */
  readonly raw: Buffer[] = []
  pax: PaxAttributes | undefined
  longName: ByteString | undefined
  longLink: ByteString | undefined
  readonly #options: PaxParserOptions
  readonly #slab: Slab
  #headers = 0
  #size = 0
  #growing: Growing | undefined
  #zeroBlock = false

  constructor(offset: number, options: PaxParserOptions, slab: Slab) {
    this.offset = offset
    this.#options = options
    this.#slab = slab
  }

  /**
   * Begins with one header. Checks the limits by what it declares, before any memory is taken.
   *
   * @throws {@link ComposefsError} `ERR_TAR_EXTENSION_SIZE`, `ERR_LIMIT`, `ERR_TAR_EXTENSION` for a second one of a kind.
   */
  begin({ offset, block, header }: Header, kind: Growing['kind']): void {
    const size = header.bodySize
    this.#size += size
    checkExtensionSize(this.#size, this.#options, offset, stage)
    const { maxExtensionHeaders = 16 } = this.#options
    if (++this.#headers > maxExtensionHeaders) {
      throw new ComposefsError('ERR_LIMIT', 'too many extension headers stand before one entry', {
        stage,
        offset,
        expected: `at most ${maxExtensionHeaders}`,
        actual: this.#headers,
        hint: 'raise maxExtensionHeaders if this archive can be trusted',
      })
    }
    const before = { x: this.pax, L: this.longName, K: this.longLink, g: undefined }[kind]
    if (before !== undefined) {
      throw new ComposefsError('ERR_TAR_EXTENSION', `two ${kind} headers stand before one entry`, {
        stage,
        offset,
        hint: 'the archive was made wrongly, or joined of parts; make it again',
      })
    }
    const bytes = Buffer.allocUnsafe(blockSize + size + paddingOf(size))
    block.copy(bytes)
    this.#growing = { kind, offset, size, bytes, filled: blockSize }
    this.#zeroBlock = false
  }

  /** Takes part of the body or its padding. False if that is more than the header declared. */
  store(part: Buffer): boolean {
    const growing = this.#growing
    if (growing === undefined || part.length > growing.bytes.length - growing.filled) return false
    part.copy(growing.bytes, growing.filled)
    growing.filled += part.length
    return true
  }

  /**
   * Ends one header and reads it. False if its body is not complete.
   *
   * @throws What `paxRecords` and `PaxAttributes.add` throw.
   */
  end(): boolean {
    const growing = this.#growing
    if (growing === undefined || growing.filled < growing.bytes.length) return false
    const { kind, offset, size, bytes } = growing
    this.#growing = undefined
    this.raw.push(bytes)
    const body = bytes.subarray(blockSize, blockSize + size)
    if (kind === 'L') this.longName = upToNul(body)
    else if (kind === 'K') this.longLink = upToNul(body)
    else if (kind === 'x') {
      this.pax = new PaxAttributes(this.#slab)
      for (const record of paxRecords(body, offset + blockSize)) this.pax.add(record)
    }
    return true
  }

  /** Takes a lone zero block, which may stand before the entry. False for anything else: the archive ends. */
  zeroBlock(bytes: Buffer): boolean {
    if (this.#zeroBlock || bytes.length !== blockSize) return false
    this.#zeroBlock = true
    this.raw.push(Buffer.from(bytes))
    return true
  }
}

const stage = 'PaxParser'

function upToNul(body: Buffer): ByteString {
  const end = body.indexOf(0)
  return fromLatin1(body.toString('latin1', 0, end === -1 ? body.length : end))
}
