/**
 * Garbage collection: what no name leads to is removed.
 *
 * First everything that is needed is marked, and nothing is touched until that is complete. Then links go before the
 * objects they lead to, so whoever kills it at any moment leaves a repository without broken names.
 */
import { closeSync, lstatSync, rmdirSync, unlinkSync } from 'node:fs'
import { setImmediate as turn } from 'node:timers/promises'
import { type ByteString, printable } from '../bytes.ts'
import { imageObjects } from '../erofs/objects.ts'
import { ComposefsError } from '../errors.ts'
import type { ObjectId } from '../fsverity/object-id.ts'
import { isErrno, systemError } from '../native/errno.ts'
import { parseSplitstream } from '../streams/splitstream-reader.ts'
import type { RefKind } from './names.ts'
import type { ObjectDirectory } from './objects.ts'
import { syncDirectory } from './sync.ts'
import { type FoundItem, itemPath, openForWalk, walkRepository } from './walk.ts'

/** What {@link Repository.collectGarbage} is told. */
export interface GarbageOptions {
  /** More to keep than what has a ref: content ids of streams, ids of images (hex). */
  readonly roots?: readonly string[]
  /** Only says what would be removed (default false). */
  readonly dryRun?: boolean
  /** Removes everything where nothing has a ref and no roots are given; that is refused otherwise (default false). */
  readonly all?: boolean
  /**
   * Age in milliseconds from which temporary files of programs that take no lock (mkcomposefs) are removed. Default a
   * day. Those of this package and of cfsctl go at once: who writes them holds the lock.
   */
  readonly olderThan?: number
  /** Heeded between one item and the next; what was removed by then stays removed. */
  readonly signal?: AbortSignal | undefined
  /** Told of what was left alone, and why. */
  readonly onWarning?: (warning: GarbageWarning) => void
}

/** Something in the repository that garbage collection leaves alone. */
export interface GarbageWarning {
  /** Relative to the repository. */
  readonly path: string
  readonly reason: 'dangling-ref' | 'foreign-link' | 'missing-object' | 'stray'
}

/** A number of things and the bytes they take up. */
export interface Amount {
  readonly count: number
  /** As their sizes say. */
  readonly bytes: number
}

/** What was removed, or would be. */
export interface GarbageResult {
  readonly dryRun: boolean
  readonly objects: Amount
  readonly temporaries: Amount
  /** Links `streams/…`. */
  readonly streams: number
  /** Links `images/…`. */
  readonly images: number
  /** Empty directories. */
  readonly directories: number
  /** Objects that stay. */
  readonly keptObjects: number
}

const defaultOlderThan = 24 * 60 * 60 * 1000
/** So many items between two looks at the event loop: signals are heard within a millisecond or two. */
const itemsPerTurn = 512
/** As many digits of an id tell objects apart. Two that share them are both kept. */
const keyDigits = 32

const splitstreamMagic = Buffer.from('SplitStream')
const erofsMagic = Buffer.from([0xe2, 0xe1, 0xf5, 0xe0])
const erofsMagicAt = 1024

/**
 * Collects garbage in a repository whose lock is held exclusively. See `Repository.collectGarbage` for errors.
 *
 * @param path the repository
 */
export async function collectGarbage(
  path: string,
  objects: ObjectDirectory,
  options: GarbageOptions = {},
): Promise<GarbageResult> {
  const root = openForWalk(path)
  try {
    const marked = await mark(root, objects, options)
    return await new Sweep(path, root, objects, marked, options).run()
  } finally {
    closeSync(root)
  }
}

/** Makes turns for the event loop and for signals. */
class Turns {
  readonly #signal: AbortSignal | undefined
  #count = 0

  constructor(signal: AbortSignal | undefined) {
    this.#signal = signal
  }

  async take(): Promise<void> {
    if (++this.#count % itemsPerTurn !== 0) return
    await turn()
    this.#signal?.throwIfAborted()
  }
}

/** The objects that something needs. */
class MarkedObjects {
  readonly #keys = new Set<string>()

  /** False if it was marked before. */
  add(id: ObjectId): boolean {
    const before = this.#keys.size
    this.#keys.add(id.hex.slice(0, keyDigits))
    return this.#keys.size > before
  }

