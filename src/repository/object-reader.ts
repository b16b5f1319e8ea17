/**
 * Reading objects, and making sure that they are what their name says.
 *
 * @packageDocumentation
 */
import { close, closeSync, fstatSync, open, openSync, read, readSync } from 'node:fs'
import { Readable } from 'node:stream'
import { ComposefsError } from '../errors.ts'
import { FsVerityHasher, fsverityDigest } from '../fsverity/merkle.ts'
import type { ObjectId } from '../fsverity/object-id.ts'
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

/** The contents of an object. Throws what `ObjectDirectory.read` says. */
export function readObject(path: string, id: ObjectId, verity: VerityKeeper, options: ReadOptions = {}): Buffer {
  const { verify = true, limit = defaultLimit, memory } = options
  return withObject(path, (fd) => {
    const { size } = fstatSync(fd)
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

/** Compares an object of any size with its id. Throws what `ObjectDirectory.verify` says. */
export function verifyObject(path: string, id: ObjectId, verity: VerityKeeper): void {
  withObject(path, (fd) => {
    if (verity.vouches(fd, id, path)) return
    const hasher = new FsVerityHasher(id.algorithm)
    const buffer = Buffer.allocUnsafeSlow(chunkSize)
    for (let length = fill(fd, buffer); length > 0; length = fill(fd, buffer)) hasher.update(buffer.subarray(0, length))
    compare(hasher.digest(), id, path)
  })
}

/** The contents of an object as a stream, compared with its id before the stream ends. */
export class ObjectReadable extends Readable {
  readonly #path: string
  readonly #id: ObjectId
  readonly #verity: VerityKeeper
  readonly #verify: boolean
  #hasher: FsVerityHasher | undefined
  #fd = -1

  constructor(path: string, id: ObjectId, verity: VerityKeeper, { verify = true }: ReadOptions = {}) {
    super({ highWaterMark: chunkSize })
    this.#path = path
    this.#id = id
    this.#verity = verity
    this.#verify = verify
  }

  override _construct(callback: (error?: Error) => void): void {
    open(this.#path, 'r', (error, fd) => {
      if (error !== null) return callback(readError(error, this.#path))
      this.#fd = fd
      try {
        if (this.#verify && !this.#verity.vouches(fd, this.#id, this.#path)) {
          this.#hasher = new FsVerityHasher(this.#id.algorithm)
        }
      } catch (reason) {
        return callback(reason as Error)
      }
      callback()
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
    if (this.#fd < 0) callback(error)
    else close(this.#fd, (failure) => callback(error ?? failure ?? null))
  }
}

function withObject<T>(path: string, use: (fd: number) => T): T {
  let fd: number
  try {
    fd = openSync(path, 'r')
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

/** Reads until the buffer is full or the file ends. */
function fill(fd: number, buffer: Buffer): number {
  let at = 0
  while (at < buffer.length) {
    const length = readSync(fd, buffer, at, buffer.length - at, null)
    if (length === 0) break
    at += length
  }
  return at
}

function compare(actual: ObjectId, id: ObjectId, path: string): void {
  if (actual.equals(id)) return
  throw new ComposefsError('ERR_REPOSITORY_CORRUPT', 'an object does not have the contents its name promises', {
    path,
    expected: id.hex,
    actual: actual.hex,
    hint: 'run fsck; importing the same contents again replaces the object',
  })
}

function readError(error: unknown, path: string): Error {
  if (isErrno(error, 'ENOENT')) {
    return new ComposefsError('ERR_NOT_FOUND', 'the object is not in the repository', {
      path,
      hint: 'run fsck',
      cause: error,
    })
  }
  return systemError(error, 'read', 'cannot read an object', path)
}
