/**
 * What differs between two trees.
 *
 * @packageDocumentation
 */
import type { ByteString } from '../bytes.ts'
import { inodeChanges, inodeType } from './diff-inode.ts'
import { LinkComparison } from './diff-links.ts'
import type { Change, Difference } from './difference.ts'
import type { FileSystem } from './filesystem.ts'
import type { Directory, Inode } from './inode.ts'
import { join } from './path.ts'

/** Paths that are compared in one step. */
const stepSize = 256

/**
 * Compares two trees, path by path, depth first and in the order of the names' bytes. Nothing comes where they are the
 * same; what comes does not depend on the order of entries, nor on which name of a hardlink came first. An inode of
 * several names is compared once for each inode that it meets in the other tree, at the first path.
 *
 * The link count of directories follows from what is in them and is not compared.
 *
 * @example
 * ```ts
 * import { readFileSync } from 'node:fs'
 * import { readImage } from 'composefs-streams/erofs'
 * import { diffTrees, printable } from 'composefs-streams/tree'
 *
 * const [a, b] = ['a.cfs', 'b.cfs'].map((name) => readImage(readFileSync(name)).fileSystem)
 * for (const { path, changes } of diffTrees(a!, b!)) console.log(printable(path), changes.map(({ what }) => what))
 * ```
 */
export function* diffTrees(a: FileSystem, b: FileSystem): Generator<Difference, void, undefined> {
  for (const difference of diffSteps(a, b)) if (difference !== undefined) yield difference
}

/** The work of {@link diffTrees}. Nothing stands between two steps in which there is no difference. */
export function* diffSteps(a: FileSystem, b: FileSystem): Generator<Difference | undefined, void, undefined> {
  let count = 0
  const links = new LinkComparison(a, b)
  const pending: Pair[] = [{ path: '/' as ByteString, a: a.root, b: b.root }]
  for (let pair = pending.pop(); pair !== undefined; pair = pending.pop()) {
    if (++count % stepSize === 0) yield undefined
    const { path, a, b } = pair
    if (a === undefined || b === undefined) yield { path, a, b, changes: [] }
    else {
      const changes = compare(path, a, b, links)
      if (changes.length > 0) yield { path, a, b, changes }
    }
    // One by one: there is no end to how many names a directory has, but there is one to the arguments of a call.
    for (const child of children(path, directoryOf(a), directoryOf(b)).reverse()) pending.push(child)
  }
}

interface Pair {
  readonly path: ByteString
  readonly a: Inode | undefined
  readonly b: Inode | undefined
}

function compare(path: ByteString, a: Inode, b: Inode, links: LinkComparison): Change[] {
  if (a.kind === 'directory' || b.kind === 'directory') return inodeChanges(a, b)
  if (!links.isFirst(a, b)) return []
  const changes = inodeChanges(a, b)
  return inodeType(a) === inodeType(b) ? [...changes, ...links.changes(path, a, b)] : changes
}

const directoryOf = (inode: Inode | undefined): Directory | undefined =>
  inode?.kind === 'directory' ? inode : undefined

/** The names of two directories, merged. */
function children(path: ByteString, a: Directory | undefined, b: Directory | undefined): Pair[] {
  const left = a?.sorted() ?? []
  const right = b?.sorted() ?? []
  const pairs: Pair[] = []
  for (let i = 0, j = 0; i < left.length || j < right.length; ) {
    const [name, inode] = left[i] ?? []
    const [otherName, other] = right[j] ?? []
    const takeLeft = name !== undefined && (otherName === undefined || name <= otherName)
    const takeRight = otherName !== undefined && (name === undefined || otherName <= name)
    pairs.push({
      path: join(path, takeLeft ? name : otherName!),
      a: takeLeft ? inode : undefined,
      b: takeRight ? other : undefined,
    })
    if (takeLeft) i++
    if (takeRight) j++
  }
  return pairs
}
