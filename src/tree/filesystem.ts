/**
 * A file system in memory: what images, dumpfiles and directories are made from.
 *
 * @packageDocumentation
 */
import { type ByteString, type BytesLike, bytesOf, printable } from '../bytes.ts'
import { ComposefsError } from '../errors.ts'
import { Directory, type Inode, type Leaf } from './inode.ts'
import { components, join } from './path.ts'
import type { Stat } from './stat.ts'

/** One name of the tree: an inode where it is met first, or a further link to a leaf met before. */
export type WalkItem =
  | { readonly kind: 'inode'; readonly path: ByteString; readonly inode: Inode; readonly nlink: number }
  | { readonly kind: 'link'; readonly path: ByteString; readonly target: ByteString; readonly leaf: Leaf }

/**
 * A tree of directories and leaves.
 *
 * @example
 * ```ts
 * import { defaultDirectoryStat, FileSystem, Leaf } from 'composefs-streams/tree'
 *
 * const fileSystem = new FileSystem(defaultDirectoryStat)
 * fileSystem.insert('/hello', new Leaf({ ...defaultDirectoryStat, mode: 0o644 }, { type: 'inline', bytes: Buffer.from('hi') }))
 * fileSystem.get('/hello')?.kind // 'leaf'
 * ```
 */
export class FileSystem {
  readonly root: Directory

  constructor(root: Stat | Directory) {
    this.root = root instanceof Directory ? root : new Directory(root)
  }

  /** The inode at a path, or undefined. Symlinks are not followed. */
  get(path: BytesLike): Inode | undefined {
    return this.lookup(components(bytesOf(path)))
  }

  /** The inode at the given components. */
  lookup(parts: readonly ByteString[]): Inode | undefined {
    let inode: Inode = this.root
    for (const part of parts) {
      if (inode.kind !== 'directory') return undefined
      const next = inode.entries.get(part)
      if (next === undefined) return undefined
      inode = next
    }
    return inode
  }

  /**
   * The directory that holds the last component.
   *
   * @throws {@link ComposefsError} `ERR_PARENT_MISSING`, `ERR_PARENT_NOT_DIRECTORY`, naming the entry and the parent.
   */
  parentOf(parts: readonly ByteString[]): Directory {
    let directory = this.root
    for (let i = 0; i < parts.length - 1; i++) {
      const next = directory.entries.get(parts[i]!)
      if (next?.kind === 'directory') {
        directory = next
        continue
      }
      const parent = `/${parts.slice(0, i + 1).join('/')}` as ByteString
      const path = printable(`/${parts.join('/')}` as ByteString)
      if (next === undefined) {
        throw new ComposefsError('ERR_PARENT_MISSING', `the parent directory ${printable(parent)} does not exist`, {
          path,
          hint: 'give every directory its own entry, or pass --implicit-parents (implicitParents: true)',
        })
      }
      throw notDirectory(parent, path, next, parts.slice(i + 1))
    }
    return directory
  }

  /**
   * Puts any inode at a path, replacing what is there. Give the same leaf to several paths to hardlink it.
   *
   * @throws {@link ComposefsError} `ERR_PATH_INVALID` for the root, and what {@link FileSystem.parentOf} throws.
   */
  insert(path: BytesLike, inode: Inode): void {
    const parts = components(bytesOf(path))
    const name = parts.at(-1)
    if (name === undefined) {
      const hint = 'set the metadata of its root instead, or make another FileSystem'
      throw new ComposefsError('ERR_PATH_INVALID', 'the root cannot be inserted', { hint })
    }
    this.parentOf(parts).entries.set(name, inode)
  }

  /** Number of names of each leaf. */
  linkCounts(): Map<Leaf, number> {
    const counts = new Map<Leaf, number>()
    const pending = [this.root]
    for (let directory = pending.pop(); directory !== undefined; directory = pending.pop()) {
      for (const inode of directory.entries.values()) {
        if (inode.kind === 'directory') pending.push(inode)
        else counts.set(inode, (counts.get(inode) ?? 0) + 1)
      }
    }
    return counts
  }

  /** Every name, depth first, siblings in the order of their bytes, a directory before what is in it. */
  *walk(): Generator<WalkItem, void, undefined> {
    const counts = this.linkCounts()
    const first = new Map<Leaf, ByteString>()
    // An explicit stack: a hostile tree may be deeper than the call stack.
    const stack: { path: ByteString; inode: Inode }[] = [{ path: '/' as ByteString, inode: this.root }]
    for (let item = stack.pop(); item !== undefined; item = stack.pop()) {
      const { path, inode } = item
      if (inode.kind === 'directory') {
        const children = inode.sorted()
        let nlink = 2
        for (let i = children.length - 1; i >= 0; i--) {
          const [name, child] = children[i]!
          if (child.kind === 'directory') nlink++
          stack.push({ path: join(path, name), inode: child })
        }
        yield { kind: 'inode', path, inode, nlink }
        continue
      }
      const target = first.get(inode)
      if (target !== undefined) {
        yield { kind: 'link', path, target, leaf: inode }
        continue
      }
      const names = counts.get(inode)!
      if (names > 1) first.set(inode, path)
      yield { kind: 'inode', path, inode, nlink: inode.nlink ?? names }
    }
  }
}

/** A leaf stands where an entry needs a directory. Symlinks are not followed: what they lead to may change with the next layer. */
function notDirectory(
  parent: ByteString,
  path: string,
  { content }: Leaf,
  rest: readonly ByteString[],
): ComposefsError {
  const at = printable(parent)
  if (content.type !== 'symlink') {
    const hint = 'remove what is there by a whiteout or an entry of its own for the directory, or give another path'
    return new ComposefsError('ERR_PARENT_NOT_DIRECTORY', `the parent ${at} is a file, not a directory`, { path, hint })
  }
  const behind = printable([content.target.replace(/\/+$/, ''), ...rest].join('/') as ByteString)
  return new ComposefsError(
    'ERR_PARENT_NOT_DIRECTORY',
    `the parent ${at} is a symlink to ${printable(content.target)}, not a directory`,
    {
      path,
      hint: `symlinks are not followed: give the entry its path behind the symlink, ${behind}, or make ${at} a directory`,
    },
  )
}
