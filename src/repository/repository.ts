/**
 * A composefs repository (spec: repository): verified objects, the streams and images made of them, and their names.
 *
 * @packageDocumentation
 */
import { accessSync, closeSync, constants } from 'node:fs'
import { resolve } from 'node:path'
import type { Readable } from 'node:stream'
import { ComposefsError } from '../errors.ts'
import type { Algorithm, ObjectId } from '../fsverity/object-id.ts'
import { systemError } from '../native/errno.ts'
import { collectGarbage, type GarbageOptions, type GarbageResult } from './gc.ts'
import { ImageLinks, type NamedImage } from './images.ts'
import { type InitOptions, initRepository } from './init.ts'
import { type LockOptions, lockDirectory } from './lock.ts'
import { type ErofsFormats, effectiveFormats, type Metadata, unknownReadOnlyFeatures } from './metadata.ts'
import { writeMetadata } from './metadata-file.ts'
import type { RefKind } from './names.ts'
import type { ReadOptions } from './object-reader.ts'
import { ObjectDirectory, type ObjectStats } from './objects.ts'
import { type OpenedRoot, type OpenOptions, openRoot } from './open.ts'
import { listRefs, type Ref, removeRef } from './refs.ts'
import { type ResolvedStream, StreamLinks } from './streams.ts'
import { syncFileSystem } from './sync.ts'
import { type CommitOptions, type RefArguments, Transaction } from './transaction.ts'

/**
 * An open repository. As long as it is open it holds a shared lock, so that no garbage collection of any composefs
 * tool removes what was stored and is not linked yet (this takes koffi or flock(1), see {@link locked}).
 *
 * @example
 * ```ts
 * import { Repository } from 'composefs-streams/repository'
 *
 * const repository = await Repository.init('/tmp/repository', { insecure: 'auto' })
 * const id = repository.objects.put(Buffer.from('an image'))
 * await repository.transaction((transaction) => transaction.linkImage(id).setRef('images', 'mine', id))
 * console.log(repository.listImages())
 * await repository.close()
 * ```
 */
export class Repository implements AsyncDisposable {
  /** Absolute. */
  readonly path: string
  readonly metadata: Metadata
  readonly algorithm: Algorithm
  /** The image formats to write, as the repository or `erofsVersion` says. */
  readonly formats: ErofsFormats
  /** Whether every object must have fs-verity. */
  readonly verityRequired: boolean
  /** Whether garbage collection is kept away: false where nothing can lock, which `onLock` tells. */
  readonly locked: boolean
  /** Where contents are stored: an `ObjectStore` for the stages. */
  readonly objects: ObjectDirectory
  readonly #streams: StreamLinks
  readonly #images: ImageLinks
  readonly #fd: number
  #closed = false
  #checkedWritable = false
  readonly #onLock: LockOptions['onLock']
  #upgradePending: boolean
  #isNew = false
  /** They use the descriptor. */
  readonly #syncing = new Set<Promise<void>>()

  private constructor(opened: OpenedRoot, options: OpenOptions) {
    const { path, fd, locked, metadata, verityRequired, upgradePending } = opened
    this.path = path
    this.metadata = metadata
    this.algorithm = metadata.algorithm
    const { erofsVersion } = options
    this.formats = erofsVersion === undefined ? effectiveFormats(metadata) : { default: erofsVersion, extra: [] }
    this.verityRequired = verityRequired && options.insecure !== true
    this.locked = locked
    this.#fd = fd
    this.#upgradePending = upgradePending
    this.#onLock = options.onLock
    this.objects = new ObjectDirectory(`${path}/objects`, metadata.algorithm, {
      verity: this.verityRequired ? 'required' : 'wanted',
      verifyObjects: options.verifyObjects ?? false,
      beforeWrite: () => this.assertWritable(),
    })
    this.#streams = new StreamLinks(path, this.objects)
    this.#images = new ImageLinks(path, this.objects)
  }

  /**
   * Makes a repository, unless there is one with the same configuration, and opens it. See {@link isNew}.
   *
   * @throws {@link ComposefsError} `ERR_REPOSITORY_EXISTS`, `ERR_REPOSITORY_VERITY` (pass `insecure`),
   * `ERR_NATIVE_MISSING`, and what {@link Repository.open} throws
   */
  static async init(path: string, options: InitOptions & LockOptions = {}): Promise<Repository> {
    const made = initRepository(resolve(path), options)
    const { signal, onLock } = options
    const repository = await Repository.open(path, { signal, onLock })
    repository.#isNew = made
    return repository
  }

