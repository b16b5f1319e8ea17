/**
 * The xattrs of all inodes of an image, each pair of name and value once.
 */
import type { ByteString } from '../bytes.ts'
import { ObjectId } from '../fsverity/object-id.ts'
import { escapeName, metacopyName, redirectName } from './overlay.ts'
import { XattrName, XattrPair } from './xattr-pair.ts'

/**
 * The metacopy and the redirect of one object. An image has as many of them as files, nearly all for one inode only:
 * unless they are shared, the two pairs are made whenever they are needed, and not kept.
 */
export class ObjectPairs {
  readonly hex: string
  /** Number of inodes that have both. */
  uses = 0
  metacopy: XattrPair | undefined = undefined
  redirect: XattrPair | undefined = undefined

  constructor(hex: string) {
    this.hex = hex
  }
}

/** Finds the one {@link XattrPair} for each name and value. The caller counts the uses. */
export class XattrTable {
  readonly #lustre: boolean
  readonly #names = new Map<string, XattrName>()
  readonly #escaped = new Map<string, XattrName>()
  readonly #pairs = new Map<XattrName, Map<string, XattrPair>>()
  readonly #objects = new Map<string, ObjectPairs>()
  readonly #metacopy: XattrName
  readonly #redirect: XattrName
  /** All digests of an image are equally long, so one size is enough to remember. */
  #measuredDigits = 0
  #measuredSize = 0

  constructor(lustre: boolean) {
    this.#lustre = lustre
    this.#metacopy = this.#name(metacopyName)
    this.#redirect = this.#name(redirectName)
  }

  /** A pair under the name it is stored with. */
  stored(full: ByteString, text: string): XattrPair {
    return this.#pair(this.#name(full), text)
  }

  /** An xattr of the tree, escaped where it must be. */
  input(inputName: ByteString, value: Buffer): XattrPair {
    let name = this.#escaped.get(inputName)
    if (name === undefined) {
      name = this.#name(escapeName(inputName))
      this.#escaped.set(inputName, name)
    }
    return this.#pair(name, value.toString('latin1'))
  }

  /** What files whose contents are the object `hex`, at the path that the digest gives, have in common. */
  object(hex: string): ObjectPairs {
    let object = this.#objects.get(hex)
    if (object === undefined) {
      object = new ObjectPairs(hex)
      this.#objects.set(hex, object)
    }
    return object
  }

  /** Both pairs of an object, metacopy first. */
  objectPairs({ hex, metacopy, redirect }: ObjectPairs): [metacopy: XattrPair, redirect: XattrPair] {
    return [metacopy ?? XattrPair.metacopy(this.#metacopy, hex), redirect ?? XattrPair.redirect(this.#redirect, hex)]
  }

  /** Bytes of both entries. */
  objectSize({ hex }: ObjectPairs): number {
    if (hex.length !== this.#measuredDigits) {
      const [metacopy, redirect] = this.objectPairs(new ObjectPairs(hex))
      this.#measuredDigits = hex.length
      this.#measuredSize = metacopy.size + redirect.size
    }
    return this.#measuredSize
  }

  /** The pair that says that a file's contents are elsewhere, verified by the digest `hex` or not at all. */
  metacopy(hex: string | undefined): XattrPair {
    if (hex === undefined) return this.#pair(this.#metacopy, '')
    const object = this.object(hex)
    object.metacopy ??= XattrPair.metacopy(this.#metacopy, hex)
    return object.metacopy
  }

  /** The pair that says where they are. */
  redirect(path: ByteString): XattrPair {
    // The same path may come from a digest.
    const hex = ObjectId.fromPath(path)?.hex
    if (hex === undefined) return this.#pair(this.#redirect, `/${path}`)
    const object = this.object(hex)
    object.redirect ??= XattrPair.redirect(this.#redirect, hex)
    return object.redirect
  }

  /** Whether some inode has an xattr of exactly this stored name. */
  has(full: ByteString): boolean {
    const name = this.#names.get(full)
    const pairs = name && this.#pairs.get(name)
    return pairs !== undefined && [...pairs.values()].some((pair) => pair.uses > 0)
  }

  /** The pairs that more than one inode has, in no particular order. */
  shared(): XattrPair[] {
    const list: XattrPair[] = []
    for (const object of this.#objects.values()) {
      const { uses, hex, metacopy, redirect } = object
      if (uses + (metacopy?.uses ?? 0) > 1) {
        object.metacopy ??= XattrPair.metacopy(this.#metacopy, hex)
        list.push(object.metacopy)
      }
      if (uses + (redirect?.uses ?? 0) > 1) {
        object.redirect ??= XattrPair.redirect(this.#redirect, hex)
        list.push(object.redirect)
      }
    }
    for (const pairs of this.#pairs.values()) {
      for (const pair of pairs.values()) if (pair.uses > 1) list.push(pair)
    }
    return list
  }

  #name(full: ByteString): XattrName {
    let name = this.#names.get(full)
    if (name === undefined) {
      name = new XattrName(full, this.#lustre)
      this.#names.set(full, name)
      this.#pairs.set(name, new Map())
    }
    return name
  }

  #pair(name: XattrName, text: string): XattrPair {
    const pairs = this.#pairs.get(name)!
    let pair = pairs.get(text)
    if (pair === undefined) {
      pair = XattrPair.of(name, text)
      pairs.set(text, pair)
    }
    return pair
  }
}
