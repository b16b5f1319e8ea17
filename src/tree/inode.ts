/**
 * Inodes: directories, and leaves that several names may share.
 *
 * @packageDocumentation
 */
import type { ByteString } from '../bytes.ts'
import type { ObjectId } from '../fsverity/object-id.ts'
import type { Stat } from './stat.ts'

/** What a leaf is, and what it holds. */
export type LeafContent =
  /** A regular file whose contents stand in the image; an empty file has none. */
  | { readonly type: 'inline'; readonly bytes: Buffer }
  /**
   * A regular file whose contents are an object. `path` is the name below the object store where it differs from the
   * one that `id` gives, `null` where none is recorded (dumpfiles only). Without `id` the object is not verified;
   * without both it is a sparse file of `size` zero bytes.
   */
  | {
      readonly type: 'external'
      readonly size: number
      readonly id: ObjectId | undefined
      readonly path?: ByteString | null
    }
  | { readonly type: 'symlink'; readonly target: ByteString }
  /** `rdev` in the kernel's encoding, see {@link makedev}. `size` is what a dumpfile said; it is not stored. */
  | { readonly type: 'character-device' | 'block-device'; readonly rdev: number; readonly size?: number }
  | { readonly type: 'fifo' | 'socket'; readonly size?: number }

/** Anything but a directory. Names that share one leaf are hardlinks of it. */
export class Leaf {
  readonly kind = 'leaf'
  stat: Stat
  content: LeafContent
  /** Link count as a dumpfile gave it; otherwise it is the number of names. */
  nlink: number | undefined
  /** The name that a dumpfile declared to be the inode's own, where that is not the first in depth-first order. */
  home: { readonly parent: Directory; readonly name: ByteString } | undefined

  constructor(stat: Stat, content: LeafContent, nlink?: number) {
    this.stat = stat
    this.content = content
    this.nlink = nlink
    this.home = undefined
  }

  /** Whether this is an overlayfs whiteout: a character device 0:0. */
  get isWhiteout(): boolean {
    return this.content.type === 'character-device' && this.content.rdev === 0
  }
}

/** A directory: names to inodes. */
export class Directory {
  readonly kind = 'directory'
  stat: Stat
  readonly entries: Map<ByteString, Inode>

  constructor(stat: Stat) {
    this.stat = stat
    this.entries = new Map()
  }

  /** The entries in the order of their names' bytes. */
  sorted(): [ByteString, Inode][] {
    return [...this.entries].sort((a, b) => (a[0] < b[0] ? -1 : 1))
  }
}

export type Inode = Directory | Leaf

const typeBits = {
  inline: 0o100000,
  external: 0o100000,
  symlink: 0o120000,
  'character-device': 0o020000,
  'block-device': 0o060000,
  fifo: 0o010000,
  socket: 0o140000,
} as const

/** The whole `st_mode`: type and permission bits. */
export function fullMode(inode: Inode): number {
  return (inode.kind === 'directory' ? 0o040000 : typeBits[inode.content.type]) | inode.stat.mode
}

/** The kernel's encoding of a device number: 12 bits of major, 20 of minor. */
export function makedev(major: number, minor: number): number {
  return ((minor & 0xff) | ((major & 0xfff) << 8) | ((minor & 0xfff00) << 12)) >>> 0
}