  /**
   * Opens a repository; waits while a garbage collection is running.
   *
   * @throws {@link ComposefsError} `ERR_REPOSITORY_MISSING`, `ERR_REPOSITORY_METADATA`, `ERR_ALGORITHM_MISMATCH`,
   * `ERR_IO`; the reason of `signal`
   */
  static async open(path: string, options: OpenOptions = {}): Promise<Repository> {
    return new Repository(await openRoot(resolve(path), options), options)
  }

  /** Whether `init` made this repository just now. */
  get isNew(): boolean {
    return this.#isNew
  }

  /** What was stored since the repository was opened. */
  get stats(): Readonly<ObjectStats> {
    return this.objects.stats
  }

  /** Lets go of the lock. What is not linked by then is open to garbage collection. May be called again. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await Promise.allSettled(this.#syncing)
    closeSync(this.#fd)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /**
   * Checks that something may be written, before work is done in vain. Every method that writes does so itself.
   *
   * @throws {@link ComposefsError} `ERR_REPOSITORY_READONLY` where the repository has features that this package does
   * not know, or permissions or the mount forbid it; `ERR_ARGUMENT` where it is closed
   */
  assertWritable(): void {
    this.#assertOpen()
    if (this.#checkedWritable) return
    const unknown = unknownReadOnlyFeatures(this.metadata)
    if (unknown.length > 0) {
      throw new ComposefsError('ERR_REPOSITORY_READONLY', `only a newer program may write: ${unknown.join(', ')}`, {
        path: this.path,
        hint: 'it uses features that this program does not know; reading works',
      })
    }
    try {
      accessSync(this.path, constants.W_OK)
    } catch (error) {
      throw systemError(error, 'write', 'the repository is not writable', this.path)
    }
    if (this.#upgradePending) {
      writeMetadata(this.path, this.metadata, this.verityRequired ? 'required' : 'off')
      this.#upgradePending = false
    }
    this.#checkedWritable = true
  }

  /** The contents of an object, verified. Throws as `ObjectDirectory.read` does. */
  readObject(id: ObjectId, options?: ReadOptions): Buffer {
    return this.objects.read(id, options)
  }

  /** The contents of an object as a stream, which fails at its end if they were wrong. */
  openObject(id: ObjectId, options?: ReadOptions): Readable {
    return this.objects.open(id, options)
  }

  hasObject(id: ObjectId): boolean {
    return this.objects.has(id)
  }

  /**
   * The splitstream of a content, if the stream and its object are there; nothing is read.
   *
   * @throws {@link ComposefsError} `ERR_REPOSITORY_CORRUPT` where the link leads elsewhere, `ERR_ARGUMENT`
   */
  hasStream(contentId: string): ObjectId | undefined {
    return this.#streams.find(contentId)
  }

  /**
   * Finds a stream by its content id, or by a ref (`refs/NAME`).
   *
   * @throws {@link ComposefsError} `ERR_NOT_FOUND`, `ERR_REPOSITORY_CORRUPT`, `ERR_OCI_NAME`, `ERR_ARGUMENT`
   */
  resolveStream(name: string): ResolvedStream {
    return this.#streams.resolve(name)
  }

  /** The content ids of all streams, sorted. */
  listStreams(): string[] {
    return this.#streams.list()
  }

  /**
   * Finds an image: by its id in hex, by a ref (`refs/NAME`), or by the name of a ref that has no slash. Who gives an
   * id gets an image that has it: its contents are checked (see `verify`).
   *
   * @throws {@link ComposefsError} `ERR_NOT_FOUND`, `ERR_REPOSITORY_CORRUPT`, `ERR_ALGORITHM_MISMATCH`, `ERR_OCI_NAME`
   */
  resolveImage(name: string, options: { readonly verify?: boolean } = {}): ObjectId {
    const { id, byId } = this.#images.resolve(name)
    if (options.verify ?? byId) this.objects.verify(id)
    return id
  }

  /** All names of images, sorted, and what they name. */
  listImages(): NamedImage[] {
    return this.#images.named()
  }

  /** The ids of all images, named or not, sorted. */
  listImageIds(): ObjectId[] {
    return this.#images.list()
  }

  /**
   * The refs below a prefix (`oci`), all of them without; names are relative to it and sorted. Tags are encoded: see
   * `decodeTag`.
   *
   * @throws {@link ComposefsError} `ERR_OCI_NAME`, `ERR_IO`
   */
  listRefs(kind: RefKind, prefix?: string): Ref[] {
    return listRefs(this.path, kind, prefix)
  }

  /**
   * Removes a ref, on disk as well; what it named is left to garbage collection.
   *
   * @throws {@link ComposefsError} `ERR_NOT_FOUND`, `ERR_OCI_NAME`, `ERR_REPOSITORY_READONLY`, `ERR_IO`
   */
  removeRef(kind: RefKind, name: string): void {
    this.assertWritable()
    removeRef(this.path, kind, name)
  }

  /**
   * Makes a stream known by its id, so that garbage collection by cfsctl follows what refers to it, wherever the link of
   * its content leads. It stays until nothing does.
   *
   * @throws {@link ComposefsError} `ERR_REPOSITORY_READONLY`, `ERR_NO_SPACE`, `ERR_IO`
   */
  keepStream(id: ObjectId): void {
    this.assertWritable()
    this.#streams.keep(id)
  }

  /**
   * Publishes links and refs together, after everything they lead to is on disk. Inside `fill` nothing shows yet; if it
   * throws, nothing is published.
   *
   * @returns what `fill` returns
   * @throws {@link ComposefsError} what `Transaction.commit` and its methods throw
   */
  async transaction<T>(fill: (transaction: Transaction) => T | Promise<T>, options: CommitOptions = {}): Promise<T> {
    const transaction = new Transaction({
      root: this.path,
      objects: this.objects,
      streams: this.#streams,
      images: this.#images,
      locked: this.locked,
      onLock: this.#onLock,
      assertWritable: () => this.assertWritable(),
      sync: () => this.sync(),
    })
    const result = await fill(transaction)
    await transaction.commit(options)
    return result
  }

  /** A {@link transaction} of one: makes a stored splitstream known as the stream of a content. */
  async linkStream(contentId: string, id: ObjectId): Promise<void> {
    await this.transaction((transaction) => transaction.linkStream(contentId, id))
  }

  /** A {@link transaction} of one: makes a stored object known as an image. */
  async linkImage(id: ObjectId): Promise<void> {
    await this.transaction((transaction) => transaction.linkImage(id))
  }

  /** A {@link transaction} of one: names a stream or an image. */
  async setRef(...ref: RefArguments): Promise<void> {
    await this.transaction((transaction) => transaction.setRef(...ref))
  }

  /**
   * Removes what no ref leads to: objects, links, what killed writers left, empty directories. Everything that a ref
   * leads to stays, whatever tool made it: through splitstreams and images, linked or not. Waits for the exclusive lock,
   * and so for all who have the repository open.
   *
   * @throws {@link ComposefsError} `ERR_REPOSITORY_UNNAMED`; `ERR_NOT_FOUND` for a root that does not exist; where
   * something that is needed cannot be read, the code of that: nothing was removed in all these cases.
   * `ERR_NATIVE_MISSING` without locks, `ERR_REPOSITORY_READONLY`, `ERR_IO`; the reason of `signal`
   */
  async collectGarbage(options: GarbageOptions & LockOptions = {}): Promise<GarbageResult> {
    // A dry run removes nothing, and needs nobody to wait.
    if (options.dryRun === true) return collectGarbage(this.path, this.objects, options)
    this.assertWritable()
    await lockDirectory(this.#fd, this.path, 'exclusive', options)
    try {
      return await collectGarbage(this.path, this.objects, options)
    } finally {
      this.objects.forget()
      await lockDirectory(this.#fd, this.path, 'shared')
    }
  }

  /**
   * Brings everything written so far to disk: one call for the whole file system, instead of one for each object.
   *
   * @throws {@link ComposefsError} `ERR_NO_SPACE`, `ERR_IO`; `ERR_NATIVE_MISSING` where there is neither koffi nor a
   * `sync` program
   */
  async sync(): Promise<void> {
    this.#assertOpen()
    const syncing = syncFileSystem(this.#fd, this.path)
    this.#syncing.add(syncing)
    try {
      await syncing
    } finally {
      this.#syncing.delete(syncing)
    }
  }

  #assertOpen(): void {
    if (this.#closed) throw new ComposefsError('ERR_ARGUMENT', 'the repository is closed', { path: this.path })
  }
}
