import type { ByteString } from '../bytes.ts'
import { roundUp, xattrEntrySize } from './format.ts'
import { metacopyHeader } from './overlay.ts'
import { filterBit, type StoredName, splitName } from './xattr-names.ts'

const slash = 0x2f

/** One xattr name of an image. */
export class XattrName implements StoredName {
  /** As stored, so escaped where it had to be. */
  readonly full: ByteString
  readonly index: number
  readonly suffix: ByteString
  readonly filterBit: number

  constructor(full: ByteString, lustre: boolean) {
    const { index, suffix } = splitName(full, lustre)
    this.full = full
    this.index = index
    this.suffix = suffix
    this.filterBit = filterBit(this)
  }
}

/**
 * One name with one value. There are two for every object in the image, most of them written once and never compared,
 * so they keep the digest as it comes and make their values of it when asked.
 */
export class XattrPair {
  readonly name: XattrName
  /** The value; of a metacopy only what comes before the digest; of a redirect to a digest's path nothing. */
  readonly #text: string
  readonly #hex: string
  /** Number of inodes that have it. */
  uses = 0
  /** Place in the shared table. */
  offset = -1

  private constructor(name: XattrName, text: string, hex: string) {
    this.name = name
    this.#text = text
    this.#hex = hex
  }

  static of(name: XattrName, value: string): XattrPair {
    return new XattrPair(name, value, '')
  }

  static metacopy(name: XattrName, hex: string): XattrPair {
    return new XattrPair(name, metacopyHeader(hex.length), hex)
  }

  static redirect(name: XattrName, hex: string): XattrPair {
    return new XattrPair(name, '', hex)
  }

  /** Bytes of the value. */
  get valueSize(): number {
    if (this.#hex === '') return this.#text.length
    return this.#text === '' ? this.#hex.length + 2 : this.#text.length + this.#hex.length / 2
  }

  /** Bytes of the whole entry, padding included. */
  get size(): number {
    return roundUp(xattrEntrySize + this.name.suffix.length + this.valueSize, 4)
  }

  /** Orders the values of two pairs by their bytes. */
  compareValue(other: XattrPair): number {
    const [a, b] = this.#text === other.#text ? [this.#hex, other.#hex] : [this.#value(), other.#value()]
    return a < b ? -1 : a > b ? 1 : 0
  }

  /** Puts the entry into the image. */
  write(image: Buffer, at: number): void {
    const { suffix, index } = this.name
    const hex = this.#hex
    const size = this.valueSize
    image[at] = suffix.length
    image[at + 1] = index
    image[at + 2] = size
    image[at + 3] = size >>> 8
    at += xattrEntrySize
    at += image.write(suffix, at, 'latin1')
    if (hex === '') {
      image.write(this.#text, at, 'latin1')
    } else if (this.#text !== '') {
      at += image.write(this.#text, at, 'latin1')
      image.write(hex, at, 'hex')
    } else {
      // `/`, two digits, `/`, the rest: moving two bytes is cheaper than cutting the string.
      image.write(hex, at + 2, 'latin1')
      image[at] = slash
      image[at + 1] = image[at + 2]!
      image[at + 2] = image[at + 3]!
      image[at + 3] = slash
    }
  }

  #value(): string {
    if (this.#hex === '') return this.#text
    if (this.#text === '') return `/${this.#hex.slice(0, 2)}/${this.#hex.slice(2)}`
    return this.#text + Buffer.from(this.#hex, 'hex').toString('latin1')
  }
}
