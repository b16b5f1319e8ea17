/**
 * The object store: files named by their fs-verity digest (spec: repository, section 4).
 *
 * @packageDocumentation
 */
import { fchmodSync, mkdirSync, readdirSync, statSync } from 'node:fs'
import type { Readable } from 'node:stream'
import { ComposefsError } from '../errors.ts'
import { fsverityDigest } from '../fsverity/merkle.ts'
import { type Algorithm, ObjectId } from '../fsverity/object-id.ts'
import type { DraftRules } from '../native/draft-files.ts'
import { isErrno, systemError } from '../native/errno.ts'
import type { ObjectSink, ObjectStore, Scratch } from '../streams/records.ts'
import type { SplitstreamFile } from '../streams/splitstream-format.ts'
import {
  isDamage,
  missingObject,
  ObjectFile,
  ObjectReadable,
  type ReadOptions,
  readObject,
  verifyObject,
} from './object-reader.ts'
import { type ObjectReceiver, StreamedObject } from './object-sink.ts'
import { KnownObjects, type Presence } from './presence.ts'
import { ScratchFile } from './scratch.ts'
import { type TemporaryFile, TemporaryFiles } from './temporary.ts'
import { VerityKeeper, type VerityPolicy } from './verity.ts'

/** Objects up to this many bytes are read whole where parts would do. */
const readWhole = 16 * 1024 * 1024

/** What a store has done since it was opened. */
export interface ObjectStats {
  /** Objects that were not there before. */
  newObjects: number
  /** Bytes of those. */
  newBytes: number
  /** Objects that were there already. */
  presentObjects: number
  /** Of the new ones, those that took the place of a damaged file. */
  replacedObjects: number
}

/** How an {@link ObjectDirectory} works. */
export interface ObjectDirectoryOptions {
  /** Default: `wanted`, that is fs-verity wherever the file system offers it. */
  readonly verity?: VerityPolicy
  /** Permission bits of new objects, whatever the umask. Default: 0644 less the umask. */
  readonly mode?: number
  /**
   * Compares every object that is there with what is to be stored, and replaces it if it is damaged. Default: up to 64
   * KiB, and all of them once a damaged object was read. What the kernel vouches for is not compared.
   */
  readonly verifyObjects?: boolean
  /** Called before anything is written; throws to forbid it. */
  readonly beforeWrite?: () => void
}

/** Begins the names of temporary files, which the reference tools ignore and garbage collection removes. */
export const temporaryObjectPrefix = '.tmp-object-'

const directoryMode = 0o755

/**
 * A directory of objects, `XX/REST` each. Writing needs no lock: objects come into being whole, and never change.
 * Nothing is on disk for sure until the file system was synced.
 *
 * @example
 * ```ts
 * import { ObjectDirectory } from 'composefs-streams/repository'
 *
 * const objects = new ObjectDirectory('/tmp/store', 'sha256')
 * const id = objects.put(Buffer.from('hello world'))
 * objects.read(id).toString()
 * ```
 */
export class ObjectDirectory implements ObjectStore {
  readonly path: string
  readonly algorithm: Algorithm
  readonly borrows = true
  readonly takesIds = true
  /** Counted from zero at each opening. */
  readonly stats: ObjectStats = { newObjects: 0, newBytes: 0, presentObjects: 0, replacedObjects: 0 }
  readonly #verity: VerityKeeper
  readonly #mode: number | undefined
  readonly #beforeWrite: () => void
  readonly #known: KnownObjects
  readonly #directories = new Set<string>()
  readonly #receiver: ObjectReceiver
  #temporaries: TemporaryFiles | undefined
  #expectNew = false

