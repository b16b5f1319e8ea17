/**
 * Publishing what was stored, in the order that survives a crash at any moment.
 *
 * @packageDocumentation
 */
import { closeSync, openSync } from 'node:fs'
import { ComposefsError } from '../errors.ts'
import type { ObjectId } from '../fsverity/object-id.ts'
import { systemError } from '../native/errno.ts'
import type { ImageLinks } from './images.ts'
import { type LockOptions, lockDirectory } from './lock.ts'
import { metadataName } from './metadata.ts'
import { checkAlgorithm, checkContentId, checkRefName } from './names.ts'
import type { ObjectDirectory } from './objects.ts'
import { placeRef } from './refs.ts'
import type { StreamLinks } from './streams.ts'
import { directoriesAbove, syncDirectory } from './sync.ts'

/** What a {@link Transaction} acts on. */
export interface TransactionContext {
  readonly root: string
  readonly objects: ObjectDirectory
  readonly streams: StreamLinks
  readonly images: ImageLinks
  /** Whether there can be locks. Without them nobody keeps anybody from publishing. */
  readonly locked: boolean
  readonly onLock: LockOptions['onLock']
  assertWritable(): void
  /** Brings everything stored to disk. */
  sync(): Promise<void>
}

/** How a transaction is committed: `signal` ends the wait for others who publish. */
export type CommitOptions = Pick<LockOptions, 'signal'>

/** A name for a stream (by its content id) or for an image (by its id). */
export type RefArguments =
  | readonly [kind: 'streams', name: string, contentId: string]
  | readonly [kind: 'images', name: string, id: ObjectId]

/** How often to decide anew because another program re-points the same links. */
const maxTries = 4

/**
 * Links and refs that are to appear together. Nothing shows before {@link commit}, which checks that all objects are
 * there, brings them to disk with one sync, then makes the links, then the refs, and brings these to disk as well: no
 * name ever leads to what is missing, and what was published stays so.
 */
export class Transaction {
  readonly #context: TransactionContext
  #decisions: (() => void)[] = []
  #streams = new Map<string, ObjectId>()
  #images = new Map<string, ObjectId>()
  #refs = new Map<string, RefArguments>()

  constructor(context: TransactionContext) {
    this.#context = context
  }

  /**
   * Puts off what depends on the links that are there until {@link commit}: `decide` is called when nobody else who
   * uses this package can change them, reads them, and adds links and refs to this transaction. It is called again where
   * another program has changed them meanwhile.
   */
  defer(decide: () => void): this {
    this.#decisions.push(decide)
    return this
  }

  /**
   * Makes a stored splitstream known as the stream of a content; a former one is replaced, and stays as long as other
   * streams refer to it.
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
    this.#refs.set(`${ref[0]}/refs/${ref[1]}`, ref)
    return this
  }

  /**
   * Publishes everything, while all others who use this package wait. Once done the transaction is empty and may be used
   * again.
   *
   * @throws {@link ComposefsError} `ERR_NOT_FOUND` where an object, or what a ref names, is missing (nothing is
   * published then), `ERR_NO_SPACE`, `ERR_REPOSITORY_READONLY`, `ERR_IO`; an `AbortError` when `signal` fires
   */
  async commit({ signal }: CommitOptions = {}): Promise<void> {
    this.#context.assertWritable()
    const unlock = await lockPublishing(this.#context, signal)
    try {
      for (let left = maxTries; ; left--) {
        for (const decide of this.#decisions) decide()
        this.#assertStored()
        const before = this.#targets()
        // What is linked already was brought to disk then.
        if (this.#streams.size + this.#images.size > 0) await this.#context.sync()
        const isLast = left <= 1 || this.#decisions.length === 0
        if (!isLast && this.#targets() !== before) continue
        this.#place()
        if (this.#stands() || isLast) break
      }
      await this.#syncLinks()
    } finally {
      unlock()
    }
    this.#decisions = []
    this.#streams = new Map()
    this.#images = new Map()
    this.#refs = new Map()
  }

  /** Where the links lead that are to be made: cfsctl takes no lock to re-point them. */
  #targets(): string {
    return [...this.#streams.keys()].map((contentId) => this.#context.streams.target(contentId)?.hex ?? '-').join()
  }

  #assertStored(): void {
    const { objects } = this.#context
    for (const id of [...this.#streams.values(), ...this.#images.values()]) {
      if (!objects.has(id)) throw missing('an object', id.hex, 'store it first')
    }
    for (const ref of this.#refs.values()) {
      if (!this.#exists(ref)) throw missing(`what the ref ${ref[1]} is to name`, `${ref[0]}/${ref[2]}`, 'link it first')
    }
  }

  #place(): void {
    const { root, streams, images } = this.#context
    for (const [contentId, id] of this.#streams) streams.link(contentId, id)
    for (const id of this.#images.values()) images.link(id)
    for (const [kind, name, target] of this.#refs.values()) {
      placeRef(root, kind, name, typeof target === 'string' ? target : target.hex)
    }
  }

  /** Whether the links lead where they should. What lost its link already stays known by its id. */
  #stands(): boolean {
    const { objects, streams } = this.#context
    let stands = true
    for (const [contentId, id] of this.#streams) {
      if (!objects.has(id)) {
        throw new ComposefsError('ERR_REPOSITORY_CORRUPT', 'an object went while it was published', {
          path: id.hex,
          hint: 'a program collects garbage and heeds no lock: stop it, and import again',
        })
      }
      if (streams.target(contentId)?.equals(id) === true) continue
      streams.keep(id)
      stands = false
    }
    return stands
  }

  async #syncLinks(): Promise<void> {
    const links = [
      ...[...this.#streams.keys()].map((contentId) => `streams/${contentId}`),
      ...[...this.#images.keys()].map((hex) => `images/${hex}`),
      ...this.#refs.keys(),
    ]
    for (const directory of directoriesAbove(links)) await syncDirectory(`${this.#context.root}/${directory}`)
  }

  #exists(ref: RefArguments): boolean {
    const { streams, images } = this.#context
    if (ref[0] === 'streams') return this.#streams.has(ref[2]) || streams.find(ref[2]) !== undefined
    return this.#images.has(ref[2].hex) || images.has(ref[2])
  }
}

/**
 * Waits until nobody else who uses this package publishes in the repository, and keeps them from it; the function that it
 * returns ends that. The lock is on `meta.json`: that on the directory is shared by all who import, and no other program
 * takes one on the file.
 */
async function lockPublishing(
  { root, locked, onLock }: TransactionContext,
  signal: AbortSignal | undefined,
): Promise<() => void> {
  if (!locked) return () => {}
  const path = `${root}/${metadataName}`
  let fd: number
  try {
    fd = openSync(path, 'r')
  } catch (error) {
    throw systemError(error, 'write', 'cannot lock the repository', path)
  }
  try {
    await lockDirectory(fd, path, 'exclusive', { signal, onLock })
  } catch (error) {
    // NFS shares locks on what is open for reading, and does no more.
    if (!(error instanceof ComposefsError) || error.code !== 'ERR_NATIVE_MISSING') {
      closeSync(fd)
      throw error
    }
  }
  return () => closeSync(fd)
}

function missing(what: string, path: string, hint: string): ComposefsError {
  return new ComposefsError('ERR_NOT_FOUND', `${what} is not in the repository`, { path, hint })
}
