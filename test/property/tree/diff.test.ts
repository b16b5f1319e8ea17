import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ObjectId } from '../../../src/fsverity/index.ts'
import { readDumpfile } from '../../../src/streams/dumpfile-reader.ts'
import {
  bytesOf,
  type Change,
  type Difference,
  Directory,
  diffTrees,
  type FileSystem,
  type Inode,
  Leaf,
  type LeafContent,
} from '../../../src/tree/index.ts'
import { Random } from '../../support/random.ts'
import { randomDumpfile } from '../../support/random-dumpfile.ts'
import { runs } from '../../support/runs.ts'

const seeds = fc.integer({ min: 0, max: 2 ** 31 })

/** Where an inode is: the first name of a walk, and all of them. */
interface Place {
  readonly inode: Inode
  readonly names: string[]
}

/** `PATH WHAT` for each change, `PATH a` or `PATH b` for what is there alone. */
function told(differences: Iterable<Difference>): string[] {
  return [...differences].flatMap(({ path, a, changes }) =>
    changes.length === 0 ? [`${path} ${a === undefined ? 'b' : 'a'}`] : changes.map(({ what }) => `${path} ${what}`),
  )
}

function places({ walk }: { walk: () => ReturnType<FileSystem['walk']> }): Place[] {
  const found = new Map<Inode, Place>()
  for (const item of walk()) {
    const inode = item.kind === 'inode' ? item.inode : item.leaf
    const place = found.get(inode)
    if (place === undefined) found.set(inode, { inode, names: [item.path] })
    else place.names.push(item.path)
  }
  return [...found.values()]
}

const placesOf = (tree: FileSystem): Place[] => places({ walk: () => tree.walk() })

function parentOf(tree: FileSystem, path: string): { entries: Directory['entries']; name: ReturnType<typeof bytesOf> } {
  const parts = path.slice(1).split('/') as ReturnType<typeof bytesOf>[]
  return { entries: tree.parentOf(parts).entries, name: parts.at(-1)! }
}

/** The same tree with its entries in another order. */
function shuffle(random: Random, tree: FileSystem): void {
  for (const { inode } of placesOf(tree)) {
    if (!(inode instanceof Directory)) continue
    const entries = [...inode.entries].map((entry) => [random.next(), entry] as const).sort(([a], [b]) => a - b)
    inode.entries.clear()
    for (const [, [name, child]] of entries) inode.entries.set(name, child)
  }
}

/** Changes one thing of a tree and says what has to be told of it; undefined where the thing cannot be changed. */
function mutate(random: Random, tree: FileSystem): string[] | undefined {
  const all = placesOf(tree)
  const { inode, names } = random.pick(all)
  const path = names[0]!
  const stat = <T extends Change['what']>(what: T, change: Partial<Inode['stat']>): string[] => {
    inode.stat = { ...inode.stat, ...change }
    return [`${path} ${what}`]
  }
  const xattr = bytesOf('user.mutant')
  switch (random.below(13)) {
    case 0:
      return stat('mode', { mode: inode.stat.mode ^ (1 << random.below(12)) })
    case 1:
      return stat('uid', { uid: inode.stat.uid ^ 1 })
    case 2:
      return stat('gid', { gid: inode.stat.gid ^ 1 })
    case 3:
      return stat('mtime', { mtime: inode.stat.mtime === 7 ? 8 : 7 })
    case 4:
      return stat('mtime', { mtimeNsec: inode.stat.mtimeNsec ^ 1 })
    case 5:
      return stat('xattr', { xattrs: inode.stat.xattrs.with(xattr, Buffer.from('1')) })
    case 6: {
      const [first] = [...inode.stat.xattrs]
      if (first === undefined) return undefined
      const [name, value] = first
      if (random.chance(0.5)) return stat('xattr', { xattrs: inode.stat.xattrs.filter((other) => other !== name) })
      return stat('xattr', { xattrs: inode.stat.xattrs.with(name, Buffer.concat([value, Buffer.from('x')])) })
    }
    case 7: {
      if (inode instanceof Directory) return undefined
      const changed = otherContent(inode.content)
      if (changed === undefined) return undefined
      inode.content = changed.content
      return changed.what.map((what) => `${path} ${what}`)
    }
    case 8: {
      if (inode instanceof Directory) return undefined
      const count = inode.nlink ?? names.length
      inode.nlink = count === 3 ? 4 : 3
      return [`${path} nlink`]
    }
    case 9: {
      const name = random.pick(names)
      if (name === '/') return undefined
      const place = parentOf(tree, name)
      const gone = inode instanceof Directory ? all.flatMap((other) => other.names).filter(below(name)) : []
      place.entries.delete(place.name)
      return [name, ...gone].map((missing) => `${missing} a`)
    }
    case 10: {
      const directory = random.pick(all.filter((place) => place.inode instanceof Directory))
      const name = bytesOf('a new name')
      const leaf = random.pick([...all.map((place) => place.inode).filter((inode) => inode instanceof Leaf), fresh()])
      ;(directory.inode as Directory).entries.set(name, leaf)
      return [`${directory.names[0] === '/' ? '' : directory.names[0]}/${name} b`]
    }
    case 11: {
      if (inode instanceof Directory || inode.content.type === 'fifo') return undefined
      const name = random.pick(names)
      const place = parentOf(tree, name)
      place.entries.set(place.name, new Leaf(inode.stat, { type: 'fifo' }, inode.nlink))
      return [`${name} type`]
    }
    default: {
      if (inode instanceof Directory || names.length < 2) return undefined
      const name = random.pick(names)
      const place = parentOf(tree, name)
      place.entries.set(place.name, new Leaf(inode.stat, inode.content, inode.nlink))
      const rest = names.filter((other) => other !== name)
      // Once for each of the two inodes that there are now.
      return [`${name} links`, `${rest[0]} links`]
    }
  }
}

