/**
 * Version 2, the first format of composefs-rs (spec: erofs-image, section 17.1; rs-0.9, section 1.3).
 */
import { ComposefsError } from '../errors.ts'
import type { Steps } from '../turns.ts'
import { cutDirectory } from './directory-blocks.ts'
import { countUses, dressContent, InputPairs } from './dress.ts'
import { blockSize, extendedSize, maxChunkBits, minChunkBits, pause, roundUp, slotSize } from './format.ts'
import type { PlanNode } from './plan.ts'
import type { Rules, Summary } from './rules.ts'
import type { Survey } from './survey.ts'
import type { XattrPair } from './xattr-pair.ts'
import type { XattrTable } from './xattr-table.ts'

/** Inodes 64 bytes each, depth first; no stubs; whiteouts as they are; whole seconds only. */
export const version2: Rules = {
  version: 2,
  lustre: true,
  maxSharedPairs: Number.POSITIVE_INFINITY,

  *order({ nodes }: Survey): Steps<PlanNode[]> {
    for (let i = 0; i < nodes.length; i++) {
      if (i % pause === 0) yield
      const node = nodes[i]!
      node.index = i
      if (node.content === undefined) continue
      node.nlink = node.links
      if (node.links > 1 && node.content.type === 'character-device' && node.content.rdev === 0) {
        throw new ComposefsError('ERR_EROFS_LIMIT', 'version 2 has no hardlinked whiteouts', {
          path: node.path,
          hint: 'give each name an inode of its own, or write version 1',
        })
      }
    }
    return nodes
  },

  *dress(nodes: readonly PlanNode[], table: XattrTable): Steps<void> {
    const input = new InputPairs(table)
    for (const node of nodes) {
      if (node.index % pause === 0) yield
      node.pairs = join(input.of(node), dressContent(node, table))
    }
    countUses(nodes)
  },

  join,

  summarize: (): Summary => ({ flags: 0, buildTime: 0, buildTimeNsec: 0 }),

  compareShared(a: XattrPair, b: XattrPair): number {
    if (a.name.index !== b.name.index) return a.name.index - b.name.index
    if (a.name !== b.name) return a.name.suffix < b.name.suffix ? -1 : 1
    return a.compareValue(b)
  },

  shape(node: PlanNode): void {
    const { content } = node
    switch (content?.type) {
      case undefined:
        cutDirectory(node)
        break
      case 'inline':
        node.size = node.tail = content.bytes.length
        break
      case 'symlink':
        node.size = node.tail = content.target.length
        break
      case 'external':
        // One chunk for any size; its index is only written where there is a digest.
        node.size = content.size
        node.chunkFormat = maxChunkBits - minChunkBits
        node.tail = content.id === undefined ? 0 : 4
    }
  },

  place(node: PlanNode, offset: number): number {
    if (node.tail === 0 || node.chunkFormat >= 0) return offset
    const metadata = extendedSize + node.xattrSize
    const begin = offset + metadata
    // Also pads where the data end exactly at a block's end, or the metadata do.
    if (Math.floor((begin - 1) / blockSize) !== Math.floor((begin + node.tail) / blockSize)) {
      offset = roundUp(offset + blockSize - ((begin - 1) % blockSize), slotSize)
    }
    const room = blockSize - ((offset + metadata) % blockSize)
    if (node.tail > room) {
      throw new ComposefsError('ERR_EROFS_LIMIT', 'the target of this symlink is too long for version 2', {
        path: node.path,
        expected: `at most ${room} bytes beside its xattrs`,
        actual: node.tail,
        hint: 'write version 1',
      })
    }
    return offset
  },

  // References are offsets in the file.
  sharedTable: (inodesEnd: number) => ({ block: 0, origin: inodesEnd }),
  ino: (node: PlanNode): number => node.position / slotSize,
  mtimeNsec: (): number => 0,
}

/** Not sorted by name: those of the contents come first. */
function join(pairs: readonly XattrPair[], content: readonly XattrPair[]): readonly XattrPair[] {
  return content.length === 0 ? pairs : pairs.length === 0 ? content : [...content, ...pairs]
}
