/**
 * Versions 0 and 1, byte for byte as mkcomposefs 1.0.8 writes them (spec: erofs-image, sections 3 to 9).
 */
import type { ByteString } from '../bytes.ts'
import type { Leaf } from '../tree/inode.ts'
import type { Steps } from '../turns.ts'
import { cutDirectory } from './directory-blocks.ts'
import { countUses, dressContent, InputPairs, mergePairs } from './dress.ts'
import {
  blockSize,
  compactSize,
  extendedSize,
  fileType,
  flagAcl,
  maxChunkBits,
  maxTail,
  minChunkBits,
  pause,
  roundUp,
  slotSize,
} from './format.ts'
import { opaqueMarks, rootOpaqueName, whiteoutMarks, whiteoutsMarks } from './overlay.ts'
import type { PlanNode } from './plan.ts'
import type { Rules, Summary } from './rules.ts'
import type { Survey } from './survey.ts'
import type { XattrPair } from './xattr-pair.ts'
import type { XattrTable } from './xattr-table.ts'

type Home = NonNullable<Leaf['home']>

/** Highest cost of an inode's own xattrs. */
const maxXattrCost = 32767

const maxShort = 0xffff
const maxWord = 0xffffffff

const aclNames = ['system.posix_acl_access', 'system.posix_acl_default'] as ByteString[]

/** Whether the tree has a whiteout of its own. */
export function hasWhiteout({ nodes }: Survey): boolean {
  return nodes.some(isWhiteout)
}

function isWhiteout({ content, stub }: PlanNode): boolean {
  return content?.type === 'character-device' && content.rdev === 0 && !stub
}

/** Inodes of 32 bytes where they fit, breadth first; the stubs; whiteouts as marked empty files. */
export function versions0And1(version: 0 | 1): Rules {
  return {
    version,
    lustre: false,
    maxSharedPairs: 128,
    order,
    dress: (nodes, table) => dress(nodes, table, version === 1),
    join: mergePairs,
    summarize,
    compareShared,
    shape,
    place,
    sharedTable: (inodesEnd) => ({
      block: Math.floor(inodesEnd / blockSize),
      origin: inodesEnd % blockSize,
    }),
    ino: (node) => node.index,
    mtimeNsec: (node) => node.stat.mtimeNsec,
  }
}

function* order(tree: Survey): Steps<PlanNode[]> {
  for (const [leaf, node] of tree.leaves) {
    if (node.links > 1 && leaf.home !== undefined) moveHome(leaf, leaf.home, node, tree)
  }
  const { root } = tree
  const nodes = [root]
  root.index = 0
  for (const node of nodes) {
    if (node.index % pause === 0) yield
    const { children, names } = node
    for (let i = 0; i < children.length; i++) {
      const child = children[i]!
      // `.`, `..` and hard links met before have their numbers; other links wait for the inode's own name.
      if (child.index >= 0) continue
      if (child.links > 1 && (child.parent !== node || child.name !== names[i])) continue
      child.index = nodes.length
      nodes.push(child)
      if (isWhiteout(child)) {
        child.whiteout = true
        child.type = fileType.regular
      }
    }
  }
  return nodes
}

function moveHome(leaf: Leaf, { parent, name }: Home, node: PlanNode, { directories }: Survey): void {
  const directory = directories.get(parent)
  // A home that is no longer there does not count.
  if (directory === undefined || parent.entries.get(name) !== leaf) return
  node.parent = directory
  node.name = name
}

