/**
 * Files that come into being under their name whole, or not at all.
 *
 * @packageDocumentation
 */
import { randomInt } from 'node:crypto'
import {
  closeSync,
  existsSync,
  constants as fsConstants,
  fsync,
  linkSync,
  openSync,
  renameSync,
  unlinkSync,
  write,
  writeSync,
} from 'node:fs'
import { constants } from 'node:os'
import { dirname } from 'node:path'
import { promisify } from 'node:util'
import { O_TMPFILE } from '../native/draft-files.ts'
import { errnoException, isErrno } from '../native/errno.ts'
import { atCurrentDirectory, atSymlinkFollow, native } from '../native/libc.ts'
import { syncDirectory } from './sync.ts'

const alphanumeric = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'
const suffixLength = 12
const nameTries = 16
const fsyncLater = promisify(fsync)

/** A name that nobody else uses. */
export function temporaryName(prefix: string): string {
  let name = prefix
  for (let i = 0; i < suffixLength; i++) name += alphanumeric[randomInt(alphanumeric.length)]
  return name
}

/** Calls `place` with fresh temporary names until one is free. */
export function withTemporaryName<T>(prefix: string, place: (path: string) => T): T {
  for (let left = nameTries; ; left--) {
    const path = temporaryName(prefix)
    try {
      return place(path)
    } catch (error) {
      if (!isErrno(error, 'EEXIST') || left <= 1) throw error
    }
  }
}

/**
 * Makes temporary files in one directory: without any name where the system can (nothing is left behind whatever
 * happens), otherwise under `<prefix><12 letters and digits>`.
 */
export class TemporaryFiles {
  readonly #directory: string
  readonly #prefix: string
  #unnamed: boolean

  constructor(directory: string, prefix: string) {
    this.#directory = directory
    this.#prefix = `${directory}/${prefix}`
    // A file without a name gets one through /proc.
    this.#unnamed = native() !== undefined && existsSync('/proc/self/fd')
  }

  /** Whether files need no name, as far as is known. */
  get unnamed(): boolean {
    return this.#unnamed
  }

  /** A file without a name that somebody else has written. */
  adopt(fd: number): TemporaryFile {
    return new TemporaryFile(fd, undefined, this.#prefix)
  }

  /** An empty file, open for writing. @throws what `fs.openSync` throws */
  create(mode = 0o644): TemporaryFile {
    if (this.#unnamed) {
      try {
        return new TemporaryFile(
          openSync(this.#directory, O_TMPFILE | fsConstants.O_WRONLY, mode),
          undefined,
          this.#prefix,
        )
      } catch (error) {
        // Old kernels and some file systems take O_TMPFILE for an attempt to open a directory for writing.
        if (!isErrno(error, 'EOPNOTSUPP', 'EISDIR', 'EINVAL')) throw error
        this.#unnamed = false
      }
    }
    return withTemporaryName(this.#prefix, (path) => new TemporaryFile(openSync(path, 'wx', mode), path, this.#prefix))
  }
}

/** A file that is not published yet. Whatever happens, {@link close} it: that removes what was not linked. */
export class TemporaryFile {
  #fd: number
  #name: string | undefined
  readonly #prefix: string

  constructor(fd: number, name: string | undefined, prefix: string) {
    this.#fd = fd
    this.#name = name
    this.#prefix = prefix
  }

  get fd(): number {
    return this.#fd
  }

  /** Appends all of `bytes`. @throws what `fs.writeSync` throws */
  write(bytes: Buffer): void {
    for (let at = 0; at < bytes.length; ) at += writeSync(this.#fd, bytes, at, bytes.length - at)
  }

  /** The same while other things go on; one at a time. @throws what `fs.write` throws */
  append(bytes: Buffer): Promise<void> {
    return new Promise((resolve, reject) => {
      const next = (at: number): void => {
        write(this.#fd, bytes, at, bytes.length - at, null, (error, written) => {
          if (error !== null) reject(error)
          else if (at + written < bytes.length) next(at + written)
          else resolve()
        })
      }
      next(0)
    })
  }

  /** Ends writing: from here on the file is open read-only, as fs-verity wants it. */
  seal(): void {
    const reading = openSync(this.#name ?? `/proc/self/fd/${this.#fd}`, 'r')
    closeSync(this.#fd)
    this.#fd = reading
  }

  /** Gives the file its name. Answers false, and changes nothing, if there is such a file already. */
  link(path: string | Buffer): boolean {
    try {
      if (this.#name === undefined) linkUnnamed(this.#fd, path)
      else this.#linkNamed(this.#name, path)
      return true
    } catch (error) {
      if (isErrno(error, 'EEXIST')) return false
      throw error
    }
  }

  /** Gives the file its name, in the place of whatever has it. */
  replace(path: string | Buffer): void {
    if (this.#name === undefined) {
      this.#name = withTemporaryName(this.#prefix, (name) => {
        if (this.link(name)) return name
        throw errnoException(constants.errno.EEXIST, 'link')
      })
    }
    this.#closeFd()
    renameSync(this.#name, path)
    this.#name = undefined
  }

  /**
   * Gives the file its name, in the place of whatever has it, once its contents are on disk; in the end the name is as
   * well. A crash at any moment leaves the old file or the new one. @throws what `fs` throws
   */
  async publish(path: string): Promise<void> {
    await fsyncLater(this.#fd)
    this.replace(path)
    await syncDirectory(dirname(path))
  }

  #linkNamed(name: string, path: string | Buffer): void {
    this.#closeFd()
    try {
      linkSync(name, path)
    } catch (error) {
      // A file system without hard links.
      if (!isErrno(error, 'EPERM', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK')) throw error
      if (existsSync(path)) throw errnoException(constants.errno.EEXIST, 'link')
      this.replace(path)
    }
  }

  /** Closes the file, and removes it if it still has its temporary name. Never throws; may be called again. */
  close(): void {
    attempt(() => this.#closeFd())
    const name = this.#name
    if (name !== undefined) attempt(() => unlinkSync(name))
    this.#name = undefined
  }

  /** Network file systems report here that they could not write. */
  #closeFd(): void {
    if (this.#fd < 0) return
    const fd = this.#fd
    this.#fd = -1
    closeSync(fd)
  }
}

function linkUnnamed(fd: number, path: string | Buffer): void {
  const libc = native()
  const from = `/proc/self/fd/${fd}`
  const to = typeof path === 'string' ? path : Buffer.concat([path, Buffer.alloc(1)])
  const errno =
    libc?.linkat(atCurrentDirectory, from, atCurrentDirectory, to, atSymlinkFollow) ?? constants.errno.ENOSYS
  if (errno !== 0) throw errnoException(errno, 'linkat')
}

function attempt(action: () => void): void {
  try {
    action()
  } catch {
    // There is nothing left to do about it.
  }
}
