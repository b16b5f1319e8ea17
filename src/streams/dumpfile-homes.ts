/**
 * Hardlinked inodes at the name that is their own.
 *
 * @packageDocumentation
 */
import type { ByteString } from '../bytes.ts'
import type { FileSystem, WalkItem } from '../tree/filesystem.ts'
import type { Directory, Leaf } from '../tree/inode.ts'
import { join } from '../tree/path.ts'

/**
 * Every name as {@link FileSystem.walk} gives it, but a hardlinked inode comes at its `home` where it has one, and its
 * other names, also those that come earlier, are links to that. So a dumpfile keeps which line owns an inode, which
 * decides where the inode stands in an image, and with that the image's digest.
 */
export function* homeItems(fileSystem: FileSystem): Generator<WalkItem, void, undefined> {
  const homes = homePaths(fileSystem)
  if (homes.size === 0) {
    yield* fileSystem.walk()
    return
  }
  const counts = new Map<Leaf, number>()
  for (const item of fileSystem.walk()) {
    if (item.kind === 'inode' && item.inode.kind === 'directory') {
      yield item
      continue
    }
    const leaf = item.kind === 'link' ? item.leaf : (item.inode as Leaf)
    const home = homes.get(leaf)
    if (home === undefined) {
      yield item
      continue
    }
    // The first name, which may not be the home, is the one that comes with the link count.
    if (item.kind === 'inode') counts.set(leaf, item.nlink)
    if (item.path === home) yield { kind: 'inode', path: home, inode: leaf, nlink: counts.get(leaf)! }
    else yield { kind: 'link', path: item.path, target: home, leaf }
  }
}

/** The paths of the homes of all leaves that have several names. Homes that no longer hold their leaf do not count. */
function homePaths(fileSystem: FileSystem): Map<Leaf, ByteString> {
  const homes = new Map<Leaf, ByteString>()
  const byParent = new Map<Directory, Leaf[]>()
  for (const [leaf, count] of fileSystem.linkCounts()) {
    const { home } = leaf
    if (count < 2 || home?.parent.entries.get(home.name) !== leaf) continue
    const siblings = byParent.get(home.parent)
    if (siblings === undefined) byParent.set(home.parent, [leaf])
    else siblings.push(leaf)
  }
  if (byParent.size === 0) return homes
  for (const item of fileSystem.walk()) {
    if (item.kind !== 'inode' || item.inode.kind !== 'directory') continue
    for (const leaf of byParent.get(item.inode) ?? []) homes.set(leaf, join(item.path, leaf.home!.name))
  }
  return homes
}
