/**
 * Merging layers into one tree (spec: oci-image, section 1).
 *
 * @packageDocumentation
 */
import { type ByteString, printable } from '../bytes.ts'
import { ComposefsError } from '../errors.ts'
import type { Content, Entry } from './entry.ts'
import { FileSystem } from './filesystem.ts'
import { Directory, type Inode, Leaf, type LeafContent } from './inode.ts'
import { components } from './path.ts'
import { defaultDirectoryStat, type Stat } from './stat.ts'
import { Xattrs } from './xattrs.ts'

/** How layers are merged. */
export interface MergeOptions {
  /** Make parent directories that have no entry of their own: 0755, root:root, time 0. Default: refuse. */
  readonly implicitParents?: boolean
  /**
   * Whether names that begin with `.wh.` hide what is below, as in layers. Where they are names like any other, as in a
   * directory on disk, give false. Default true.
   */
  readonly whiteouts?: boolean
}

/** Longest target that a symlink can have, in bytes. */
const maxTargetLength = 4095
const whiteoutPrefix = '.wh.'
const opaqueMarker = '.wh..wh..opq'
/** Names that aufs keeps for itself; of its own directories in the root, no layer means what is in them. */
const aufsPrefix = '.wh..wh.'

/**
 * Applies the entries of one layer after the other to a tree.
 *
 * Whiteouts (`.wh.NAME`) and opaque markers (`.wh..wh..opq`) hide what lower layers brought, wherever in their own layer
 * they stand, as the OCI image specification has it; where their directory is not in the tree they do nothing. A
 * directory met again takes the new metadata and keeps its children; everything else replaces what was there.
 *
 * @example
 * ```ts
 * import { fromLatin1, LayerMerger, Xattrs } from 'composefs-streams/tree'
 *
 * const merger = new LayerMerger()
 * merger.beginLayer()
 * const entry = { path: fromLatin1('etc/'), type: 'directory', typeflag: 0x35, mode: 0o755, uid: 0, gid: 0, mtime: 0 } as const
 * const rest = { mtimeNsec: 0, size: 0, rdev: 0, linkTarget: fromLatin1(''), xattrs: Xattrs.empty, offset: 0 }
 * merger.add({ ...entry, ...rest }, { type: 'none' })
 * merger.fileSystem.get('/etc')?.kind // 'directory'
 * ```
 */
export class LayerMerger {
  readonly fileSystem: FileSystem
  readonly #implicitParents: boolean
  readonly #whiteouts: boolean
  /** Names that the layer at hand wrote, and those of directories above them; undefined where nothing is lower. */
  #own: Map<Directory, Set<ByteString>> | undefined
  /** Directories in which, at any depth, nothing of a lower layer is left: to look again would take quadratic time. */
  #cleared = new Set<Directory>()
  /** Of the last directory and of the last leaf: what comes next mostly has the same. */
  readonly #lastStats: { directory: Stat; leaf: Stat } = { directory: defaultDirectoryStat, leaf: defaultDirectoryStat }

  constructor(options: MergeOptions = {}) {
    this.fileSystem = new FileSystem({ ...defaultDirectoryStat, mode: 0 })
    this.#implicitParents = options.implicitParents ?? false
    this.#whiteouts = options.whiteouts ?? true
  }

  /** What is added from now on belongs to a new layer above everything before. */
  beginLayer(): void {
    this.#own = this.fileSystem.root.entries.size > 0 ? new Map() : undefined
    this.#cleared = new Set()
  }

  /**
   * Applies one entry.
   *
   * @throws {@link ComposefsError} `ERR_PATH_INVALID`, `ERR_NAME_TOO_LONG`, `ERR_PARENT_MISSING`,
   * `ERR_PARENT_NOT_DIRECTORY`, `ERR_HARDLINK_TARGET`, `ERR_SYMLINK_TARGET`, `ERR_ROOT_NOT_DIRECTORY`, `ERR_TAR_TYPE`,
   * each naming the entry
   */
  add(entry: Entry, content: Content): void {
    const parts = components(entry.path)
    const name = parts.at(-1)
    if (name === undefined) {
      if (entry.type !== 'directory') throw rootProblem(entry)
      this.fileSystem.root.stat = this.#stat(entry, 'directory')
      return
    }
    if (this.#whiteouts) {
      if (parts.length > 1 && parts[0]!.startsWith(aufsPrefix)) return
      if (name.startsWith(whiteoutPrefix)) {
        this.#whiteout(parts, name, entry, content)
        return
      }
    }
    const inode = entry.type === 'hardlink' ? this.#target(entry) : this.#inode(entry, content)
    const parent = this.#parent(parts)
    const existing = parent.entries.get(name)
    if (inode.kind === 'directory' && existing?.kind === 'directory') existing.stat = inode.stat
    else parent.entries.set(name, inode)
    this.#mark(parent, name)
  }

  #inode(entry: Entry, content: Content): Inode {
    if (entry.type === 'directory') return new Directory(this.#stat(entry, 'directory'))
    return new Leaf(this.#stat(entry, 'leaf'), leafContent(entry, content))
  }

  /** One object for neighbours whose metadata are the same: trees are large, and kept as a whole. */
  #stat(entry: Entry, kind: Inode['kind']): Stat {
    const last = this.#lastStats[kind]
    if (!hasStat(entry, last)) this.#lastStats[kind] = statOf(entry)
    return this.#lastStats[kind]
  }

