/**
 * Numbers of the EROFS image format as composefs uses it (spec: erofs-image, sections 10 to 12). All fields are
 * little-endian.
 */

/**
 * Version of the composefs image format. 0 and 1 are what the C tools write (1 also covers trees that hold whiteouts,
 * and is the default of cfsctl since 0.7), 2 is the older format of composefs-rs.
 */
export type ErofsVersion = 0 | 1 | 2

export const blockSize = 4096
/** Inodes begin at multiples of this; an inode's nid is its offset divided by it. */
export const slotSize = 32

export const composefsMagic = 0xd078629a
export const composefsHeaderVersion = 1
/** Flag of the composefs header: some inode has a POSIX ACL. */
export const flagAcl = 1

export const superblockOffset = 1024
export const superblockSize = 128
export const erofsMagic = 0xe0f5e1e2
/** Feature bits MTIME and XATTR_FILTER. */
export const featureCompat = 6
/** Feature bit CHUNKED_FILE. The writers do not set it although they use chunks. */
export const featureIncompat = 4
export const inodesStart: number = superblockOffset + superblockSize

/** Offsets in the composefs header, which stands at the very beginning. */
export const header = { magic: 0, headerVersion: 4, flags: 8, composefsVersion: 12 } as const

/** Offsets in the superblock. */
export const superblock = {
  magic: 0,
  featureCompat: 8,
  blockBits: 12,
  extensionSlots: 13,
  rootNid: 14,
  inodes: 16,
  buildTime: 24,
  buildTimeNsec: 32,
  blocks: 36,
  metaBlock: 40,
  xattrBlock: 44,
  featureIncompat: 80,
  /** Compression, devices, fragments, xattr prefixes: everything from here on stays zero. */
  unused: 84,
} as const

export const compactSize = 32
export const extendedSize = 64

/** Offsets in both forms of an inode; uid, gid and nlink have 16 bits in the compact one. */
export const inode = { format: 0, xattrCount: 2, mode: 4, size: 8, union: 16, ino: 20 } as const
export const compact = { nlink: 6, uid: 24, gid: 26 } as const
export const extended = { uid: 24, gid: 28, mtime: 32, mtimeNsec: 40, nlink: 44 } as const

/** How an inode's data is stored: in blocks, in blocks and behind the inode, as chunks elsewhere. */
export const layout = { plain: 0, inline: 2, chunks: 4 } as const

/** File types of directory entries. */
export const fileType = {
  regular: 1,
  directory: 2,
  characterDevice: 3,
  blockDevice: 4,
  fifo: 5,
  socket: 6,
  symlink: 7,
} as const

/** The type bits of `st_mode`, by {@link fileType}. */
export const modeOfType: readonly number[] = [0, 0o100000, 0o040000, 0o020000, 0o060000, 0o010000, 0o140000, 0o120000]

export const xattrHeaderSize = 12
export const xattrEntrySize = 4
export const direntSize = 12

/** A directory's last block, or a file's, moves into a block of its own when it has more bytes than this. */
export const maxTail: number = blockSize / 2

export const minChunkBits = 12
export const maxChunkBits = 43
export const nullChunk = 0xffffffff
/** An external file of more chunks cannot be written; it is a file of 2^53 bytes. */
export const maxChunks = 1024

/** Most bytes of a file's contents inside an image, by version (spec: erofs-image, section 1; rs-0.9, section 1.1). */
export const maxInline: Readonly<Record<ErofsVersion, number>> = { 0: 5000, 1: 5000, 2: 512 }
/** Longest symlink target that a kernel follows, in bytes. */
export const maxTarget = 4095
/** Longest target that composefs-rs reads back from a version 2 image, though it writes longer ones. */
export const maxTargetVersion2 = 1024

/** The smallest multiple of `alignment` that is not below `value`. */
export function roundUp(value: number, alignment: number): number {
  return Math.ceil(value / alignment) * alignment
}

/** After so many inodes a writer lets others have their turn, if it is time for that. */
export const pause = 1024