const below = (directory: string) => (path: string) => path.startsWith(`${directory}/`)
const fresh = (): Leaf =>
  new Leaf(new Directory(readDumpfile(Buffer.from('/ 0 40755 1 0 0 0 0.0 - - -\n')).root.stat).stat, { type: 'socket' })

function otherContent(content: LeafContent): { content: LeafContent; what: Change['what'][] } | undefined {
  switch (content.type) {
    case 'inline': {
      const bytes = Buffer.concat([content.bytes, Buffer.from('x')])
      if (content.bytes.length === 0) return { content: { ...content, bytes }, what: ['size', 'content'] }
      bytes[0]! ^= 1
      return { content: { ...content, bytes: bytes.subarray(0, -1) }, what: ['content'] }
    }
    case 'external': {
      // Beyond 2^53 one more is the same.
      const size = content.size > 2 ** 52 ? content.size - 1 : content.size + 1
      if (content.id === undefined) return { content: { ...content, size }, what: ['size'] }
      const bytes = content.id.bytes
      bytes[3]! ^= 1
      const path = content.path === undefined ? {} : { path: content.path }
      return {
        content: { type: 'external', size: content.size, id: ObjectId.fromBytes(bytes), ...path },
        what: ['content'],
      }
    }
    case 'symlink':
      return { content: { ...content, target: bytesOf(`${content.target}x`) }, what: ['target'] }
    case 'character-device':
    case 'block-device':
      return { content: { ...content, rdev: content.rdev ^ 1 }, what: ['rdev'] }
    default:
      return undefined
  }
}

test('a tree does not differ from itself, whatever the order of its entries', () => {
  fc.assert(
    fc.property(seeds, (seed) => {
      const { text } = randomDumpfile(seed)
      const [a, b] = [readDumpfile(text), readDumpfile(text)]
      expect(told(diffTrees(a, a))).toEqual([])
      shuffle(new Random(seed), b)
      expect(told(diffTrees(a, b))).toEqual([])
    }),
    { numRuns: runs(150) },
  )
})

test('a change is told, and only that; from the other side it is the same the other way round', () => {
  const kinds = new Map<string, number>()
  fc.assert(
    fc.property(seeds, (seed) => {
      const { text } = randomDumpfile(seed)
      const [a, b] = [readDumpfile(text), readDumpfile(text)]
      const random = new Random(~seed)
      const expected = mutate(random, b)
      if (expected === undefined) return
      shuffle(random, b)
      expect(told(diffTrees(a, b)).sort()).toEqual(expected.sort())
      const mirrored = [...diffTrees(b, a)].map(({ path, a, b, changes }) => ({
        path,
        a: b,
        b: a,
        changes: changes.map((change) => ({ ...change, a: change.b, b: change.a })),
      }))
      expect(mirrored).toEqual([...diffTrees(a, b)])
      const kind = expected[0]!.split(' ').at(-1)!
      kinds.set(kind, (kinds.get(kind) ?? 0) + 1)
    }),
    { numRuns: runs(800), examples: [[76850525]] },
  )
  const wanted = [
    'mode',
    'uid',
    'gid',
    'mtime',
    'xattr',
    'content',
    'size',
    'target',
    'rdev',
    'nlink',
    'type',
    'links',
    'a',
    'b',
  ]
  for (const kind of wanted) expect(kinds.get(kind), kind).toBeGreaterThan(0)
})
