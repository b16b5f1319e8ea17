/**
 * Streams: links from the id of a content (`oci-layer-sha256:…`) to the splitstream that holds it.
 *
 * @packageDocumentation
 */
import { ComposefsError } from '../errors.ts'
import { ObjectId } from '../fsverity/object-id.ts'
import { followLink, listDirectory, placeLink } from './links.ts'
import { checkContentId } from './names.ts'
import type { ObjectDirectory } from './objects.ts'
import { readRef } from './refs.ts'

/** A stream that was found: the id of its content, and the object that is its splitstream. */
export interface ResolvedStream {
  readonly contentId: string
  readonly id: ObjectId
}

/**
 * The object that a first-level link (`streams/X`, `images/X`) leads to, undefined if there is no such link.
 *
 * @param text what the link says, where that is known
 * @throws {@link ComposefsError} `ERR_REPOSITORY_CORRUPT` where it leads anywhere but to an object of this repository
 */
export function readObjectLink(
  root: string,
  link: string,
  objects: ObjectDirectory,
  text?: string,
): ObjectId | undefined {
  const path = followLink(root, link, text)
  if (path === undefined) return undefined
  const id = path.startsWith('objects/') ? ObjectId.fromPath(path.slice('objects/'.length)) : undefined
  if (id?.algorithm === objects.algorithm) return id
  throw new ComposefsError('ERR_REPOSITORY_CORRUPT', 'a link does not lead to an object of this repository', {
    path: link,
    actual: path,
    hint: 'import or pull again what it belongs to: then it is replaced',
  })
}

/** The streams of one repository. */
export class StreamLinks {
  readonly #root: string
  readonly #objects: ObjectDirectory

  constructor(root: string, objects: ObjectDirectory) {
    this.#root = root
    this.#objects = objects
  }

  /** The splitstream of a content, if its link and the object it leads to are there. @throws as {@link resolve} */
  find(contentId: string): ObjectId | undefined {
    const id = readObjectLink(this.#root, `streams/${checkContentId(contentId)}`, this.#objects)
    return id !== undefined && this.#objects.has(id) ? id : undefined
  }

  /** Finds a stream by its content id, or by a ref (`refs/…`). */
  resolve(name: string): ResolvedStream {
    const contentId = name.startsWith('refs/') ? readRef(this.#root, 'streams', name.slice('refs/'.length)) : name
    const id = contentId === undefined ? undefined : this.find(contentId)
    if (contentId !== undefined && id !== undefined) return { contentId, id }
    throw new ComposefsError('ERR_NOT_FOUND', 'there is no such stream in the repository', {
      path: name,
      hint:
        contentId === undefined || contentId === name
          ? 'a ref is written refs/NAME'
          : 'what the ref names is gone: import or pull it again',
    })
  }

  /** Makes an object known as the stream of a content. The one that was it so far stays known by its id. */
  link(contentId: string, id: ObjectId): void {
    const link = `streams/${checkContentId(contentId)}`
    const former = this.target(contentId)
    if (former?.equals(id) === false) this.keep(former)
    const replaced = placeLink(this.#root, link, `objects/${id.path}`)
    // Another program may have re-pointed it after we had looked.
    const last = replaced === undefined ? undefined : this.target(contentId, replaced)
    if (last !== undefined && former?.equals(last) !== true) this.keep(last)
  }

  /**
   * Makes a stream known by its id. Other streams refer to it by that, and the reference's garbage collection follows a
   * reference only to what some link leads to at that time. Once nothing refers to it, that removes object and link.
   */
  keep(id: ObjectId): void {
    if (this.#objects.has(id)) placeLink(this.#root, `streams/by-id-${id.hex}`, `objects/${id.path}`)
  }

  /** Where the link of a content leads, whether or not that is there; undefined where it leads to no object. */
  target(contentId: string, text?: string): ObjectId | undefined {
    try {
      return readObjectLink(this.#root, `streams/${checkContentId(contentId)}`, this.#objects, text)
    } catch (error) {
      if (error instanceof ComposefsError && error.code === 'ERR_REPOSITORY_CORRUPT') return undefined
      throw error
    }
  }

  /** The ids of all contents, sorted. */
  list(): string[] {
    return listDirectory(`${this.#root}/streams`)
      .filter(({ type }) => type === 'link')
      .map(({ name }) => name)
      .sort()
  }
}
