/**
 * The directories from the top down to where a scan is.
 *
 * @packageDocumentation
 */
import { closeSync } from 'node:fs'
import type { ByteString } from '../bytes.ts'
import type { InodeStat } from '../native/inode.ts'
import { assertUnchanged, statOf } from './inode-stat.ts'
import { type ListedName, openParent } from './open-inode.ts'
import { changed } from './scan-error.ts'

/** A directory under way. */
export interface ScannedDirectory {
  readonly fd: number
  /** When it was opened. */
  readonly stat: InodeStat
  /** In the tree: `/usr/bin`. */
  readonly path: ByteString
  /** On the disk, for messages. */
  readonly place: ByteString
  /** Not yet scanned, the next one last. */
  readonly names: ListedName[]
}

/**
 * A stack of open directories that holds a bounded number of descriptors: the uppermost ones are closed while deeper
 * ones are read, and opened again from below.
 */
export class OpenDirectories {
  readonly #stack: ScannedDirectory[] = []
  readonly #limit: number
  /** So many, from the top, are closed. */
  #closed = 0

  constructor(limit: number) {
    this.#limit = limit
  }

  get current(): ScannedDirectory | undefined {
    return this.#stack.at(-1)
  }

  enter(directory: ScannedDirectory): void {
    this.#stack.push(directory)
    if (this.#stack.length - this.#closed <= this.#limit) return
    closeSync(this.#stack[this.#closed]!.fd)
    this.#closed++
  }

  /**
   * Leaves the current directory, which must be as it was: then every name in it has meant the same inode all the time.
   *
   * @throws {@link ComposefsError} `ERR_SOURCE_CHANGED`, `ERR_IO`
   */
  leave(): void {
    const { fd, stat, place } = this.#stack.at(-1)!
    assertUnchanged(fd, stat, place)
    if (this.#stack.length > 1 && this.#closed === this.#stack.length - 1) this.#reopen(fd)
    this.#stack.pop()
    closeSync(fd)
  }

  /** Closes everything. */
  abandon(): void {
    for (const { fd } of this.#stack.splice(this.#closed)) closeSync(fd)
    this.#stack.length = 0
    this.#closed = 0
  }

  #reopen(child: number): void {
    const index = this.#closed - 1
    const directory = this.#stack[index]!
    const { place } = directory
    const fd = openParent(child, place)
    this.#stack[index] = { ...directory, fd }
    this.#closed--
    const { dev, ino } = statOf(fd, place)
    if (dev !== directory.stat.dev || ino !== directory.stat.ino) {
      throw changed('directories were moved while they were scanned', place)
    }
  }
}
