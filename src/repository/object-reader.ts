/**
 * Reading objects, and making sure that they are what their name says.
 *
 * @packageDocumentation
 */
import { close, closeSync, constants, fstat, fstatSync, open, openSync, read, readSync, type Stats } from 'node:fs'
import { Readable } from 'node:stream'
import { ComposefsError, type ErrorCode } from '../errors.ts'
import { FsVerityHasher, fsverityDigest } from '../fsverity/merkle.ts'
import type { Algorithm, ObjectId } from '../fsverity/object-id.ts'
import { isErrno, systemError } from '../native/errno.ts'
import type { VerityKeeper } from './verity.ts'

/** How an object is read. */
export interface ReadOptions {
  /**
   * Whether to compare the contents with the id. By default always, by the cheapest way: where the repository requires
   * fs-verity the kernel does it, otherwise the contents are hashed. `false` trusts the disk.
   */
  readonly verify?: boolean
  /** Most bytes to read into memory at once, 1 GiB by default; more is `ERR_LIMIT`. Streams have no such limit. */
  readonly limit?: number
  /** Memory to read to, where it is large enough: the contents are a view of it then. Default: fresh memory. */
  readonly memory?: Buffer | undefined
}

const defaultLimit = 2 ** 30
const chunkSize = 256 * 1024
/** Whoever opened a FIFO in the place of an object would wait for ever. */
const reading = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0)

/** The contents of an object. Throws what `ObjectDirectory.read` says. */
export function readObject(path: string, id: ObjectId, verity: VerityKeeper, options: ReadOptions = {}): Buffer {
  const { verify = true, limit = defaultLimit, memory } = options
  return withObject(path, (fd) => {
    const { size } = assertFile(fstatSync(fd), path)
    if (size > limit) {
      throw new ComposefsError('ERR_LIMIT', 'the object is too large to be read at once', {
        path,
        expected: `at most ${limit} bytes`,
        actual: size,
        hint: 'read it as a stream, or raise the limit',
      })
    }
    const trusted = !verify || verity.vouches(fd, id, path)
    const bytes = memory !== undefined && memory.length >= size ? memory.subarray(0, size) : Buffer.allocUnsafe(size)
    const contents = bytes.subarray(0, fill(fd, bytes))
    if (!trusted) compare(fsverityDigest(id.algorithm, contents), id, path)
    return contents
  })
}

/** A large object that is read where it is asked for; whoever opens it has compared it with its id. */
export class ObjectFile {
  readonly length: number
  readonly #path: string

  constructor(path: string) {
    this.#path = path
    this.length = withObject(path, (fd) => assertFile(fstatSync(fd), path).size)
  }

  /** @throws {@link ComposefsError} `ERR_NOT_FOUND`, `ERR_REPOSITORY_CORRUPT` where it ends before, `ERR_IO` */
  subarray(start: number, end: number): Buffer {
    return withObject(this.#path, (fd) => {
      const bytes = Buffer.allocUnsafe(end - start)
      if (fill(fd, bytes, start) === bytes.length) return bytes
      throw new ComposefsError('ERR_REPOSITORY_CORRUPT', 'an object became shorter while it was read', {
        path: this.#path,
        hint: storeAgain,
      })
    })
  }
}

/** Compares an object of any size with its id. Throws what `ObjectDirectory.verify` says. */
export function verifyObject(path: string, id: ObjectId, verity: VerityKeeper): void {
  withObject(path, (fd) => {
    const { size } = assertFile(fstatSync(fd), path)
    if (!verity.vouches(fd, id, path)) compare(digestOf(fd, size, id.algorithm), id, path)
  })
}

/**
 * Whether an object has the contents its name promises: the kernel is asked, then the file is compared with the contents
 * where they are at hand, and hashed otherwise. One that may not be read passes: nobody can tell.
 *
 * @throws {@link ComposefsError} `ERR_IO`
 */
export function isIntact(path: string, id: ObjectId, verity: VerityKeeper, contents?: Buffer): boolean {
  try {
    return withObject(path, (fd) => {
      const { size } = assertFile(fstatSync(fd), path)
      if (verity.hasDigest(fd, id, path)) return true
      return contents === undefined ? digestOf(fd, size, id.algorithm).equals(id) : holds(fd, contents)
    })
  } catch (error) {
    return passes(error)
  }
}

/** The same for a large object, whose reading others shall not wait for. */
export async function isIntactLater(path: string, id: ObjectId, verity: VerityKeeper): Promise<boolean> {
  if (verity.policy === 'required') return isIntact(path, id, verity)
  try {
    for await (const _ of new ObjectReadable(path, id, verity));
    return true
  } catch (error) {
    return passes(error)
  }
}

function passes(error: unknown): boolean {
  const { cause } = error as Error
  if (isErrno(cause, 'EACCES', 'EPERM')) return true
  if (isDamage(error) || isErrno(cause, 'EIO')) return false
  throw error
}

/** fs-verity with another hash says nothing of what the name promises. */
const damages: ReadonlySet<ErrorCode> = new Set(['ERR_REPOSITORY_CORRUPT', 'ERR_NOT_FOUND', 'ERR_ALGORITHM_MISMATCH'])