  has(id: ObjectId): boolean {
    return this.#keys.has(id.hex.slice(0, keyDigits))
  }
}

async function mark(root: number, objects: ObjectDirectory, options: GarbageOptions): Promise<MarkedObjects> {
  const { roots, warnings } = findRoots(root, objects, options)
  const { signal, onWarning } = options
  const turns = new Turns(signal)
  const marked = new MarkedObjects()
  const pending = [...roots]
  // What is looked into: splitstreams and images. It may have been marked as the content of some file before.
  const opened = new MarkedObjects()
  const missing: ObjectId[] = []
  for (let id = pending.pop(); id !== undefined; id = pending.pop()) {
    await turns.take()
    marked.add(id)
    if (!opened.add(id)) continue
    if (!objects.has(id)) missing.push(id)
    else for (const needed of contentsOf(id, objects, (content) => void marked.add(content))) pending.push(needed)
  }
  for (const warning of warnings) onWarning?.(warning)
  for (const id of missing) onWarning?.({ path: `objects/${id.path}`, reason: 'missing-object' })
  return marked
}

/** The objects that refs and the caller's roots lead to. */
function findRoots(
  root: number,
  objects: ObjectDirectory,
  { roots: asked = [], all = false }: GarbageOptions,
): { roots: ObjectId[]; warnings: GarbageWarning[] } {
  const links = { streams: new Map<ByteString, ObjectId>(), images: new Map<ByteString, ObjectId>() }
  const refs: { readonly of: RefKind; readonly path: ByteString; readonly target: ByteString | undefined }[] = []
  let stored = false
  for (const item of walkRepository(root)) {
    if (item.kind === 'object') {
      // The walk comes to objects last, and there may be very many.
      stored = true
      break
    }
    if (item.kind === 'link' && item.id?.algorithm === objects.algorithm) links[item.of].set(item.name, item.id)
    else if (item.kind === 'ref') refs.push(item)
  }
  const roots: ObjectId[] = []
  const warnings: GarbageWarning[] = []
  for (const { of, path, target } of refs) {
    const id = target === undefined ? undefined : links[of].get(target)
    if (id === undefined) warnings.push({ path: printable(path), reason: 'dangling-ref' })
    else roots.push(id)
  }
  for (const name of asked) {
    const id = links.streams.get(name as ByteString) ?? links.images.get(name as ByteString)
    if (id !== undefined) roots.push(id)
    else {
      throw new ComposefsError('ERR_NOT_FOUND', 'there is no such stream or image to keep', {
        path: name,
        hint: 'give the id of a stream (oci-manifest-sha256:…) or of an image; nothing was removed',
      })
    }
  }
  if (roots.length === 0 && stored && !all) {
    throw new ComposefsError(
      'ERR_REPOSITORY_UNNAMED',
      'nothing in the repository has a name, so all of it is garbage',
      {
        hint: 'name what is to stay (composefs oci tag), keep it by --root, or remove everything by --all',
      },
    )
  }
  return { roots, warnings }
}

/**
 * The splitstreams and images that a splitstream refers to; objects that are contents alone go to `content`.
 *
 * @throws {@link ComposefsError} where it cannot be read: what it needs is not known then, and must not be removed
 */
function contentsOf(id: ObjectId, objects: ObjectDirectory, content: (id: ObjectId) => void): readonly ObjectId[] {
  try {
    const bytes = objects.read(id)
    if (bytes.subarray(0, splitstreamMagic.length).equals(splitstreamMagic)) {
      const stream = parseSplitstream(bytes, { algorithm: objects.algorithm })
      for (const object of stream.objectRefs) content(object)
      return stream.streamRefs
    }
    if (bytes.subarray(erofsMagicAt, erofsMagicAt + erofsMagic.length).equals(erofsMagic)) {
      for (const object of imageObjects(bytes)) content(object)
    }
    return []
  } catch (error) {
    if (!(error instanceof ComposefsError)) throw error
    throw new ComposefsError(error.code, `nothing was removed, since what is needed cannot be told: ${error.message}`, {
      path: `objects/${id.path}`,
      cause: error,
      hint: 'import or pull again what it belongs to, or remove the name that leads to it',
    })
  }
}

class Sweep {
  readonly #path: string
  readonly #root: number
  readonly #store: ObjectDirectory
  readonly #marked: MarkedObjects
  readonly #options: GarbageOptions
  readonly #oldest: number
  readonly #turns: Turns
  readonly #objects = { count: 0, bytes: 0 }
  readonly #temporaries = { count: 0, bytes: 0 }
  readonly #removed = { streams: 0, images: 0, directories: 0 }
  #kept = 0
  /** Directories in which something stays. */
  readonly #occupied = new Set<string>()
  #synced = false

