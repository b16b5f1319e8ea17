import type { Seconds } from '../tree/stat.ts'
import { Claims } from './claims.ts'
import { damaged } from './damaged.ts'
import {
  blockSize,
  compact,
  compactSize,
  extended,
  extendedSize,
  fileType,
  inode,
  inodesStart,
  layout,
  maxChunkBits,
  maxChunks,
  minChunkBits,
  modeOfType,
  nullChunk,
  roundUp,
  slotSize,
  xattrHeaderSize,
} from './format.ts'
import type { ImageView } from './image-view.ts'
import { readSeconds } from './seconds.ts'

const maxSize = 2 ** 53
/** Longest table of chunks that surely stands behind its inode. */
const inlineChunks = 1016

/** What an image says about one inode, checked as far as it can be without looking elsewhere. */
export interface StoredInode {
  readonly nid: number
  /** Offset in the image. */
  readonly at: number
  readonly extended: boolean
  /** A number of {@link fileType}. */
  readonly type: number
  /** Permission bits. */
  readonly mode: number
  readonly nlink: number
  readonly uid: number
  readonly gid: number
  readonly mtime: Seconds
  readonly mtimeNsec: number
  readonly size: number
  /** Device number, chunk format or block address. */
  readonly union: number
  /** A number of {@link layout}. */
  readonly layout: number
  readonly xattrAt: number
  readonly xattrSize: number
  /** What stands behind the xattrs; chunk tables are not counted. */
  readonly tail: number
  readonly blocks: number
}

/** Reads inodes. Every one it is asked for takes its bytes, so no two can overlap and none can be read twice. */
export class InodeReader {
  readonly #source: ImageView
  readonly #claims: Claims

  constructor(source: ImageView) {
    this.#source = source
    this.#claims = new Claims(source.image.length)
  }

  /** @throws {@link ComposefsError} `ERR_EROFS_INVALID`. */
  read(nid: number): StoredInode {
    const { view, image, buildTime, buildTimeNsec } = this.#source
    const at = nid * slotSize
    if (at < inodesStart || at + compactSize > image.length) throw damaged('it lies outside the image', { nid })
    const format = view.getUint16(at + inode.format, true)
    const long = (format & 1) === 1
    const shape = format >>> 1
    if (shape !== layout.plain && shape !== layout.inline && shape !== layout.chunks) {
      throw damaged(`its data cannot be read (layout ${shape})`, { nid, offset: at })
    }
    const xattrAt = at + (long ? extendedSize : compactSize)
    if (xattrAt > image.length) throw damaged('it ends behind the image', { nid, offset: at })
    const fullMode = view.getUint16(at + inode.mode, true)
    const type = modeOfType.indexOf(fullMode & 0o170000, 1)
    if (type === -1) throw damaged(`it has no file type (mode ${fullMode.toString(8)})`, { nid, offset: at })
    const size =
      view.getUint32(at + inode.size, true) + (long ? view.getUint32(at + inode.size + 4, true) * 2 ** 32 : 0)
    const words = view.getUint16(at + inode.xattrCount, true)
    const tail = shape === layout.inline ? size % blockSize : 0
    const stored: StoredInode = {
      nid,
      at,
      extended: long,
      type,
      mode: fullMode & 0o7777,
      nlink: long ? view.getUint32(at + extended.nlink, true) : view.getUint16(at + compact.nlink, true),
      uid: long ? view.getUint32(at + extended.uid, true) : view.getUint16(at + compact.uid, true),
      gid: long ? view.getUint32(at + extended.gid, true) : view.getUint16(at + compact.gid, true),
      mtime: long ? readSeconds(view, at + extended.mtime) : buildTime,
      mtimeNsec: long ? view.getUint32(at + extended.mtimeNsec, true) : buildTimeNsec,
      size,
      union: view.getUint32(at + inode.union, true),
      layout: shape,
      xattrAt,
      xattrSize: words === 0 ? 0 : xattrHeaderSize + 4 * (words - 1),
      tail,
      blocks: shape === layout.chunks ? 0 : Math.ceil((size - tail) / blockSize),
    }
    this.#check(stored)
    return stored
  }

  #check(stored: StoredInode): void {
    const { nid, at, type, size, tail, blocks, union } = stored
    const { image } = this.#source
    const regular = type === fileType.regular
    if (size > (stored.layout === layout.chunks ? maxSize : image.length)) {
      throw damaged(`it cannot have ${size} bytes`, { nid, offset: at })
    }
    if (stored.layout === layout.chunks && !regular) {
      throw damaged('only files can be stored as chunks', { nid, offset: at })
    }
    if (!regular && type !== fileType.directory && type !== fileType.symlink) {
      if (size !== 0 || stored.layout !== layout.plain) throw damaged('it cannot have data', { nid, offset: at })
    }
    const tailAt = stored.xattrAt + stored.xattrSize
    if (tail > 0 && (tailAt % blockSize) + tail > blockSize) {
      throw damaged('its data cross the end of a block', { nid, offset: tailAt })
    }
    if (tailAt + tail > image.length) throw damaged('it ends behind the image', { nid, offset: at })
    if (!this.#claims.take(at, tailAt + tail)) throw damaged('it overlaps another one', { nid, offset: at })
    if (blocks > 0 && !this.#claims.takeBlocks(union, blocks)) {
      throw damaged('its data lie outside the image, or in those of another one', { nid, offset: at })
    }
  }

  /** The data of a file or symlink, mostly a view of the image. */
  data({ xattrAt, xattrSize, union, size, tail, blocks }: StoredInode): Buffer {
    const { image } = this.#source
    const tailAt = xattrAt + xattrSize
    if (blocks === 0) return image.subarray(tailAt, tailAt + tail)
    const begin = union * blockSize
    const body = image.subarray(begin, begin + size - tail)
    return tail === 0 ? body : Buffer.concat([body, image.subarray(tailAt, tailAt + tail)])
  }

  /** Checks that none of the chunks of a file is in the image itself. `digest`: whether the file names an object. */
  checkChunks({ nid, at, xattrAt, xattrSize, size, union }: StoredInode, digest: boolean): void {
    const { version, view, image } = this.#source
    const bits = minChunkBits + (union & 0xffff)
    if (bits > maxChunkBits) throw damaged('its chunks have no possible size', { nid, offset: at })
    const chunks = version === 2 ? (digest ? 1 : 0) : Math.ceil(size / 2 ** bits)
    if (chunks > maxChunks) throw damaged('it has too many chunks', { nid, offset: at })
    // A longer table may have gone into a block whose address is not stored.
    if (chunks > inlineChunks) return
    const begin = xattrAt + xattrSize
    const end = begin + 4 * chunks
    if (end > image.length || !this.#claims.take(roundUp(begin, slotSize), end)) {
      throw damaged('its table of chunks overlaps something else', { nid, offset: begin })
    }
    for (let i = begin; i < end; i += 4) {
      if (view.getUint32(i, true) !== nullChunk) throw damaged('its contents are in the image', { nid, offset: i })
    }
  }
}