  #target(entry: Entry): Leaf {
    const inode = this.fileSystem.lookup(components(entry.linkTarget))
    if (inode?.kind === 'leaf') return inode
    const what = inode === undefined ? 'does not exist' : 'is a directory'
    const target = printable(entry.linkTarget)
    const hint =
      inode === undefined
        ? 'the target must come before the link, in its layer or in one below; make the layer again with both'
        : 'only files can have a hardlink; make the layer again with a symlink, or without it'
    throw problem('ERR_HARDLINK_TARGET', `the target ${target} of the hardlink ${what}`, entry, hint)
  }

  /** Hides and marks nothing where its directory is not there: a whiteout or an opaque marker above may have hidden it. */
  #whiteout(parts: readonly ByteString[], name: ByteString, entry: Entry, content: Content): void {
    // As in the reference, what could be no entry is no whiteout either; but aufs makes hardlinks of its whiteouts.
    if (entry.type !== 'hardlink') this.#inode(entry, content)
    else if (!components(entry.linkTarget).at(-1)?.startsWith(whiteoutPrefix)) this.#target(entry)
    let parent = this.fileSystem.root
    for (let i = 0; i < parts.length - 1; i++) {
      const next = parent.entries.get(parts[i]!)
      if (next === undefined) return
      if (next.kind !== 'directory') {
        // Behind a symlink it could mean a file that is there; what is below a file cannot be.
        if (next.content.type === 'symlink') this.fileSystem.parentOf(parts)
        return
      }
      parent = next
    }
    if (name === opaqueMarker) this.#hideChildren(parent)
    else this.#hide(parent, name.slice(whiteoutPrefix.length) as ByteString)
  }

  #parent(parts: readonly ByteString[]): Directory {
    let directory = this.fileSystem.root
    for (let i = 0; i < parts.length - 1; i++) {
      const part = parts[i]!
      let next = directory.entries.get(part)
      if (next === undefined && this.#implicitParents) {
        next = new Directory(defaultDirectoryStat)
        directory.entries.set(part, next)
      }
      // Says what is wrong with it.
      if (next?.kind !== 'directory') return this.fileSystem.parentOf(parts)
      this.#mark(directory, part)
      directory = next
    }
    return directory
  }

  #mark(directory: Directory, name: ByteString): void {
    if (this.#own === undefined) return
    const names = this.#own.get(directory)
    if (names === undefined) this.#own.set(directory, new Set([name]))
    else names.add(name)
  }

  /** Removes what lower layers brought under this name. */
  #hide(parent: Directory, name: ByteString): void {
    if (this.#own === undefined) return
    const inode = parent.entries.get(name)
    if (inode === undefined) return
    if (this.#own.get(parent)?.has(name) !== true) parent.entries.delete(name)
    else if (inode.kind === 'directory') this.#hideChildren(inode)
  }

  #hideChildren(top: Directory): void {
    if (this.#own === undefined) return
    const pending = [top]
    for (let directory = pending.pop(); directory !== undefined; directory = pending.pop()) {
      if (this.#cleared.has(directory)) continue
      this.#cleared.add(directory)
      const names = this.#own.get(directory)
      for (const [name, inode] of directory.entries) {
        if (names?.has(name) !== true) directory.entries.delete(name)
        else if (inode.kind === 'directory') pending.push(inode)
      }
    }
  }
}

function statOf({ mode, uid, gid, mtime, mtimeNsec, xattrs }: Entry): Stat {
  return { mode, uid, gid, mtime, mtimeNsec, xattrs: xattrs.size === 0 ? Xattrs.empty : xattrs }
}

function hasStat({ mode, uid, gid, mtime, mtimeNsec, xattrs }: Entry, stat: Stat): boolean {
  return (
    mode === stat.mode &&
    mtime === stat.mtime &&
    mtimeNsec === stat.mtimeNsec &&
    uid === stat.uid &&
    gid === stat.gid &&
    xattrs.equals(stat.xattrs)
  )
}

function leafContent(entry: Entry, content: Content): LeafContent {
  switch (entry.type) {
    case 'file':
      if (content.type === 'external') return { type: 'external', id: content.id, size: content.size }
      // The bytes may be a view of a large chunk, which would stay in memory as long as the tree.
      return { type: 'inline', bytes: content.type === 'inline' ? Buffer.from(content.bytes) : Buffer.alloc(0) }
    case 'symlink': {
      const { length } = entry.linkTarget
      if (length >= 1 && length <= maxTargetLength) return { type: 'symlink', target: entry.linkTarget }
      const what =
        length === 0
          ? 'the symlink has no target'
          : `the target of the symlink has ${length} bytes, at most ${maxTargetLength} are possible`
      throw problem('ERR_SYMLINK_TARGET', what, entry, 'no kernel follows it; make the layer again without it')
    }
    case 'character-device':
    case 'block-device':
      return { type: entry.type, rdev: entry.rdev }
    case 'fifo':
    case 'socket':
      return { type: entry.type }
    default: {
      const type = JSON.stringify(String.fromCharCode(entry.typeflag))
      const hint = 'the layer can be stored, but no image be made of it; make it again without this entry'
      throw problem('ERR_TAR_TYPE', `an image cannot hold an entry of type ${type}`, entry, hint)
    }
  }
}

function rootProblem(entry: Entry): ComposefsError {
  const hint = 'an entry for / can only be a directory; make the layer again without this one'
  return problem('ERR_ROOT_NOT_DIRECTORY', 'the root must be a directory', entry, hint)
}

function problem(code: ComposefsError['code'], what: string, entry: Entry, hint: string): ComposefsError {
  return new ComposefsError(code, what, { path: printable(entry.path), offset: entry.offset, hint })
}
