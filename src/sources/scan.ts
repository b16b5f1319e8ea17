/**
 * From a directory on disk to records (spec: directory-scan, section 1).
 *
 * @packageDocumentation
 */
import { closeSync, constants, existsSync } from 'node:fs'
import { type ByteString, type BytesLike, bytesOf, fromLatin1, printable } from '../bytes.ts'
import { ComposefsError } from '../errors.ts'
import { descriptorsFor } from '../native/descriptors.ts'
import type { InodeStat } from '../native/inode.ts'
import type { EntryRecord } from '../streams/records.ts'
import { join } from '../tree/path.ts'
import { type XattrFilter, xattrFilters } from '../tree/transform.ts'
import { Xattrs } from '../tree/xattrs.ts'
import { freshMemory, readBody, type TakeMemory } from './body-reader.ts'
import { type EntryParts, entryOf, targetOf, typeOf, xattrsOf } from './inode-entry.ts'
import { assertUnchanged, settledStatOf } from './inode-stat.ts'
import { MountGuard, type MountRule } from './mounts.ts'
import { OpenDirectories, type ScannedDirectory } from './open-directories.ts'
import { type ListedName, list, openListed, openTop } from './open-inode.ts'
import { changed, replaced } from './scan-error.ts'

/** How a directory is scanned. */
export interface ScanOptions {
  /** What becomes of other file systems that are mounted below. Default `refuse`. */
  readonly oneFileSystem?: MountRule
  /** Which extended attributes are read: `user` those of users alone; `none` needs no native package. Default `all`. */
  readonly xattrs?: XattrFilter | 'user' | 'none'
  /** Whether names of one inode share it; if not, each gets a file of its own with the same contents. Default true. */
  readonly hardlinks?: boolean
  /** Whether character and block devices are there. Default true. */
  readonly devices?: boolean
  /** Drop the fractions of times. Default false. */
  readonly wholeSeconds?: boolean
  /** How many directories may be open at a time; those of deeper trees are opened again. From 1, default 64, or fewer where
   * the limit of open files is low. */
  readonly openDirectories?: number
}

/** A leaf that was scanned: where, and when its inode had last been changed. */
interface KnownLeaf {
  readonly path: ByteString
  readonly ctime: number | bigint
  readonly ctimeNsec: number
}

const { S_IFREG, S_IFDIR, S_IFLNK, S_IFCHR, S_IFBLK } = constants
const xattrRules = { ...xattrFilters, user: (name: ByteString) => name.startsWith('user.'), none: undefined }
const noBytes: readonly Buffer[] = []
const end: EntryRecord = { kind: 'end', padding: Buffer.alloc(0) }

/** One scan of one directory; see `scanDirectory`. */
export class DirectoryScan {
  /** For messages, without a slash at the end. */
  readonly #prefix: ByteString
  readonly #options: ScanOptions
  readonly #keeps: ((name: ByteString) => boolean) | undefined
  readonly #directories: OpenDirectories
  readonly #take: TakeMemory
  /** By device and inode number. Link counts are not asked: some file systems (fuse-overlayfs) do not know them. */
  readonly #known = new Map<number, Map<number | bigint, KnownLeaf>>()
  #guard: MountGuard | undefined

  /**
   * @param take where contents are read to
   * @throws {@link ComposefsError} `ERR_ARGUMENT`
   */
  constructor(top: BytesLike, options: ScanOptions = {}, take: TakeMemory = freshMemory()) {
    const { xattrs = 'all', openDirectories = Math.max(1, descriptorsFor(64)) } = options
    if (!Number.isSafeInteger(openDirectories) || openDirectories < 1) {
      throw new ComposefsError('ERR_ARGUMENT', `openDirectories must be at least 1, not ${openDirectories}`)
    }
    this.#prefix = fromLatin1(bytesOf(top).replace(/\/+$/, ''))
    this.#options = options
    this.#take = take
    this.#keeps = xattrRules[xattrs]
    this.#directories = new OpenDirectories(openDirectories)
  }