/** Whether an object turned out to be missing, or to be another than its name says. */
export function isDamage(error: unknown): boolean {
  return error instanceof ComposefsError && damages.has(error.code)
}

/** The contents of an object as a stream, compared with its id before the stream ends. */
export class ObjectReadable extends Readable {
  readonly #path: string
  readonly #id: ObjectId
  readonly #verity: VerityKeeper
  readonly #verify: boolean
  readonly #onFailure: (error: unknown) => void
  #hasher: FsVerityHasher | undefined
  #fd = -1

  /** @param onFailure told what the stream fails with */
  constructor(
    path: string,
    id: ObjectId,
    verity: VerityKeeper,
    { verify = true }: ReadOptions = {},
    onFailure: (error: unknown) => void = () => {},
  ) {
    super({ highWaterMark: chunkSize })
    this.#path = path
    this.#id = id
    this.#verity = verity
    this.#verify = verify
    this.#onFailure = onFailure
  }

  override _construct(callback: (error?: Error) => void): void {
    open(this.#path, reading, (error, fd) => {
      if (error !== null) return callback(readError(error, this.#path))
      this.#fd = fd
      fstat(fd, (error, found) => {
        if (error !== null) return callback(readError(error, this.#path))
        try {
          assertFile(found, this.#path)
          if (this.#verify && !this.#verity.vouches(fd, this.#id, this.#path)) {
            this.#hasher = new FsVerityHasher(this.#id.algorithm)
          }
        } catch (reason) {
          return callback(reason as Error)
        }
        callback()
      })
    })
  }

  override _read(): void {
    read(this.#fd, Buffer.allocUnsafeSlow(chunkSize), 0, chunkSize, null, (error, length, buffer) => {
      if (error !== null) return void this.destroy(readError(error, this.#path))
      try {
        if (length === 0) {
          if (this.#hasher !== undefined) compare(this.#hasher.digest(), this.#id, this.#path)
          this.push(null)
          return
        }
        const chunk = buffer.subarray(0, length)
        this.#hasher?.update(chunk)
        this.push(chunk)
      } catch (reason) {
        this.destroy(reason as Error)
      }
    })
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    if (error !== null) this.#onFailure(error)
    if (this.#fd < 0) callback(error)
    else close(this.#fd, (failure) => callback(error ?? failure ?? null))
  }
}

function withObject<T>(path: string, use: (fd: number) => T): T {
  let fd: number
  try {
    fd = openSync(path, reading)
  } catch (error) {
    throw readError(error, path)
  }
  try {
    return use(fd)
  } catch (error) {
    throw readError(error, path)
  } finally {
    closeSync(fd)
  }
}

function assertFile(found: Stats, path: string): Stats {
  if (found.isFile()) return found
  throw new ComposefsError('ERR_REPOSITORY_CORRUPT', 'in the place of an object is something that is no file', {
    path,
    hint: 'remove it, and import or pull again what it belongs to',
  })
}

function digestOf(fd: number, size: number, algorithm: Algorithm): ObjectId {
  const hasher = new FsVerityHasher(algorithm)
  const buffer = Buffer.allocUnsafe(Math.min(size + 1, chunkSize))
  for (let length = fill(fd, buffer); length > 0; length = fill(fd, buffer)) hasher.update(buffer.subarray(0, length))
  return hasher.digest()
}

/** Whether an open file has these contents, and no others. */
function holds(fd: number, contents: Buffer): boolean {
  const buffer = Buffer.allocUnsafe(Math.min(contents.length + 1, chunkSize))
  let at = 0
  for (let length = fill(fd, buffer); length > 0; length = fill(fd, buffer)) {
    if (buffer.compare(contents, at, at + length, 0, length) !== 0) return false
    at += length
  }
  return at === contents.length
}

/** Reads until the buffer is full or the file ends; from where the file stands, or from a place of it. */
function fill(fd: number, buffer: Buffer, from?: number): number {
  let at = 0
  while (at < buffer.length) {
    const length = readSync(fd, buffer, at, buffer.length - at, from === undefined ? null : from + at)
    if (length === 0) break
    at += length
  }
  return at
}

/** What helps against a damaged object. */
export const storeAgain = 'import or pull again what it belongs to, with --verify-objects: then it is replaced'

function compare(actual: ObjectId, id: ObjectId, path: string): void {
  if (actual.equals(id)) return
  throw new ComposefsError('ERR_REPOSITORY_CORRUPT', 'an object does not have the contents its name promises', {
    path,
    expected: id.hex,
    actual: actual.hex,
    hint: storeAgain,
  })
}

function readError(error: unknown, path: string): Error {
  if (isErrno(error, 'ENOENT')) return missingObject(path, error)
  return systemError(error, 'read', 'cannot read an object', path)
}

/** `ERR_NOT_FOUND` for an object. */
export function missingObject(path: string, cause?: unknown): ComposefsError {
  return new ComposefsError('ERR_NOT_FOUND', 'the object is not in the repository', {
    path,
    hint: 'import or pull again what it belongs to: what is missing is stored then',
    cause,
  })
}
