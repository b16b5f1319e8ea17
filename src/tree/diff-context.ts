/**
 * What the trees as a whole tell about a difference.
 *
 * @packageDocumentation
 */
import type { ByteString } from '../bytes.ts'
import type { CauseName, DiffFacts } from './diff-facts.ts'
import type { Difference } from './difference.ts'
import type { FileSystem } from './filesystem.ts'
import { Directory, type Inode } from './inode.ts'
import { components } from './path.ts'
import { defaultDirectoryStat, type Stat } from './stat.ts'
import { inodes } from './transform.ts'

/** One of the two trees. */
export type Side = 'a' | 'b'

export const opposite = (side: Side): Side => (side === 'a' ? 'b' : 'a')

const sides = ['a', 'b'] as const
const emptiedDirectories: Readonly<Record<string, CauseName>> = {
  run: 'run-emptied',
  boot: 'boot-emptied',
  sysroot: 'boot-emptied',
}

/** Answers questions about two trees, each of which is asked of a whole tree only once. */
export class CauseContext {
  readonly #facts: DiffFacts
  #epoch: { readonly side: Side | undefined } | undefined
  #split: { readonly side: Side | undefined } | undefined

  constructor(facts: DiffFacts) {
    this.#facts = facts
  }

  /** The side on which this directory is as if nobody had described it. */
  implicitParent({ path, a, b }: Difference): Side | undefined {
    if (path === '/' || !(a instanceof Directory) || !(b instanceof Directory)) return undefined
    const [inA, inB] = [isDefault(a.stat), isDefault(b.stat)]
    if (inA === inB) return undefined
    const side = inA ? 'a' : 'b'
    return this.epoch() === side ? undefined : side
  }

  /** The side on which, and on which alone, all times are 0. */
  epoch(): Side | undefined {
    this.#epoch ??= {
      side: this.#only((tree) => every(tree, ({ mtime, mtimeNsec }) => mtime === 0 && mtimeNsec === 0)),
    }
    return this.#epoch.side
  }

  /** The side on which, and on which alone, no inode has two names. */
  split(): Side | undefined {
    this.#split ??= { side: this.#only((tree) => [...tree.linkCounts().values()].every((count) => count === 1)) }
    return this.#split.side
  }

  /** The cause of a path being missing on a side, where that is that everything beside it is. */
  emptied(path: ByteString, side: Side): CauseName | undefined {
    const top = path.split('/', 2)[1]!
    const directory = this.#tree(side)?.get(top)
    const isEmpty = path !== `/${top}` && directory instanceof Directory && directory.entries.size === 0
    return isEmpty ? emptiedDirectories[top] : undefined
  }

  /** The same for the time of the directory itself, which becomes that of `/usr`. */
  timeOfUsr(path: ByteString): [CauseName, Side] | undefined {
    const cause = emptiedDirectories[path.slice(1)]
    if (cause === undefined) return undefined
    const side = this.#only((tree) => {
      const directory = tree.lookup(components(path))
      const isEmpty = directory instanceof Directory && directory.entries.size === 0
      const usr = usrOf(tree)?.stat
      return isEmpty && usr?.mtime === directory.stat.mtime && usr.mtimeNsec === directory.stat.mtimeNsec
    })
    return side === undefined ? undefined : [cause, side]
  }

  /** The side whose root, unlike the other's, has been made by a rule. */
  rootRule(): Side | undefined {
    return this.#only(isCopyOfUsr) ?? this.#only(isNewest)
  }

  /** What {@link rootRule} means for a side. */
  rootText(side: Side): string {
    const tree = this.#tree(side)
    const copied = tree !== undefined && isCopyOfUsr(tree)
    return `in ${side.toUpperCase()} alone it ${copied ? 'has the metadata of /usr' : 'is 0555 root:root'}`
  }

  #tree(side: Side): FileSystem | undefined {
    return this.#facts[side]?.tree
  }

  /** The side that has a property which the other one is known not to have. */
  #only(has: (tree: FileSystem) => boolean): Side | undefined {
    const [a, b] = sides.map((side) => this.#tree(side))
    if (a === undefined || b === undefined) return undefined
    const [inA, inB] = [has(a), has(b)]
    return inA === inB ? undefined : inA ? 'a' : 'b'
  }
}

function isDefault({ mode, uid, gid, mtime, mtimeNsec, xattrs }: Stat): boolean {
  const plain = defaultDirectoryStat
  if (mode !== plain.mode || uid !== plain.uid || gid !== plain.gid) return false
  // It may have been labelled since.
  return mtime === 0 && mtimeNsec === 0 && [...xattrs].every(([name]) => name === 'security.selinux')
}

function every(tree: FileSystem, holds: (stat: Stat) => boolean): boolean {
  for (const inode of inodes(tree)) if (!holds(inode.stat)) return false
  return true
}

const usrOf = (tree: FileSystem): Inode | undefined => tree.get('usr')

function isCopyOfUsr(tree: FileSystem): boolean {
  const usr = usrOf(tree)?.stat
  const { mode, uid, gid, mtime, mtimeNsec, xattrs } = tree.root.stat
  return (
    usr !== undefined &&
    usr.mode === mode &&
    usr.uid === uid &&
    usr.gid === gid &&
    usr.mtime === mtime &&
    usr.mtimeNsec === mtimeNsec &&
    usr.xattrs.equals(xattrs)
  )
}

function isNewest({ root }: FileSystem): boolean {
  const { mode, uid, gid, xattrs } = root.stat
  return mode === 0o555 && uid === 0 && gid === 0 && xattrs.size === 0
}
