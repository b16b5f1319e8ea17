/**
 * From an image to a tree.
 */
import { type ByteString, fromLatin1 } from '../bytes.ts'
import { FileSystem } from '../tree/filesystem.ts'
import { Directory, Leaf } from '../tree/inode.ts'
import { atOnce, type Steps } from '../turns.ts'
import { readContent } from './content-reader.ts'
import { damaged } from './damaged.ts'
import { readDirents } from './dirent-reader.ts'
import { type ErofsVersion, fileType, maxInline, maxTarget, maxTargetVersion2 } from './format.ts'
import { findHomes } from './homes.ts'
import { ImageView } from './image-view.ts'
import { InodeReader, type StoredInode } from './inode-reader.ts'
import { restoreWhiteouts } from './restore-whiteouts.ts'
import { type InodeXattrs, XattrReader } from './xattr-reader.ts'

/** What to accept. */
export interface ReadImageOptions {
  /**
   * Most bytes of contents that a file may have inside the image.
   *
   * @default 5000, in version 2 512
   */
  maxInline?: number
  /**
   * Longest symlink target, in bytes.
   *
   * @default 4095, in version 2 1024
   */
  maxTarget?: number
}

/** An image, read. */
export interface ImageContents {
  readonly version: ErofsVersion
  readonly fileSystem: FileSystem
}

/** A directory that was read, with what the tree itself does not keep. */
export interface DirectoryRecord {
  readonly directory: Directory
  readonly inode: StoredInode
  readonly parentNid: number
  /** All names but `.` and `..`, hidden ones included. */
  names: readonly ByteString[]
  nids: readonly number[]
}

/** A leaf that was read. */
export interface LeafRecord {
  readonly leaf: Leaf
  /** A number of `fileType`. */
  readonly type: number
  readonly nlink: number
  /** Names met so far. */
  links: number
}

/**
 * Reads a whole image, and trusts nothing in it: every offset, count and name is checked, and no two inodes may share
 * bytes, so that time and memory stay in proportion to the image. What the writer of the image's version added for
 * overlayfs (stubs, marks, escapes) is taken back: {@link writeImage} of the tree gives the same bytes again.
 *
 * Contents and xattr values are views of `image`: do not change it while the tree is in use.
 *
 * @throws {@link ComposefsError} `ERR_EROFS_INVALID` with the inode and the offset, `ERR_EROFS_VERSION`.
 *
 * @example
 * ```ts
 * import { readFileSync } from 'node:fs'
 * import { readImage } from 'composefs-streams/erofs'
 *
 * const { version, fileSystem } = readImage(readFileSync('image.cfs'))
 * for (const { path } of fileSystem.walk()) console.log(version, path)
 * ```
 */
export function readImage(image: Buffer, options: ReadImageOptions = {}): ImageContents {
  return atOnce(readImageSteps(image, options))
}

/** The work of {@link readImage}. */
export function* readImageSteps(image: Buffer, options: ReadImageOptions = {}): Steps<ImageContents> {
  const source = new ImageView(image)
  const { version } = source
  const reader = new TreeReader(source, {
    maxInline: options.maxInline ?? maxInline[version],
    maxTarget: options.maxTarget ?? (version === 2 ? maxTargetVersion2 : maxTarget),
  })
  return { version, fileSystem: yield* reader.read() }
}

/** Names that are read in one step. */
const stepSize = 512
const stubName = /^[0-9a-f]{2}$/
const self = fromLatin1('.')
const up = fromLatin1('..')

class TreeReader {
  readonly #source: ImageView
  readonly #options: Required<ReadImageOptions>
  readonly #inodes: InodeReader
  readonly #xattrs: XattrReader
  /** In the order of the queue: breadth first. */
  readonly #directories: DirectoryRecord[] = []
  readonly #leaves = new Map<number, LeafRecord>()
  readonly #directoryNids = new Set<number>()
  /** Names met so far. */
  #names = 0

  constructor(source: ImageView, options: Required<ReadImageOptions>) {
    this.#source = source
    this.#options = options
    this.#inodes = new InodeReader(source)
    this.#xattrs = new XattrReader(source)
  }

