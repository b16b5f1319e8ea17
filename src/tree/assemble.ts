/**
 * From the lines of a dumpfile, or records like them, to a tree.
 *
 * @packageDocumentation
 */
import { type ByteString, printable } from '../bytes.ts'
import { ComposefsError, type ErrorCode } from '../errors.ts'
import { FileSystem } from './filesystem.ts'
import { type Directory, type Inode, Leaf } from './inode.ts'
import { maxNameLength } from './path.ts'
import { defaultDirectoryStat } from './stat.ts'

/**
 * One line of a dumpfile: an inode under its own name, or a further name of one. `path` may lack its leading slash and
 * double others. A link's `target` is the path of another record, which may come later and may be a link itself.
 * `line` counts from 1 and serves messages.
 */
export type DumpRecord =
  | { readonly kind: 'inode'; readonly path: ByteString; readonly inode: Inode; readonly line: number }
  | { readonly kind: 'link'; readonly path: ByteString; readonly target: ByteString; readonly line: number }

/** So much of a path is shown in messages. */
const maxShown = 4096

interface PendingLink {
  readonly record: DumpRecord & { readonly kind: 'link' }
  readonly parent: Directory
  readonly name: ByteString
}

/** Where a path leads: an entry of a directory, or (without parent) the root. */
interface Place {
  readonly inode: Inode
  readonly parent?: Directory
  readonly name?: ByteString
}

/**
 * Builds a {@link FileSystem} from {@link DumpRecord}s. Directories come before what is in them, the root first;
 * otherwise any order will do. Links are resolved at the end.
 *
 * A leaf that has links remembers its own name as `home`, because it decides where the inode stands in an image.
 *
 * @example
 * ```ts
 * import { defaultDirectoryStat, Directory, fromLatin1, TreeAssembler } from 'composefs-streams/tree'
 *
 * const assembler = new TreeAssembler()
 * assembler.add({ kind: 'inode', path: fromLatin1('/'), inode: new Directory(defaultDirectoryStat), line: 1 })
 * const fileSystem = assembler.finish()
 * ```
 */
export class TreeAssembler {
  #root: Directory | undefined
  /** Directories by the path their entries are written under; the root is `''`. */
  readonly #directories = new Map<string, Directory>()
  readonly #links = new Map<Inode, PendingLink>()
  /** The parent of the last record, since the next one mostly has the same. */
  #lastKey = ''
  #lastParent: Directory | undefined

  /**
   * Puts one record in its place.
   *
   * @throws {@link ComposefsError} `ERR_ROOT_NOT_DIRECTORY`, `ERR_PARENT_MISSING`, `ERR_PARENT_NOT_DIRECTORY`,
   * `ERR_ENTRY_EXISTS`, `ERR_PATH_INVALID`, `ERR_NAME_TOO_LONG`.
   */
  add(record: DumpRecord): void {
    const { path } = record
    if (path === '/') {
      this.#addRoot(record)
      return
    }
    const slash = path.lastIndexOf('/')
    let key = this.#lastKey
    let parent = slash === key.length && path.startsWith(key) ? this.#lastParent : undefined
    if (parent === undefined) {
      key = slash > 0 ? path.slice(0, slash) : ''
      parent = this.#directories.get(key)
      if (parent === undefined) {
        // Not the way the parent's own line spells it, or there is no parent.
        key = canonical(key)
        parent = this.#directories.get(key)
        if (parent === undefined) throw this.#parentProblem(record, key)
      }
      this.#lastKey = key
      this.#lastParent = parent
    }
    const name = path.slice(slash + 1) as ByteString
    if (name.length > maxNameLength) {
      const what = `a name has ${name.length} bytes, at most ${maxNameLength} are possible`
      throw problem('ERR_NAME_TOO_LONG', record, what)
    }
    if (name === '' || name === '.' || name === '..' || name.includes('\0')) throw badName(record, name)
    if (parent.entries.has(name)) {
      throw problem('ERR_ENTRY_EXISTS', record, 'the path exists already', 'each path may stand on one line only')
    }
    if (record.kind === 'inode') {
      const { inode } = record
      parent.entries.set(name, inode)
      if (inode.kind === 'directory') this.#directories.set(`${key}/${name}`, inode)
      return
    }
    // The name is taken from now on; what it leads to is known at the end.
    const placeholder = new Leaf(defaultDirectoryStat, { type: 'fifo' })
    parent.entries.set(name, placeholder)
    this.#links.set(placeholder, { record, parent, name })
  }

