/**
 * Writes a tree out to a directory, name by name.
 *
 * @packageDocumentation
 */
import { closeSync, fstatSync, linkSync, mkdirSync, renameSync, rmSync, symlinkSync, unlinkSync } from 'node:fs'
import { constants as osConstants } from 'node:os'
import { type ByteString, fromLatin1, printable, toBuffer } from '../bytes.ts'
import { ComposefsError } from '../errors.ts'
import { errnoException, errnoOf, isErrno } from '../native/errno.ts'
import { native } from '../native/libc.ts'
import { nameIn, openDirectoryIn, openInode, through } from '../native/through.ts'
import type { ObjectDirectory } from '../repository/objects.ts'
import { TemporaryFiles, temporaryName } from '../repository/temporary.ts'
import type { WalkItem } from '../tree/filesystem.ts'
import { type Directory, fullMode, type Leaf } from '../tree/inode.ts'
import { type CheckoutOptions, checkNames, checkoutError, openTarget, privateMode } from './checkout-target.ts'
import { ContentWriter } from './restore-contents.ts'
import { type NotRestored, type Report, restoreStat } from './restore-stat.ts'

/** What a checkout has done. */
export interface CheckoutResult {
  /** Directories and leaves, hardlinks counted once. */
  readonly inodes: number
  /** Further names of leaves. */
  readonly links: number
  /** Bytes in files, and those of them that are shared with the object store. */
  readonly bytes: number
  readonly reflinkedBytes: number
  /** What is not on disk as the tree has it, in the order of the paths. Empty for root on a file system with xattrs. */
  readonly notRestored: readonly NotRestored[]
}

/** A directory that is being filled. */
interface Level {
  readonly path: ByteString
  readonly directory: Directory
  readonly fd: number
  readonly temporaries: TemporaryFiles
}

const temporaryPrefix = '.tmp-checkout-'
const typeBits = 0o170000
const hardlinksRefused = ['EMLINK', 'EPERM', 'EOPNOTSUPP', 'ENOSYS', 'EACCES'] as const

/**
 * The work of `DirectorySink`. A descriptor is held for each directory on the way, and every call goes through it, so
 * that no symlink is ever followed; what was made is looked at again before anything is done to it.
 */
export class Checkout {
  readonly #target: string
  readonly #replace: boolean
  readonly #contents: ContentWriter
  readonly #levels: Level[] = []
  /** What leaves are known by, for their further names; undefined where the leaf could not be made. */
  readonly #made = new Map<Leaf, string | undefined>()
  readonly #notRestored: NotRestored[] = []
  #inodes = 0
  #links = 0

  constructor(target: string, objects: ObjectDirectory | undefined, options: CheckoutOptions) {
    this.#target = target
    this.#replace = options.force ?? false
    this.#contents = new ContentWriter(objects, options)
  }

  /** Makes one name. Parents come before what is in them, and are complete once a name outside of them comes. */
  async add(item: WalkItem, signal: AbortSignal): Promise<void> {
    const { path } = item
    try {
      if (this.#levels.length === 0) {
        if (path === '/' && item.kind === 'inode' && item.inode.kind === 'directory') return this.#root(item.inode)
        throw new ComposefsError('ERR_STREAM_ORDER', 'the first name is not the root directory')
      }
      const slash = path.lastIndexOf('/')
      const level = this.#descend((path.slice(0, slash) || '/') as ByteString)
      const name = path.slice(slash + 1) as ByteString
      if (item.kind === 'link') await this.#link(level, name, item, signal)
      else if (item.inode.kind === 'directory') this.#directory(level, name, path, item.inode)
      else await this.#leaf(level, name, path, item.inode, signal)
    } catch (error) {
      throw signal.aborted ? signal.reason : checkoutError(error, this.#shown(path))
    }
  }

  /** Completes the directories that are open. */
  finish(): CheckoutResult {
    while (this.#levels.length > 0) this.#leave()
    const { bytes, reflinkedBytes } = this.#contents
    const notRestored = this.#notRestored
    return { inodes: this.#inodes, links: this.#links, bytes, reflinkedBytes, notRestored }
  }

  /** Lets go of everything. Directories that are not complete stay, closed to others. */
  close(): void {
    for (const { fd } of this.#levels.splice(0)) closeSync(fd)
  }

  #shown(path: ByteString): string {
    return `${this.#target}${path === '/' ? '' : printable(path)}`
  }

  #reporter(path: ByteString): Report {
    return (problem) => this.#notRestored.push({ path, ...problem })
  }

  #root(directory: Directory): void {
    this.#push(fromLatin1('/'), directory, openTarget(this.#target, this.#replace))
  }

  #push(path: ByteString, directory: Directory, fd: number): void {
    this.#levels.push({ path, directory, fd, temporaries: new TemporaryFiles(through(fd), temporaryPrefix) })
    this.#inodes++
    checkNames(directory)
  }

