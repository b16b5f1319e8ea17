/**
 * Publishing what was stored, in the order that survives a crash at any moment.
 *
 * @packageDocumentation
 */
import { ComposefsError } from '../errors.ts'
import type { ObjectId } from '../fsverity/object-id.ts'
import type { ImageLinks } from './images.ts'
import { checkAlgorithm, checkContentId, checkRefName } from './names.ts'
import type { ObjectDirectory } from './objects.ts'
import { placeRef } from './refs.ts'
import type { StreamLinks } from './streams.ts'

/** What a {@link Transaction} acts on. */
export interface TransactionContext {
  readonly root: string
  readonly objects: ObjectDirectory
  readonly streams: StreamLinks
  readonly images: ImageLinks
  assertWritable(): void
  /** Brings everything stored to disk. */
  sync(): Promise<void>
}

/** A name for a stream (by its content id) or for an image (by its id). */
export type RefArguments =
  | readonly [kind: 'streams', name: string, contentId: string]
  | readonly [kind: 'images', name: string, id: ObjectId]

/**
 * Links and refs that are to appear together. Nothing shows before {@link commit}, which checks that all objects are
 * there, brings them to disk with one sync, then makes the links, then the refs: no name ever leads to what is missing.
 */
export class Transaction {
  readonly #context: TransactionContext
  #streams = new Map<string, ObjectId>()
  #images = new Map<string, ObjectId>()
  #refs: RefArguments[] = []

  constructor(context: TransactionContext) {
    this.#context = context
  }

  /**
   * Makes a stored splitstream known as the stream of a content; a former one is replaced.
   *
   * @throws {@link ComposefsError} `ERR_ARGUMENT`, `ERR_ALGORITHM_MISMATCH`
   */
  linkStream(contentId: string, id: ObjectId): this {
    this.#streams.set(checkContentId(contentId), checkAlgorithm(id, this.#context.objects.algorithm))
    return this
  }

  /** Makes a stored object known as an image. @throws {@link ComposefsError} `ERR_ALGORITHM_MISMATCH` */
  linkImage(id: ObjectId): this {
    this.#images.set(id.hex, checkAlgorithm(id, this.#context.objects.algorithm))
    return this
  }

  /**
   * Names a stream (by its content id) or an image (by its id). A ref that exists is re-pointed.
   *
   * @throws {@link ComposefsError} `ERR_OCI_NAME` for a name that would not stay below `refs`, `ERR_ARGUMENT`
   */
  setRef(...ref: RefArguments): this {
    checkRefName(ref[1])
    if (ref[0] === 'streams') checkContentId(ref[2])
    else checkAlgorithm(ref[2], this.#context.objects.algorithm)
    this.#refs.push(ref)
    return this
  }

  /**
   * Publishes everything. Once done the transaction is empty and may be used again.
   *
   * @throws {@link ComposefsError} `ERR_NOT_FOUND` where an object, or what a ref names, is missing (nothing is
   * published then), `ERR_NO_SPACE`, `ERR_REPOSITORY_READONLY`, `ERR_IO`
   */
  async commit(): Promise<void> {
    const { root, objects, streams, images } = this.#context
    this.#context.assertWritable()
    for (const id of [...this.#streams.values(), ...this.#images.values()]) {
      if (!objects.has(id)) throw missing('an object', id.hex, 'store it first')
    }
    for (const ref of this.#refs) {
      if (!this.#exists(ref)) throw missing(`what the ref ${ref[1]} is to name`, `${ref[0]}/${ref[2]}`, 'link it first')
    }
    // What is linked already was brought to disk then.
    if (this.#streams.size + this.#images.size > 0) await this.#context.sync()
    for (const [contentId, id] of this.#streams) streams.link(contentId, id)
    for (const id of this.#images.values()) images.link(id)
    for (const [kind, name, target] of this.#refs) {
      placeRef(root, kind, name, typeof target === 'string' ? target : target.hex)
    }
    this.#streams = new Map()
    this.#images = new Map()
    this.#refs = []
  }

  #exists(ref: RefArguments): boolean {
    const { streams, images } = this.#context
    if (ref[0] === 'streams') return this.#streams.has(ref[2]) || streams.find(ref[2]) !== undefined
    return this.#images.has(ref[2].hex) || images.has(ref[2])
  }
}

function missing(what: string, path: string, hint: string): ComposefsError {
  return new ComposefsError('ERR_NOT_FOUND', `${what} is not in the repository`, { path, hint })
}