  /**
   * Everything, the top first, a directory before what is in it, siblings in the order of their bytes. Ending the
   * generator closes what is open. Throws what `scanDirectory` lists.
   */
  *records(): Generator<EntryRecord, void, undefined> {
    const directories = this.#directories
    try {
      yield this.#top()
      yield end
      for (let directory = directories.current; directory !== undefined; directory = directories.current) {
        const listed = directory.names.pop()
        if (listed === undefined) {
          directories.leave()
          continue
        }
        if (this.#options.devices === false && (listed.type === S_IFCHR || listed.type === S_IFBLK)) continue
        if (listed.type === S_IFDIR) yield this.#directory(directory, listed)
        else yield* this.#leaf(directory, listed)
        yield end
      }
    } finally {
      directories.abandon()
    }
  }

  /** The top is in no directory, and says which file system is ours. */
  #top(): EntryRecord {
    const path = fromLatin1('/')
    const place = this.#prefix === '' ? path : this.#prefix
    if (!existsSync('/proc/self/fd')) {
      const hint = 'mount it: mount -t proc proc /proc'
      throw new ComposefsError('ERR_IO', 'a scan takes Linux with /proc', { path: printable(place), hint })
    }
    const fd = openTop(place)
    return this.#enter(fd, path, place, (stat) => {
      this.#guard = new MountGuard(this.#options.oneFileSystem ?? 'refuse', fd, stat)
      return true
    })
  }

  #directory(parent: ScannedDirectory, listed: ListedName): EntryRecord {
    const path = join(parent.path, listed.name)
    const place = this.#place(path)
    const fd = openListed(parent.fd, listed, place)
    return this.#enter(fd, path, place, (stat) => !this.#guard!.leavesOut(fd, stat, place))
  }

  /** From here on the descriptor belongs to the stack of directories. */
  #enter(fd: number, path: ByteString, place: ByteString, wanted: (stat: InodeStat) => boolean): EntryRecord {
    let entered = false
    try {
      const stat = settledStatOf(fd, place)
      const record = this.#entry(path, stat, { xattrs: this.#xattrs(fd, place) })
      if (wanted(stat)) {
        this.#directories.enter({ fd, stat, path, place, names: list(fd, place).reverse() })
        entered = true
      }
      return record
    } finally {
      if (!entered) closeSync(fd)
    }
  }

  *#leaf(parent: ScannedDirectory, listed: ListedName): Generator<EntryRecord, void, undefined> {
    const path = join(parent.path, listed.name)
    const place = this.#place(path)
    const fd = openListed(parent.fd, listed, place)
    try {
      const stat = settledStatOf(fd, place)
      const type = typeOf(stat)
      if (type !== listed.type) throw replaced(place)
      const hardlinkTo = this.#options.hardlinks === false ? undefined : this.#knownAs(path, stat, place)
      if (hardlinkTo !== undefined) {
        yield this.#entry(path, stat, { hardlinkTo })
        return
      }
      const xattrs = this.#xattrs(fd, place)
      const leftOut = this.#guard!.leavesOut(fd, stat, place)
      if (type === S_IFREG && !leftOut) {
        const size = sizeOf(stat, place)
        yield this.#entry(path, stat, { xattrs, size })
        yield* readBody(fd, size, place, this.#take)
      } else if (type === S_IFLNK) {
        yield this.#entry(path, stat, { xattrs, linkTarget: targetOf(parent.fd, listed.name, place) })
      } else {
        yield this.#entry(path, stat, { xattrs })
      }
      assertUnchanged(fd, stat, place)
    } finally {
      closeSync(fd)
    }
  }

  /** The path under which this inode was met before; otherwise this one is noted. */
  #knownAs(path: ByteString, { dev, ino, ctime, ctimeNsec }: InodeStat, place: ByteString): ByteString | undefined {
    let inodes = this.#known.get(dev)
    if (inodes === undefined) {
      inodes = new Map()
      this.#known.set(dev, inodes)
    }
    const known = inodes.get(ino)
    if (known === undefined) {
      inodes.set(ino, { path, ctime, ctimeNsec })
      return undefined
    }
    // Written to since, or another file that was given the number of one removed.
    if (known.ctime !== ctime || known.ctimeNsec !== ctimeNsec)
      throw changed(`it changed after ${printable(known.path)}, the same inode, was read`, place)
    return known.path
  }

  #entry(path: ByteString, stat: InodeStat, parts: EntryParts): EntryRecord {
    return { kind: 'entry', entry: entryOf(path, stat, this.#options.wholeSeconds === true, parts), raw: noBytes }
  }

  #xattrs(fd: number, place: ByteString): Xattrs {
    return this.#keeps === undefined ? Xattrs.empty : xattrsOf(fd, this.#keeps, place)
  }

  #place(path: ByteString): ByteString {
    return (this.#prefix + path) as ByteString
  }
}

function sizeOf({ size }: InodeStat, place: ByteString): number {
  if (typeof size === 'number') return size
  throw new ComposefsError('ERR_LIMIT', `the file has ${size} bytes`, { path: printable(place) })
}
