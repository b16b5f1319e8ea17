/**
 * Images: links that say which objects are EROFS images, and their names.
 *
 * @packageDocumentation
 */
import { ComposefsError } from '../errors.ts'
import { ObjectId } from '../fsverity/object-id.ts'
import { listDirectory, placeLink } from './links.ts'
import { checkAlgorithm } from './names.ts'
import type { ObjectDirectory } from './objects.ts'
import { listRefs, readRef } from './refs.ts'
import { readObjectLink } from './streams.ts'

/** An image that has a name. */
export interface NamedImage {
  readonly name: string
  readonly id: ObjectId
}

/** The images of one repository. */
export class ImageLinks {
  readonly #root: string
  readonly #objects: ObjectDirectory

  constructor(root: string, objects: ObjectDirectory) {
    this.#root = root
    this.#objects = objects
  }

  /** Whether this object is linked as an image, and there. */
  has(id: ObjectId): boolean {
    return readObjectLink(this.#root, `images/${id.hex}`, this.#objects)?.equals(id) === true && this.#objects.has(id)
  }

  /** Finds an image by id (hex, or with its algorithm), by ref (`refs/…`), or by the bare name of a ref. */
  resolve(name: string): { id: ObjectId; byId: boolean } {
    if (/^(?:sha(?:256|512):)?(?:[0-9a-f]{64}|[0-9a-f]{128})$/.test(name)) {
      const id = checkAlgorithm(ObjectId.parse(name), this.#objects.algorithm)
      if (this.has(id)) return { id, byId: true }
    } else {
      const ref = name.startsWith('refs/') ? name.slice('refs/'.length) : name.includes('/') ? undefined : name
      const target = ref === undefined ? undefined : readRef(this.#root, 'images', ref)
      const id = target === undefined ? undefined : this.#idOf(target)
      if (id !== undefined && this.has(id)) return { id, byId: false }
    }
    throw new ComposefsError('ERR_NOT_FOUND', 'there is no such image in the repository', {
      path: name,
      hint: 'give the id of an image, or a name as refs/NAME',
    })
  }

  link(id: ObjectId): void {
    placeLink(this.#root, `images/${id.hex}`, `objects/${id.path}`)
  }

  /** The ids of all images, named or not, sorted. */
  list(): ObjectId[] {
    return listDirectory(`${this.#root}/images`)
      .flatMap(({ name, type }) => (type === 'link' ? (this.#idOf(name) ?? []) : []))
      .sort((a, b) => (a.hex < b.hex ? -1 : 1))
  }

  /** The names of images, sorted. */
  named(): NamedImage[] {
    return listRefs(this.#root, 'images').flatMap(({ name, target }) => {
      const id = this.#idOf(target)
      return id === undefined ? [] : { name, id }
    })
  }

  #idOf(hex: string): ObjectId | undefined {
    return ObjectId.fromPath(`${hex.slice(0, 2)}/${hex.slice(2)}`)
  }
}
