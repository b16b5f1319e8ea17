/**
 * Puts inodes, xattrs and data into the image, once every offset is known (spec: erofs-image, sections 6, 10 to 14).
 */
import { writeDirents } from './directory-blocks.ts'
import {
  blockSize,
  compact,
  compactSize,
  extended,
  extendedSize,
  inode,
  layout,
  maxChunks,
  modeOfType,
  nullChunk,
  xattrHeaderSize,
} from './format.ts'
import type { PlanNode } from './plan.ts'
import type { Rules } from './rules.ts'
import { writeSeconds } from './seconds.ts'
import type { XattrArea } from './xattr-area.ts'

/** Writes into an image of zeros. */
export class InodeWriter {
  readonly #rules: Rules
  readonly #xattrs: XattrArea
  readonly #image: Buffer
  readonly #view: DataView
  readonly #sharedOrigin: number

  /** `sharedOrigin`: what references to the shared table count their bytes from. */
  constructor(rules: Rules, xattrs: XattrArea, image: Buffer, view: DataView, sharedOrigin: number) {
    this.#rules = rules
    this.#xattrs = xattrs
    this.#image = image
    this.#view = view
    this.#sharedOrigin = sharedOrigin
  }

  /** An inode with its xattrs, its tail and its blocks. */
  write(node: PlanNode): void {
    this.#header(node)
    const at = node.position + (node.extended ? extendedSize : compactSize)
    if (node.xattrSize > 0) this.#xattrs.write(node, this.#image, this.#view, at, this.#sharedOrigin)
    if (node.tail > 0 || node.blocks > 0) this.#data(node, at + node.xattrSize)
  }

  #header(node: PlanNode): void {
    const view = this.#view
    const at = node.position
    const { stat } = node
    const shape = node.chunkFormat >= 0 ? layout.chunks : node.tail > 0 ? layout.inline : layout.plain
    view.setUint16(at + inode.format, 2 * shape + (node.extended ? 1 : 0), true)
    if (node.xattrSize > 0) {
      view.setUint16(at + inode.xattrCount, (node.xattrSize - xattrHeaderSize) / 4 + 1, true)
    }
    view.setUint16(at + inode.mode, modeOfType[node.type]! | (stat.mode & 0o7777), true)
    view.setUint32(at + inode.size, node.size, true)
    view.setUint32(at + inode.union, this.#union(node), true)
    view.setUint32(at + inode.ino, this.#rules.ino(node), true)
    if (node.extended) {
      view.setUint32(at + inode.size + 4, node.size / 2 ** 32, true)
      view.setUint32(at + extended.uid, stat.uid, true)
      view.setUint32(at + extended.gid, stat.gid, true)
      writeSeconds(view, at + extended.mtime, node.mtime)
      view.setUint32(at + extended.mtimeNsec, this.#rules.mtimeNsec(node), true)
      view.setUint32(at + extended.nlink, node.nlink, true)
    } else {
      view.setUint16(at + compact.nlink, node.nlink, true)
      view.setUint16(at + compact.uid, stat.uid, true)
      view.setUint16(at + compact.gid, stat.gid, true)
    }
  }

  #union({ content, whiteout, chunkFormat, blocks, blockAddress }: PlanNode): number {
    if (content?.type === 'character-device' || content?.type === 'block-device') return whiteout ? 0 : content.rdev
    const address = blocks > 0 ? blockAddress : 0
    // The C tools keep the upper half of the address where a chunk table went into a block.
    return chunkFormat < 0 ? address : (address & 0xffff0000) | chunkFormat
  }

  #data(node: PlanNode, tailAt: number): void {
    const { content, blocks, tail, blockAddress } = node
    const image = this.#image
    const blockAt = blockAddress * blockSize
    switch (content?.type) {
      case undefined:
        for (let i = 0; i < blocks; i++) writeDirents(node, i, image, this.#view, blockAt + i * blockSize)
        if (tail > 0) writeDirents(node, blocks, image, this.#view, tailAt)
        break
      case 'inline':
        if (blocks > 0) content.bytes.copy(image, blockAt, 0, blocks * blockSize)
        if (tail > 0) content.bytes.copy(image, tailAt, blocks * blockSize)
        break
      case 'symlink':
        image.write(content.target, blocks > 0 ? blockAt : tailAt, 'latin1')
        break
      case 'external':
        this.#nullChunks(blocks > 0 ? blockAt : tailAt, blocks > 0 ? maxChunks : tail / 4)
    }
  }

  #nullChunks(at: number, count: number): void {
    for (let i = 0; i < count; i++) this.#view.setUint32(at + 4 * i, nullChunk, true)
  }
}
