/**
 * Which names share an inode, in two trees.
 *
 * @packageDocumentation
 */
import type { ByteString } from '../bytes.ts'
import { inodeType } from './diff-inode.ts'
import type { Change } from './difference.ts'
import type { FileSystem } from './filesystem.ts'
import type { Leaf } from './inode.ts'

/** All names of one inode, in the order of a walk. */
interface Group {
  readonly names: ByteString[]
  /** Those that the other tree has as well, as the same type; found out when first asked for. */
  common?: readonly ByteString[]
}

interface Side {
  readonly fileSystem: FileSystem
  /** Of inodes with several names. */
  readonly groups: ReadonlyMap<Leaf, Group>
}

/** Compares hardlinks, whatever the order of their names. */
export class LinkComparison {
  readonly #a: Side
  readonly #b: Side
  /** Pairs of inodes that met before; only those are kept of which one has several names. */
  readonly #met = new Map<Leaf, Set<Leaf>>()

  constructor(a: FileSystem, b: FileSystem) {
    this.#a = sideOf(a)
    this.#b = sideOf(b)
  }

  /** Whether these two have not met under another name. */
  isFirst(a: Leaf, b: Leaf): boolean {
    if (!this.#a.groups.has(a) || !this.#b.groups.has(b)) return true
    const met = this.#met.get(a)
    if (met === undefined) this.#met.set(a, new Set([b]))
    else if (met.has(b)) return false
    else met.add(b)
    return true
  }

  /** What differs in the names of two inodes that share this path. */
  changes(path: ByteString, a: Leaf, b: Leaf): Change[] {
    const changes: Change[] = []
    const groupA = this.#a.groups.get(a) ?? { names: [path] }
    const groupB = this.#b.groups.get(b) ?? { names: [path] }
    // A count that the names explain is no news.
    const [nlinkA, nlinkB] = [a.nlink ?? groupA.names.length, b.nlink ?? groupB.names.length]
    if (nlinkA !== nlinkB && nlinkA - groupA.names.length !== nlinkB - groupB.names.length) {
      changes.push({ what: 'nlink', a: nlinkA, b: nlinkB })
    }
    const namesA = common(groupA, this.#b.fileSystem, a)
    const namesB = common(groupB, this.#a.fileSystem, b)
    if (namesA.length !== namesB.length || namesA.some((name, i) => name !== namesB[i])) {
      changes.push({ what: 'links', a: namesA, b: namesB })
    } else if (namesA.length > 1) {
      const [homeA, homeB] = [home(this.#a, a, namesA), home(this.#b, b, namesB)]
      if (homeA !== homeB) changes.push({ what: 'home', a: homeA, b: homeB })
    }
    return changes
  }
}

function sideOf(fileSystem: FileSystem): Side {
  const groups = new Map<Leaf, Group>()
  const counts = fileSystem.linkCounts()
  if (![...counts.values()].some((count) => count > 1)) return { fileSystem, groups }
  for (const item of fileSystem.walk()) {
    if (item.kind === 'link') groups.get(item.leaf)!.names.push(item.path)
    else if (item.inode.kind === 'leaf' && counts.get(item.inode)! > 1) groups.set(item.inode, { names: [item.path] })
  }
  return { fileSystem, groups }
}

function common(group: Group, other: FileSystem, leaf: Leaf): readonly ByteString[] {
  group.common ??= group.names.filter((name) => {
    const inode = other.lookup(parts(name))
    return inode !== undefined && inodeType(inode) === inodeType(leaf)
  })
  return group.common
}

/** The name that is the inode's own: the one that a dumpfile said, else the first. */
function home({ fileSystem }: Side, { home }: Leaf, names: readonly ByteString[]): ByteString {
  const own =
    home &&
    names.find((path) => {
      const own = parts(path)
      return own.at(-1) === home.name && fileSystem.parentOf(own) === home.parent
    })
  return own ?? names[0]!
}

const parts = (path: ByteString): ByteString[] => path.slice(1).split('/') as ByteString[]
