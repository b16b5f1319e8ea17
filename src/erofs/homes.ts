/**
 * Which of the names of a hardlinked file its writer took for the inode's own.
 */
import type { ByteString } from '../bytes.ts'
import type { Directory, Inode, Leaf } from '../tree/inode.ts'
import type { DirectoryRecord, LeafRecord } from './reader.ts'

/** A name of a leaf. */
export interface Home {
  readonly parent: Directory
  readonly name: ByteString
}

/** The own names of the leaves that have several. */
export type Homes = ReadonlyMap<Leaf, Home>

/**
 * Finds the own names, and sets `home` of every leaf for which that is not the first depth first.
 *
 * In versions 0 and 1 inodes stand in the order in which their own names are met breadth first. If that holds with the
 * first names there is nothing to say. Otherwise walking the names and the inodes side by side tells which names it
 * holds with. An image in another order has no homes.
 */
export function findHomes(directories: readonly DirectoryRecord[], leaves: ReadonlyMap<number, LeafRecord>): Homes {
  const linked = new Set<Leaf>()
  for (const { leaf, links } of leaves.values()) if (links > 1) linked.add(leaf)
  if (linked.size === 0) return new Map()
  const first = firstNames(directories[0]!.directory, linked)
  const order = Float64Array.from([...leaves.keys(), ...directories.map(({ inode }) => inode.nid)]).sort()

  /** Walks along as long as names agree with inodes. */
  const agree = (isHome: (leaf: Leaf, home: Home, inPlace: boolean) => boolean): boolean => {
    let next = 1
    for (const { directory, names, nids } of directories) {
      for (let i = 0; i < nids.length; i++) {
        const inPlace = nids[i] === order[next]
        const leaf = leaves.get(nids[i]!)?.leaf
        const own =
          leaf === undefined || !linked.has(leaf) || isHome(leaf, { parent: directory, name: names[i]! }, inPlace)
        if (own && !inPlace) return false
        if (own) next++
      }
    }
    return next === order.length
  }
  const isFirst = (leaf: Leaf, { parent, name }: Home): boolean => {
    const home = first.get(leaf)
    return home?.parent === parent && home.name === name
  }
  if (agree(isFirst)) return first
  const homes = new Map<Leaf, Home>()
  const agreed = agree((leaf, home, inPlace) => {
    if (inPlace) homes.set(leaf, home)
    return inPlace
  })
  if (!agreed) return first
  for (const [leaf, home] of homes) if (!isFirst(leaf, home)) leaf.home = home
  return homes
}

/** The first name of each of these leaves, depth first. Directories hold their entries in order. */
function firstNames(root: Directory, wanted: ReadonlySet<Leaf>): Map<Leaf, Home> {
  const first = new Map<Leaf, Home>()
  const path: { parent: Directory; entries: Iterator<[ByteString, Inode]> }[] = []
  path.push({ parent: root, entries: root.entries[Symbol.iterator]() })
  for (let frame = path.at(-1); frame !== undefined; frame = path.at(-1)) {
    const { value, done } = frame.entries.next()
    if (done === true) {
      path.pop()
      continue
    }
    const [name, inode] = value
    if (inode.kind === 'directory') path.push({ parent: inode, entries: inode.entries[Symbol.iterator]() })
    else if (wanted.has(inode) && !first.has(inode)) first.set(inode, { parent: frame.parent, name })
  }
  return first
}
