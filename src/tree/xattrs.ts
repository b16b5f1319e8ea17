/**
 * Extended attributes of an inode.
 *
 * @packageDocumentation
 */
import type { ByteString } from '../bytes.ts'

/** Name (full, with its namespace) and value of one attribute. */
export type Xattr = readonly [name: ByteString, value: Buffer]

/**
 * A map of extended attributes, sorted by the bytes of their names. A value: `with` and `filter` return another map.
 *
 * @example
 * ```ts
 * import { bytesOf, Xattrs } from 'composefs-streams/tree'
 *
 * const xattrs = Xattrs.of([[bytesOf('user.a'), Buffer.from('1')]]).with(bytesOf('user.a'), Buffer.from('2'))
 * ```
 */
export class Xattrs {
  readonly #list: readonly Xattr[]

  private constructor(list: readonly Xattr[]) {
    this.#list = list
  }

  /** No attributes. */
  static readonly empty: Xattrs = new Xattrs([])

  /** Of two attributes with the same name the later one holds. */
  static of(list: Iterable<Xattr>): Xattrs {
    const map = new Map<ByteString, Buffer>()
    for (const [name, value] of list) map.set(name, value)
    if (map.size === 0) return Xattrs.empty
    return new Xattrs([...map].sort(byName))
  }

  get size(): number {
    return this.#list.length
  }

  get(name: ByteString): Buffer | undefined {
    return this.#list.find((xattr) => xattr[0] === name)?.[1]
  }

  has(name: ByteString): boolean {
    return this.get(name) !== undefined
  }

  /** With this attribute added, or its value replaced. */
  with(name: ByteString, value: Buffer): Xattrs {
    return Xattrs.of([...this.#list, [name, value]])
  }

  /** Only the attributes whose names pass. */
  filter(keep: (name: ByteString) => boolean): Xattrs {
    const list = this.#list.filter((xattr) => keep(xattr[0]))
    return list.length === this.#list.length ? this : list.length === 0 ? Xattrs.empty : new Xattrs(list)
  }

  equals(other: Xattrs): boolean {
    return (
      this.size === other.size &&
      this.#list.every(([name, value], i) => {
        const theirs = other.#list[i]!
        return theirs[0] === name && theirs[1].equals(value)
      })
    )
  }

  /** In the order of the names. */
  [Symbol.iterator](): Iterator<Xattr> {
    return this.#list[Symbol.iterator]()
  }
}

function byName(a: Xattr, b: Xattr): number {
  return a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0
}
