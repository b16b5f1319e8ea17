/**
 * The end of a pipeline that makes a directory on disk.
 *
 * @packageDocumentation
 */
import { Writable } from 'node:stream'
import type { ObjectDirectory } from '../repository/objects.ts'
import { type PipelineOptions, pipeline, type Sink } from '../streams/pipeline.ts'
import { recordHighWaterMark } from '../streams/stage.ts'
import type { FileSystem, WalkItem } from '../tree/filesystem.ts'
import { Checkout, type CheckoutResult } from './checkout.ts'
import type { CheckoutOptions } from './checkout-target.ts'
import { deferred } from './deferred.ts'

/** After so many names other work gets its turn, which may be what aborts. */
const turn = 64

/**
 * Writes the names of a tree (from `walk()`) out to a directory: owners, modes with their set-id bits, times to the
 * nanosecond, xattrs of every inode, hardlinks, devices, sockets, fifos and sparse files. Contents share the blocks of
 * the object store where the file system can, and are compared with their object ids.
 *
 * - Never follows a symlink and never leaves the directory: a descriptor is held for each level of the tree, and nothing
 *   is reached by a longer path than one name. Names that are no names (`..`, `a/b`) are refused.
 * - Takes a new or empty directory, unless `force` says otherwise; the directory itself must not be a symlink.
 * - What this user or file system cannot have (owners, devices, `trusted.` xattrs) is listed in the result. Programs
 *   whose owner cannot be restored lose their set-id bits.
 * - A file gets its name when it is complete. If something fails, what was made before stays, directories that are not
 *   complete closed to others (0700).
 *
 * Works on Linux with `/proc`. Devices, sockets, fifos and the last digits of times take koffi, xattrs koffi or fs-xattr.
 *
 * Errors: `ERR_ENTRY_EXISTS`, `ERR_PATH_INVALID`, `ERR_NAME_TOO_LONG`, `ERR_NO_SPACE`, `ERR_NOT_FOUND`,
 * `ERR_REPOSITORY_CORRUPT`, `ERR_SIZE_MISMATCH`, `ERR_ALGORITHM_MISMATCH`, `ERR_ARGUMENT` (no object store), `ERR_IO`,
 * `ERR_STREAM_ORDER`; the path is the one that was being made.
 *
 * @example
 * ```ts
 * import { Readable } from 'node:stream'
 * import { ObjectDirectory } from 'composefs-streams/repository'
 * import { DirectorySink } from 'composefs-streams/sinks'
 * import { pipeline } from 'composefs-streams/streams'
 * import type { FileSystem } from 'composefs-streams/tree'
 *
 * const write = async (fileSystem: FileSystem) => {
 *   const sink = new DirectorySink('./root', new ObjectDirectory('./objects', 'sha256'))
 *   const { inodes, notRestored } = await pipeline(Readable.from(fileSystem.walk()), sink)
 *   console.log(inodes, notRestored)
 * }
 * ```
 */
export class DirectorySink extends Writable implements Sink<WalkItem, CheckoutResult> {
  declare readonly '~takes'?: ((input: WalkItem) => void) | undefined
  readonly result: Promise<CheckoutResult>
  readonly #deferred = deferred<CheckoutResult>()
  readonly #checkout: Checkout
  readonly #abort = new AbortController()
  #working: Promise<void> = Promise.resolve()
  #count = 0

  /** @param objects where contents are; may be missing where no file of the tree has its contents in an object */
  constructor(directory: string, objects: ObjectDirectory | undefined, options: CheckoutOptions = {}) {
    super({ objectMode: true, highWaterMark: recordHighWaterMark })
    this.result = this.#deferred.promise
    this.#checkout = new Checkout(directory, objects, options)
  }

  override _write(item: WalkItem, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    const next = ++this.#count % turn === 0 ? () => setImmediate(callback) : () => callback()
    this.#working = this.#checkout.add(item, this.#abort.signal)
    this.#working.then(next, callback)
  }

  override _final(callback: (error?: Error | null) => void): void {
    try {
      this.#deferred.resolve(this.#checkout.finish())
    } catch (error) {
      callback(error as Error)
      return
    }
    callback()
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#abort.abort(error)
    // Descriptors must not be closed under a file that is being written.
    const end = (): void => {
      this.#checkout.close()
      this.#deferred.abandon(error, 'DirectorySink')
      callback(error)
    }
    this.#working.then(end, end)
  }
}

/**
 * Writes a whole tree out to a directory: a pipeline of its names and a {@link DirectorySink}, which says what holds.
 *
 * @throws {@link ComposefsError} the codes of {@link DirectorySink}; an `AbortError` where the signal says so
 * @example
 * ```ts
 * import { readFileSync } from 'node:fs'
 * import { readImage } from 'composefs-streams/erofs'
 * import { ObjectDirectory } from 'composefs-streams/repository'
 * import { checkoutTree } from 'composefs-streams/sinks'
 *
 * const { fileSystem } = readImage(readFileSync('image.cfs'))
 * const { notRestored } = await checkoutTree(fileSystem, new ObjectDirectory('./objects', 'sha256'), './root')
 * ```
 */
export function checkoutTree(
  fileSystem: FileSystem,
  objects: ObjectDirectory | undefined,
  directory: string,
  options: CheckoutOptions & PipelineOptions = {},
): Promise<CheckoutResult> {
  return pipeline(fileSystem.walk(), new DirectorySink(directory, objects, options), options)
}
