import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { ObjectDirectory } from '../../src/repository/index.ts'
import {
  Directory,
  type FileSystem,
  Leaf,
  type LeafContent,
  type Stat,
  FileSystem as Tree,
  Xattrs,
} from '../../src/tree/index.ts'
import { temporaryDirectory } from './temporary-directory.ts'

/** Metadata that whoever runs the tests can restore. */
export const ownStat: Stat = {
  mode: 0o644,
  uid: process.getuid?.() ?? 0,
  gid: process.getgid?.() ?? 0,
  mtime: 1_600_000_000,
  mtimeNsec: 123_456_789,
  xattrs: Xattrs.empty,
}

/** A tree of leaves by their paths; directories are made on the way. */
export function treeWith(leaves: Readonly<Record<string, LeafContent | Leaf>>): FileSystem {
  const directory = { ...ownStat, mode: 0o755 }
  const tree = new Tree(directory)
  for (const [path, leaf] of Object.entries(leaves)) {
    const parts = path.split('/').slice(1, -1)
    parts.forEach((_, i) => {
      const parent = `/${parts.slice(0, i + 1).join('/')}`
      if (tree.get(parent) === undefined) tree.insert(parent, new Directory(directory))
    })
    tree.insert(path, leaf instanceof Leaf ? leaf : new Leaf(ownStat, leaf))
  }
  return tree
}

/** An empty object store, and a place to check out to that does not exist yet. */
export function places(): { objects: ObjectDirectory; target: string; outside: string } {
  const base = temporaryDirectory()
  const outside = join(base, 'outside')
  mkdirSync(outside)
  return { objects: new ObjectDirectory(join(base, 'objects'), 'sha256'), target: join(base, 'target'), outside }
}