function* dress(nodes: readonly PlanNode[], table: XattrTable, opaque: boolean): Steps<void> {
  const empty = (name: ByteString): XattrPair => table.stored(name, '')
  const crossed = (name: ByteString): XattrPair => table.stored(name, 'x')
  const input = new InputPairs(table, maxXattrCost)
  const parents = new Set<PlanNode>()
  for (const node of nodes) {
    if (node.index % pause === 0) yield
    node.pairs = input.of(node)
    if (node.whiteout) {
      parents.add(node.parent)
      node.pairs = mergePairs(node.pairs, whiteoutMarks.map(empty))
    } else if (node.content?.type === 'external' && node.content.size > 0) {
      // An external file of size 0 is an empty file.
      node.pairs = mergePairs(node.pairs, dressContent(node, table))
    }
  }
  for (const parent of parents) {
    parent.pairs = mergePairs(parent.pairs, whiteoutsMarks.map(empty))
    if (opaque) parent.pairs = mergePairs(parent.pairs, opaqueMarks.map(crossed))
  }
  const root = nodes[0]!
  root.pairs = mergePairs(root.pairs, [table.stored(rootOpaqueName, 'y')])
  countUses(nodes)
}

function summarize(nodes: readonly PlanNode[], table: XattrTable): Summary {
  let { mtime, stat } = nodes[0]!
  for (const node of nodes) {
    if (node.mtime < mtime || (node.mtime === mtime && node.stat.mtimeNsec < stat.mtimeNsec)) ({ mtime, stat } = node)
  }
  return {
    flags: aclNames.some((name) => table.has(name)) ? flagAcl : 0,
    buildTime: mtime,
    buildTimeNsec: stat.mtimeNsec,
  }
}

function compareShared(a: XattrPair, b: XattrPair): number {
  if (a.name !== b.name) return a.name.full > b.name.full ? -1 : 1
  return b.valueSize - a.valueSize || b.compareValue(a)
}

function shape(node: PlanNode, { buildTime, buildTimeNsec }: Summary): void {
  const { content, stat } = node
  // What decides between the two forms is not always what is stored.
  let claimed = 0
  switch (content?.type) {
    case undefined:
      cutDirectory(node)
      claimed = node.size
      break
    case 'inline':
      claimed = node.size = content.bytes.length
      node.blocks = Math.floor(node.size / blockSize)
      node.tail = node.size % blockSize
      if (node.tail > maxTail) {
        node.blocks++
        node.tail = 0
      }
      break
    case 'symlink':
      claimed = node.size = node.tail = content.target.length
      break
    case 'external':
      claimed = node.size = content.size
      if (content.size > 0) cutChunks(node)
      break
    default:
      // Devices, FIFOs and sockets.
      claimed = node.whiteout ? 0 : (content?.size ?? 0)
  }
  node.extended = !(
    node.mtime === buildTime &&
    stat.mtimeNsec === buildTimeNsec &&
    node.nlink <= maxShort &&
    stat.uid <= maxShort &&
    stat.gid <= maxShort &&
    claimed <= maxWord
  )
}

function cutChunks(node: PlanNode): void {
  let bits = minChunkBits
  let chunk = 2 ** minChunkBits
  for (; bits < maxChunkBits && chunk < node.size; bits++) chunk *= 2
  node.chunkFormat = bits - minChunkBits
  node.tail = 4 * Math.ceil(node.size / chunk)
}

function place(node: PlanNode, offset: number): number {
  const head = (node.extended ? extendedSize : compactSize) + node.xattrSize
  if (node.type === fileType.symlink) {
    // The whole inode stays inside one block: kernels before 6.12 refuse it otherwise.
    const total = head + node.tail
    if (total >= blockSize) {
      node.blocks = 1
      node.tail = 0
    }
    const crosses = Math.floor(offset / blockSize) !== Math.floor((offset + total - 1) / blockSize)
    return crosses ? roundUp(offset, blockSize) : offset
  }
  const room = blockSize - ((offset + head) % blockSize)
  if (room >= node.tail) return offset
  const extra = roundUp(room, slotSize)
  if (node.tail <= blockSize - ((offset + head + extra) % blockSize)) return offset + extra
  // Only a chunk table of more than 1016 entries comes here.
  node.blocks++
  node.tail = 0
  return roundUp(offset, blockSize)
}