  constructor(path: string, algorithm: Algorithm, options: ObjectDirectoryOptions = {}) {
    this.path = path
    this.algorithm = algorithm
    this.#verity = new VerityKeeper(algorithm, options.verity ?? 'wanted')
    this.#mode = options.mode
    this.#known = new KnownObjects((id) => this.pathOf(id), this.#verity, options.verifyObjects ?? false)
    this.#beforeWrite = options.beforeWrite ?? (() => {})
    this.#receiver = {
      algorithm,
      path,
      put: (bytes) => this.put(bytes),
      begin: () => this.#begin(),
      publish: (file, id, size) => this.#publish(file, id, size),
    }
  }

  /** Where the object is, or would be. */
  pathOf(id: ObjectId): string {
    return `${this.path}/${id.path}`
  }

  /** Whether there is such an object; its contents are not looked at. @throws {@link ComposefsError} `ERR_IO` */
  has(id: ObjectId): boolean {
    return this.#sizeOf(id) !== undefined
  }

  /**
   * Bytes of an object, as the file system says.
   *
   * @throws {@link ComposefsError} `ERR_NOT_FOUND`, `ERR_ALGORITHM_MISMATCH`, `ERR_IO`
   */
  sizeOf(id: ObjectId): number {
    this.#assertOurs(id)
    const size = this.#sizeOf(id)
    if (size !== undefined) return size
    throw missingObject(this.pathOf(id))
  }

  /**
   * Stores contents, unless they are stored already. A file that has their name and the wrong size (as a crash before
   * the sync leaves behind) is replaced, and one with other contents as `verifyObjects` says.
   *
   * @param id the id of these bytes, where it was computed elsewhere
   * @throws {@link ComposefsError} `ERR_NO_SPACE`, `ERR_REPOSITORY_READONLY`, `ERR_REPOSITORY_VERITY`,
   * `ERR_NATIVE_MISSING` (fs-verity is required and koffi missing), `ERR_IO`; the store is unchanged then
   */
  put(bytes: Buffer, id: ObjectId = fsverityDigest(this.algorithm, bytes)): ObjectId {
    if (this.#known.has(id)) {
      this.stats.presentObjects++
      return id
    }
    this.#beforeWrite()
    try {
      // What comes after a new object mostly is new as well, and linking it tells if it is not.
      const state = this.#expectNew ? 'absent' : this.#known.lookFor(id, bytes.length, bytes)
      if (state === 'present') {
        this.#count(id, bytes.length, state)
        return id
      }
      const file = this.#begin()
      try {
        file.write(bytes)
        this.#place(file, id, bytes.length, state)
      } finally {
        file.close()
      }
    } catch (error) {
      throw systemError(error, 'write', 'cannot store an object', this.pathOf(id))
    }
    return id
  }

  /** While what comes is new, other threads may write it ahead. */
  get drafts(): DraftRules | undefined {
    if (!this.#expectNew || this.#temporaries?.unnamed !== true) return undefined
    return { directory: this.path, mode: this.#mode }
  }

  /**
   * Stores contents that lie in a file without a name already, unless they are stored. Throws as {@link put} does.
   *
   * @param fd open for writing, in the file system of the store; it is closed, whatever happens
   */
  putDraft(fd: number, size: number, id: ObjectId): ObjectId {
    this.#temporaries ??= new TemporaryFiles(this.path, temporaryObjectPrefix)
    const file = this.#temporaries.adopt(fd)
    try {
      this.#beforeWrite()
      if (this.#known.has(id)) this.stats.presentObjects++
      else this.#place(file, id, size, 'absent')
    } catch (error) {
      throw systemError(error, 'write', 'cannot store an object', this.pathOf(id))
    } finally {
      file.close()
    }
    return id
  }

  /**
   * Begins an object of `size` bytes that come in pieces; larger ones go to a temporary file of the store.
   *
   * @throws {@link ComposefsError} `ERR_ARGUMENT`, `ERR_REPOSITORY_READONLY`
   */
  create(size: number): ObjectSink {
    this.#beforeWrite()
    return new StreamedObject(this.#receiver, size)
  }

  /** Opens a temporary file of the store for bytes that memory shall not hold. @throws {@link ComposefsError} as {@link create} */
  openScratch(): Scratch {
    this.#beforeWrite()
    try {
      return new ScratchFile(this.#beginFile(), this.path)
    } catch (error) {
      throw systemError(error, 'write', 'cannot make a temporary file', this.path)
    }
  }

  /**
   * The contents of an object.
   *
   * @throws {@link ComposefsError} `ERR_NOT_FOUND`, `ERR_REPOSITORY_CORRUPT`, `ERR_ALGORITHM_MISMATCH`, `ERR_LIMIT`,
   * `ERR_IO`
   */
  read(id: ObjectId, options?: ReadOptions): Buffer {
    this.#assertOurs(id)
    return this.#known.reading(id, () => readObject(this.pathOf(id), id, this.#verity, options))
  }

  /** The contents of an object as a stream, which fails at its end if they were wrong. Errors as of {@link read}. */
  open(id: ObjectId, options?: ReadOptions): Readable {
    this.#assertOurs(id)
    return new ObjectReadable(this.pathOf(id), id, this.#verity, options, (error) => this.#known.notice(id, error))
  }

  /**
   * The contents of an object to read in: all of them at once where they are not large, otherwise those that are asked
   * for, when they are. Errors as of {@link read}, but for `ERR_LIMIT`.
   */
  openFile(id: ObjectId, options: ReadOptions = {}): SplitstreamFile {
    if (this.sizeOf(id) <= readWhole) return this.read(id, options)
    if (options.verify !== false) this.verify(id)
    return new ObjectFile(this.pathOf(id))
  }

  /** Compares an object with its id, whatever its size. Throws as {@link read}, but for `ERR_LIMIT`. */
  verify(id: ObjectId): void {
    this.#assertOurs(id)
    this.#known.reading(id, () => verifyObject(this.pathOf(id), id, this.#verity))
  }

  /**
   * Whether an object is there, with the contents its name promises. One that is not is stored anew when its contents
   * come. @throws {@link ComposefsError} `ERR_ALGORITHM_MISMATCH`, `ERR_IO`
   */
  isIntact(id: ObjectId): boolean {
    this.#assertOurs(id)
    try {
      this.verify(id)
      return true
    } catch (error) {
      if (isDamage(error)) return false
      throw error
    }
  }

  /** The ids of all objects, sorted. What is no object is passed over. */
  *ids(): Generator<ObjectId, void, undefined> {
    for (const directory of list(this.path)) {
      if (!/^[0-9a-f]{2}$/.test(directory)) continue
      for (const name of list(`${this.path}/${directory}`)) {
        const id = ObjectId.fromPath(`${directory}/${name}`)
        if (id?.algorithm === this.algorithm) yield id
      }
    }
  }

  #sizeOf(id: ObjectId): number | undefined {
    const path = this.pathOf(id)
    try {
      const found = statSync(path, { throwIfNoEntry: false })
      return found?.isFile() === true ? found.size : undefined
    } catch (error) {
      throw systemError(error, 'read', 'cannot look for an object', path)
    }
  }

  #begin(): TemporaryFile {
    const file = this.#beginFile()
    if (this.#mode !== undefined) fchmodSync(file.fd, this.#mode)
    return file
  }

  #beginFile(): TemporaryFile {
    this.#temporaries ??= new TemporaryFiles(this.path, temporaryObjectPrefix)
    this.#makeDirectory('')
    try {
      return this.#temporaries.create()
    } catch (error) {
      if (!isErrno(error, 'ENOENT')) throw error
      this.#directories.clear()
      this.#makeDirectory('')
      return this.#temporaries.create()
    }
  }

  async #publish(file: TemporaryFile, id: ObjectId, size: number): Promise<void> {
    this.#beforeWrite()
    const state = await this.#known.lookForLarge(id, size)
    if (state === 'present') this.#count(id, size, state)
    else this.#place(file, id, size, state)
  }

  /** Asks the file system again about everything: objects were removed. */
  forget(): void {
    this.#known.forget()
    this.#directories.clear()
    this.#expectNew = false
  }

  #place(file: TemporaryFile, id: ObjectId, size: number, state: 'absent' | 'damaged'): void {
    const path = this.pathOf(id)
    this.#verity.protect(file, id, path)
    this.#makeDirectory(id.hex.slice(0, 2))
    if (state === 'damaged') {
      file.replace(path)
      this.#count(id, size, state)
      return
    }
    let linked: boolean
    try {
      linked = file.link(path)
    } catch (error) {
      // Somebody removed an empty directory behind our back.
      if (!isErrno(error, 'ENOENT')) throw error
      this.#directories.clear()
      this.#makeDirectory(id.hex.slice(0, 2))
      linked = file.link(path)
    }
    if (linked) this.#count(id, size, 'absent')
    else this.#settleExisting(file, id, size)
  }

  /** Somebody else was faster, or nobody had looked. */
  #settleExisting(file: TemporaryFile, id: ObjectId, size: number): void {
    const state = this.#known.lookFor(id, size)
    if (state !== 'present') file.replace(this.pathOf(id))
    this.#count(id, size, state === 'present' ? state : 'damaged')
  }

  #count(id: ObjectId, size: number, state: Presence): void {
    this.#known.add(id)
    this.#expectNew = state === 'absent'
    if (state === 'present') {
      this.stats.presentObjects++
      return
    }
    this.stats.newObjects++
    this.stats.newBytes += size
    if (state === 'damaged') this.stats.replacedObjects++
  }

  #makeDirectory(name: string): void {
    if (this.#directories.has(name)) return
    if (name !== '') this.#makeDirectory('')
    try {
      mkdirSync(name === '' ? this.path : `${this.path}/${name}`, directoryMode)
    } catch (error) {
      if (!isErrno(error, 'EEXIST')) throw error
    }
    this.#directories.add(name)
  }

  #assertOurs(id: ObjectId): void {
    if (id.algorithm === this.algorithm) return
    throw new ComposefsError('ERR_ALGORITHM_MISMATCH', 'the id belongs to a repository with another hash', {
      path: id.hex,
      expected: this.algorithm,
      actual: id.algorithm,
    })
  }
}

function list(path: string): string[] {
  try {
    return readdirSync(path).sort()
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return []
    throw systemError(error, 'read', 'cannot list objects', path)
  }
}
