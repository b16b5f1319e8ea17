/**
 * How a difference between two trees is told.
 *
 * @packageDocumentation
 */
import type { ByteString } from '../bytes.ts'
import type { Algorithm } from '../fsverity/object-id.ts'
import type { Inode, LeafContent } from './inode.ts'
import type { Seconds } from './stat.ts'

/** What an inode is, wherever its contents are. */
export type InodeType = 'file' | 'directory' | 'symlink' | 'character-device' | 'block-device' | 'fifo' | 'socket'

/** A modification time. */
export interface Mtime {
  readonly mtime: Seconds
  readonly mtimeNsec: number
}

/** One property that both inodes of a path have, and not the same. */
export type Change =
  /** What the inodes are; their contents are not compared then. */
  | { readonly what: 'type'; readonly a: InodeType; readonly b: InodeType }
  /** `nlink` is a link count that the names do not explain: dumpfiles and images of versions 0 and 1 may claim any. */
  | { readonly what: 'mode' | 'uid' | 'gid' | 'size' | 'rdev' | 'nlink'; readonly a: number; readonly b: number }
  | { readonly what: 'mtime'; readonly a: Mtime; readonly b: Mtime }
  /** A value is undefined where the attribute is missing. */
  | {
      readonly what: 'xattr'
      readonly name: ByteString
      readonly a: Buffer | undefined
      readonly b: Buffer | undefined
    }
  /** `storage`: the same bytes, once in the image and once in an object, or in objects under different paths. */
  | { readonly what: 'content' | 'storage'; readonly a: LeafContent; readonly b: LeafContent }
  /** Objects of different hashes: whether their contents are the same cannot be said. */
  | { readonly what: 'hash'; readonly a: Algorithm; readonly b: Algorithm }
  | { readonly what: 'target'; readonly a: ByteString; readonly b: ByteString }
  /** Which names share the inode, of those that both trees have, in order. */
  | { readonly what: 'links'; readonly a: readonly ByteString[]; readonly b: readonly ByteString[] }
  /** Which of its names an inode stands under: all that tells two images of version 0 or 1 apart, now and then. */
  | { readonly what: 'home'; readonly a: ByteString; readonly b: ByteString }

/** A path that differs. */
export interface Difference {
  readonly path: ByteString
  /** Undefined where only the other tree has the path. */
  readonly a: Inode | undefined
  readonly b: Inode | undefined
  /** What differs; empty where one tree alone has the path. */
  readonly changes: readonly Change[]
}