  constructor(path: string, root: number, store: ObjectDirectory, marked: MarkedObjects, options: GarbageOptions) {
    this.#path = path
    this.#root = root
    this.#store = store
    this.#marked = marked
    this.#options = options
    this.#oldest = Date.now() - (options.olderThan ?? defaultOlderThan)
    this.#turns = new Turns(options.signal)
  }

  async run(): Promise<GarbageResult> {
    for (const item of walkRepository(this.#root)) {
      await this.#turns.take()
      // Once objects go, no power cut may bring back a link to one.
      if (item.path.startsWith('objects/') && !this.#synced) await this.#syncLinks()
      if (!this.#visit(item)) this.#stays(item)
    }
    const { dryRun = false } = this.#options
    const { streams, images, directories } = this.#removed
    const { count, bytes } = this.#objects
    return {
      dryRun,
      objects: { count, bytes },
      temporaries: this.#temporaries,
      streams,
      images,
      directories,
      keptObjects: this.#kept,
    }
  }

  /** Whether it was removed, or would be. */
  #visit(item: FoundItem): boolean {
    switch (item.kind) {
      case 'link':
        if (item.id?.algorithm !== this.#store.algorithm) return this.#warn(item, 'foreign-link')
        return !this.#marked.has(item.id) && this.#unlink(item) && this.#removed[item.of]++ >= 0
      case 'object':
        if (!this.#marked.has(item.id)) return this.#remove(item, this.#objects)
        this.#kept++
        return false
      case 'temporary':
        return (item.own || this.#isOld(item)) && this.#remove(item, this.#temporaries)
      case 'directory':
        return !this.#occupied.has(item.path) && this.#removeDirectory(item)
      case 'stray':
        return this.#warn(item, 'stray')
      default:
        return false
    }
  }

  /** It keeps the directories above it. */
  #stays({ path }: FoundItem): void {
    const end = path.lastIndexOf('/')
    if (end > 0) this.#occupied.add(path.slice(0, end))
  }

  #warn({ path }: FoundItem, reason: GarbageWarning['reason']): false {
    this.#options.onWarning?.({ path: printable(path), reason })
    return false
  }

  #isOld(item: FoundItem): boolean {
    const { mtimeMs, ctimeMs } = lstatSync(itemPath(item))
    return Math.max(mtimeMs, ctimeMs) <= this.#oldest
  }

  #remove(item: FoundItem, amount: { count: number; bytes: number }): boolean {
    const size = lstatSync(itemPath(item), { throwIfNoEntry: false })?.size ?? 0
    if (!this.#unlink(item)) return false
    amount.count++
    amount.bytes += size
    return true
  }

  #unlink(item: FoundItem): boolean {
    if (this.#options.dryRun === true) return true
    try {
      unlinkSync(itemPath(item))
      return true
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return true
      throw systemError(error, 'write', 'cannot remove garbage', printable(item.path))
    }
  }

  #removeDirectory(item: FoundItem): boolean {
    try {
      if (this.#options.dryRun !== true) rmdirSync(itemPath(item))
      this.#removed.directories++
      return true
    } catch (error) {
      // Somebody who takes no lock has put something there.
      if (isErrno(error, 'ENOTEMPTY', 'EEXIST', 'ENOENT')) return false
      throw systemError(error, 'write', 'cannot remove an empty directory', printable(item.path))
    }
  }

  async #syncLinks(): Promise<void> {
    this.#synced = true
    if (this.#options.dryRun === true) return
    if (this.#removed.streams > 0) await syncDirectory(`${this.#path}/streams`)
    if (this.#removed.images > 0) await syncDirectory(`${this.#path}/images`)
  }
}