  /** The open directory of this path; those further down are complete. */
  #descend(path: ByteString): Level {
    for (let level = this.#levels.at(-1); level !== undefined; level = this.#levels.at(-1)) {
      if (level.path === path) return level
      this.#leave()
    }
    throw new ComposefsError('ERR_STREAM_ORDER', `a name comes without its directory ${printable(path)}`)
  }

  #leave(): void {
    const { path, directory, fd } = this.#levels.at(-1)!
    try {
      restoreStat(fd, directory, this.#reporter(path))
    } catch (error) {
      throw checkoutError(error, this.#shown(path))
    }
    this.#levels.pop()
    closeSync(fd)
  }

  #directory(level: Level, name: ByteString, path: ByteString, directory: Directory): void {
    const at = nameIn(level.fd, name)
    try {
      mkdirSync(at, privateMode)
    } catch (error) {
      if (!this.#replace || !isErrno(error, 'EEXIST')) throw error
      this.#makeWay(at)
    }
    this.#push(path, directory, openDirectoryIn(level.fd, name))
  }

  async #leaf(level: Level, name: ByteString, path: ByteString, leaf: Leaf, signal: AbortSignal): Promise<void> {
    const report = this.#reporter(path)
    const { content } = leaf
    let identity: string | undefined
    if (content.type === 'inline' || content.type === 'external') {
      const file = level.temporaries.create(0o600)
      try {
        await this.#contents.write(file, content, signal)
        restoreStat(file.fd, leaf, report)
        identity = identityOf(file.fd)
        this.#place(level, name, (at) => {
          if (!file.link(at)) throw errnoException(osConstants.errno.EEXIST, 'link')
        })
      } finally {
        file.close()
      }
    } else {
      identity = this.#special(level, name, leaf, report)
    }
    if (identity !== undefined) this.#inodes++
    this.#made.set(leaf, identity)
  }

  /** A symlink, device, fifo or socket; undefined, and reported, where this user or file system cannot have it. */
  #special(level: Level, name: ByteString, leaf: Leaf, report: Report): string | undefined {
    const { content } = leaf
    if (content.type === 'symlink') {
      this.#place(level, name, (at) => symlinkSync(toBuffer(content.target), at))
    } else {
      const device = 'rdev' in content ? content.rdev : 0
      const wanted = 'rdev' in content ? `${content.type} ${deviceText(device)}` : content.type
      const libc = native()
      if (libc === undefined) {
        report({ what: 'inode', wanted, reason: 'koffi is not installed' })
        return undefined
      }
      try {
        this.#place(level, name, (_at, name) => {
          const mode = (fullMode(leaf) & typeBits) | 0o600
          const errno = libc.mknodat(level.fd, toBuffer(fromLatin1(`${name}\0`)), mode, device)
          if (errno !== 0) throw errnoException(errno, 'mknod')
        })
      } catch (error) {
        if (!isErrno(error, 'EPERM', 'EOPNOTSUPP', 'ENOSYS')) throw error
        report({ what: 'inode', wanted, reason: errnoOf(error)! })
        return undefined
      }
    }
    const fd = openInode(level.fd, name)
    try {
      const { mode, nlink } = fstatSync(fd)
      if ((mode & typeBits) !== (fullMode(leaf) & typeBits) || nlink !== 1) throw replaced()
      restoreStat(fd, leaf, report)
      return identityOf(fd)
    } finally {
      closeSync(fd)
    }
  }

  async #link(
    level: Level,
    name: ByteString,
    { path, target, leaf }: WalkItem & { readonly kind: 'link' },
    signal: AbortSignal,
  ): Promise<void> {
    const identity = this.#made.get(leaf)
    if (identity === undefined) {
      this.#reporter(path)({
        what: 'inode',
        wanted: `hardlink of ${printable(target)}`,
        reason: 'its inode is missing',
      })
      return
    }
    try {
      this.#hardlink(level, name, target)
    } catch (error) {
      if (!isErrno(error, ...hardlinksRefused)) throw error
      const reason = errnoOf(error)!
      this.#reporter(path)({ what: 'hardlink', wanted: printable(target), reason })
      return this.#leaf(level, name, path, leaf, signal)
    }
    this.#links++
    const fd = openInode(level.fd, name)
    const found = identityOf(fd)
    closeSync(fd)
    if (found === identity) return
    unlinkSync(nameIn(level.fd, name))
    throw replaced()
  }

  /** Looks the first name up again, a component at a time from the nearest directory that is open. */
  #hardlink(level: Level, name: ByteString, target: ByteString): void {
    const nearest = this.#levels.findLast(({ path }) => path === '/' || target.startsWith(`${path}/`))!
    const parts = target.slice(nearest.path === '/' ? 1 : nearest.path.length + 1).split('/') as ByteString[]
    const last = parts.pop()!
    let fd = nearest.fd
    try {
      for (const part of parts) {
        const next = openDirectoryIn(fd, part)
        if (fd !== nearest.fd) closeSync(fd)
        fd = next
      }
      const from = nameIn(fd, last)
      this.#place(level, name, (at) => linkSync(from, at))
    } finally {
      if (fd !== nearest.fd) closeSync(fd)
    }
  }

  /**
   * Makes something under a name that must be free. With `force` it takes the place of what has the name, unless that is a
   * directory, and only once it is made: not everything can be made everywhere.
   */
  #place({ fd }: Level, name: ByteString, make: (path: Buffer, name: ByteString) => void): void {
    try {
      make(nameIn(fd, name), name)
    } catch (error) {
      if (!this.#replace || !isErrno(error, 'EEXIST')) throw error
      const temporary = fromLatin1(temporaryName(temporaryPrefix))
      make(nameIn(fd, temporary), temporary)
      try {
        renameSync(nameIn(fd, temporary), nameIn(fd, name))
      } finally {
        // Of two names of one inode rename(2) leaves both.
        rmSync(nameIn(fd, temporary), { force: true })
      }
    }
  }

  /** Makes a directory in the place of something else; one that is there is used. A directory cannot replace a file at once. */
  #makeWay(at: Buffer): void {
    try {
      // unlink never removes a directory, and never follows a symlink.
      unlinkSync(at)
    } catch (error) {
      if (isErrno(error, 'EISDIR')) return
      throw error
    }
    mkdirSync(at, privateMode)
  }
}

/** An inode number alone would not do: it is given away again as soon as it is free. */
function identityOf(fd: number): string {
  const { ino, mode, size, mtimeNs } = fstatSync(fd, { bigint: true })
  return `${ino} ${mode} ${size} ${mtimeNs}`
}

const deviceText = (device: number): string =>
  `${(device >>> 8) & 0xfff}:${(device & 0xff) | ((device >>> 12) & 0xfff00)}`

const replaced = (): ComposefsError =>
  new ComposefsError('ERR_IO', 'something else took the place of what was just made', {
    hint: 'nobody else may write below the directory of a checkout',
  })
