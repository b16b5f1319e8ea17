/**
 * Trees: inodes, stats, xattrs, merging of layers and the transformations that images undergo.
 *
 * @packageDocumentation
 */
export { type ByteString, type BytesLike, bytesOf, fromLatin1, printable, toBuffer } from '../bytes.ts'
export { type DumpRecord, TreeAssembler } from './assemble.ts'
export { diffTrees } from './diff.ts'
export { CauseFinder, explain } from './diff-causes.ts'
export type { Cause, CauseName, DiffFacts, SideFacts } from './diff-facts.ts'
export { inodeType } from './diff-inode.ts'
export { DifferenceTally, type TallyLine } from './diff-tally.ts'
export type { Change, Difference, InodeType, Mtime } from './difference.ts'
export type { Content, Entry, EntryType } from './entry.ts'
export { FileSystem, type WalkItem } from './filesystem.ts'
export { Directory, fullMode, type Inode, Leaf, type LeafContent, makedev } from './inode.ts'
export { LayerMerger, type MergeOptions } from './merge.ts'
export { components, join } from './path.ts'
export { compareMtime, defaultDirectoryStat, type Seconds, type Stat, seconds } from './stat.ts'
export {
  emptyBootDirectories,
  filterXattrs,
  inodes,
  type RootRule,
  type TransformOptions,
  transformForOci,
  type XattrFilter,
} from './transform.ts'
export { type Xattr, Xattrs } from './xattrs.ts'