  /**
   * Resolves the links and hands out the tree.
   *
   * @throws {@link ComposefsError} `ERR_HARDLINK_TARGET` for a target that is missing, a directory, or leads round in a
   * circle; `ERR_ROOT_NOT_DIRECTORY` where no record came.
   */
  finish(): FileSystem {
    const root = this.#root
    if (root === undefined) {
      const hint = 'the first line must be that of the root directory, /'
      throw new ComposefsError('ERR_ROOT_NOT_DIRECTORY', 'there is not even a root directory', { hint })
    }
    for (const link of this.#links.values()) this.#resolve(link)
    this.#links.clear()
    this.#directories.clear()
    this.#lastParent = undefined
    return new FileSystem(root)
  }

  #addRoot(record: DumpRecord): void {
    if (this.#root !== undefined) throw problem('ERR_ENTRY_EXISTS', record, 'the root exists already')
    if (record.kind === 'link' || record.inode.kind !== 'directory') {
      throw problem('ERR_ROOT_NOT_DIRECTORY', record, 'the root is not a directory')
    }
    this.#root = record.inode
    this.#directories.set('', record.inode)
  }

  /** Follows one link, and settles every link on the way. */
  #resolve(link: PendingLink): void {
    const chain = new Set<PendingLink>()
    let at: PendingLink | undefined = link
    let place: Place | undefined
    while (at !== undefined) {
      if (chain.has(at)) {
        const what =
          at === link && chain.size === 1 ? 'the hardlink is its own target' : 'the hardlinks lead in a circle'
        throw problem('ERR_HARDLINK_TARGET', link.record, what)
      }
      chain.add(at)
      place = this.#lookup(at.record.target)
      if (place?.inode.kind !== 'leaf') throw badTarget(at.record, place !== undefined)
      at = this.#links.get(place.inode)
    }
    const { inode: leaf, parent, name } = place as Required<Place> & { inode: Leaf }
    // A leaf that earlier links led to has its home; this place may be one of those.
    leaf.home ??= { parent, name }
    for (const { parent, name } of chain) parent.entries.set(name, leaf)
  }

  /** Looks a link's target up. Slashes do not count; `.` and `..` are names that nothing has. */
  #lookup(target: ByteString): Place | undefined {
    const slash = target.lastIndexOf('/')
    const name = target.slice(slash + 1) as ByteString
    const parent = this.#directories.get(slash > 0 ? target.slice(0, slash) : '')
    const inode = parent?.entries.get(name)
    if (inode !== undefined) return { inode, parent: parent!, name }
    const path = canonical(target)
    if (path === target) return undefined
    return path === '' ? { inode: this.#root! } : this.#lookup(path as ByteString)
  }

  /** Why there is no directory under this canonical path. */
  #parentProblem(record: DumpRecord, key: string): ComposefsError {
    if (this.#root === undefined) {
      const hint = 'the first line must be that of the root directory, /'
      return problem('ERR_PARENT_MISSING', record, 'there is no root directory yet', hint)
    }
    if (record.path.endsWith('/')) return badName(record, '' as ByteString)
    let directory = this.#root
    let parent = ''
    for (const part of key.split('/').slice(1) as ByteString[]) {
      if (part === '.' || part === '..') return badName(record, part)
      parent += `/${part}`
      const inode = directory.entries.get(part)
      if (inode?.kind === 'leaf') {
        const what = `the parent ${shown(parent)} is not a directory`
        return problem('ERR_PARENT_NOT_DIRECTORY', record, what)
      }
      if (inode === undefined) break
      directory = inode
    }
    const what = `the parent directory ${shown(parent)} does not exist`
    return problem('ERR_PARENT_MISSING', record, what, 'a directory must come before what is in it')
  }
}

/** One slash before each component and none at the end; the root is `''`. */
function canonical(path: string): string {
  const single = `/${path}`.replaceAll(/\/{2,}/g, '/')
  return single.endsWith('/') ? single.slice(0, -1) : single
}

function badTarget(record: PendingLink['record'], exists: boolean): ComposefsError {
  const what = `the hardlink's target ${shown(record.target)} ${exists ? 'is a directory' : 'does not exist'}`
  return problem('ERR_HARDLINK_TARGET', record, what, 'the target must be the path of a line, and no directory')
}

function badName(record: DumpRecord, name: ByteString): ComposefsError {
  const what = name === '' ? 'the path ends in a slash' : `"${shown(name)}" cannot be the name of an entry`
  return problem('ERR_PATH_INVALID', record, what, 'write plain absolute paths such as /usr/bin/sh')
}

function problem(code: ErrorCode, record: DumpRecord, what: string, hint?: string): ComposefsError {
  const path = shown(record.path)
  return new ComposefsError(code, `line ${record.line}: ${what}`, hint === undefined ? { path } : { path, hint })
}

/** For messages, which no path shall make endless. */
function shown(path: string): string {
  return printable((path.length > maxShown ? `${path.slice(0, maxShown)}...` : path) as ByteString)
}