  *read(): Steps<FileSystem> {
    const { rootNid, version, inodes } = this.#source
    const inode = this.#inodes.read(rootNid)
    if (inode.type !== fileType.directory) throw damaged('the root is no directory', { nid: rootNid })
    const root = this.#addDirectory(inode, rootNid)
    for (const record of this.#directories) yield* this.#readDirectory(record)
    const found = this.#leaves.size + this.#directories.length
    if (found !== inodes) throw damaged(`it has ${found} inodes and says ${inodes}`)
    yield
    this.#checkLinks()
    if (version !== 2) {
      const homes = findHomes(this.#directories, this.#leaves)
      restoreWhiteouts(this.#directories, this.#leaves, homes, version)
    }
    return new FileSystem(root)
  }

  #addDirectory(inode: StoredInode, parentNid: number): Directory {
    const directory = new Directory(stat(inode, this.#xattrs.read(inode)))
    this.#directories.push({ directory, inode, parentNid, names: [], nids: [] })
    this.#directoryNids.add(inode.nid)
    return directory
  }

  *#readDirectory(record: DirectoryRecord): Steps<void> {
    const { directory, inode, parentNid } = record
    const { nid } = inode
    const { names, nids, types } = readDirents(this.#source, inode)
    const dot = names.indexOf(self)
    const dotdot = names.indexOf(up)
    if (nids[dot] !== nid || types[dot] !== fileType.directory) throw damaged('its "." leads elsewhere', { nid })
    if (nids[dotdot] !== parentNid || types[dotdot] !== fileType.directory) {
      throw damaged('its ".." leads elsewhere', { nid })
    }
    // `.` comes before `..`.
    for (const list of [names, nids, types]) {
      list.splice(dotdot, 1)
      list.splice(dot, 1)
    }
    let subdirectories = 0
    for (let i = 0; i < names.length; i++) {
      if (++this.#names % stepSize === 0) yield
      const name = names[i]!
      const child = this.#child(nids[i]!, types[i]!, nid)
      if (child instanceof Directory) {
        subdirectories++
        directory.entries.set(name, child)
      } else if (!this.#isStub(child, record, name)) {
        directory.entries.set(name, child.leaf)
      }
    }
    if (inode.nlink !== subdirectories + 2) {
      throw damaged(`it has ${subdirectories} directories in it and ${inode.nlink} links`, { nid, offset: inode.at })
    }
    record.names = names
    record.nids = nids
  }

  #child(nid: number, type: number, parentNid: number): Directory | LeafRecord {
    let record = this.#leaves.get(nid)
    if (record === undefined) {
      if (this.#directoryNids.has(nid)) throw damaged('this directory has two names', { nid })
      const inode = this.#inodes.read(nid)
      if (inode.type === fileType.directory && type === fileType.directory) return this.#addDirectory(inode, parentNid)
      record = { leaf: this.#leaf(inode), type: inode.type, nlink: inode.nlink, links: 0 }
      this.#leaves.set(nid, record)
    }
    if (type !== record.type) throw damaged(`its type is not what its name in inode ${parentNid} says`, { nid })
    record.links++
    return record
  }

  #leaf(inode: StoredInode): Leaf {
    const xattrs = this.#xattrs.read(inode)
    const leaf = new Leaf(stat(inode, xattrs), readContent(this.#source, this.#inodes, inode, xattrs, this.#options))
    if (leaf.isWhiteout && inode.nlink !== 1) {
      throw damaged('a whiteout has more than one name', { nid: inode.nid, offset: inode.at })
    }
    return leaf
  }

  /** Whether a name is one of the 256 that the writer put into the root, to hide the objects. */
  #isStub({ leaf }: LeafRecord, { inode }: DirectoryRecord, name: ByteString): boolean {
    const { version, rootNid } = this.#source
    return version !== 2 && inode.nid === rootNid && leaf.isWhiteout && stubName.test(name)
  }

  #checkLinks(): void {
    const { version } = this.#source
    for (const [nid, { leaf, nlink, links }] of this.#leaves) {
      if (nlink === links) continue
      if (version === 2) throw damaged(`it has ${links} names and ${nlink} links`, { nid })
      // Versions 0 and 1 say what the dumpfile said.
      leaf.nlink = nlink
    }
  }
}

function stat({ mode, uid, gid, mtime, mtimeNsec }: StoredInode, { shown }: InodeXattrs): Leaf['stat'] {
  return { mode, uid, gid, mtime, mtimeNsec, xattrs: shown }
}
