/**
 * Entries: what a layer, or a scanned directory, says about one path.
 *
 * @packageDocumentation
 */
import type { ByteString } from '../bytes.ts'
import type { ObjectId } from '../fsverity/object-id.ts'
import type { Seconds } from './stat.ts'
import type { Xattrs } from './xattrs.ts'

/** What an entry is. `unsupported` ones (volume labels, unknown letters) can be stored, but no image can hold them. */
export type EntryType =
  | 'file'
  | 'directory'
  | 'symlink'
  | 'hardlink'
  | 'character-device'
  | 'block-device'
  | 'fifo'
  | 'socket'
  | 'unsupported'

/** One entry of a layer or of a scanned directory, its extension headers applied. */
export interface Entry {
  /** As the archive says it: `./usr/bin/`, `/etc`, `a//b`. Use `components` of the tree to normalise it. */
  readonly path: ByteString
  readonly type: EntryType
  /** The tar type flag (one byte), for messages; 0 where the source is no tar. */
  readonly typeflag: number
  /** Permission bits, 0 to 0o7777. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly mtime: Seconds
  readonly mtimeNsec: number
  /** Bytes of body that follow. */
  readonly size: number
  /** Devices: the kernel's encoding; otherwise 0. */
  readonly rdev: number
  /** Symlinks and hardlinks; otherwise empty. */
  readonly linkTarget: ByteString
  readonly xattrs: Xattrs
  /** Where its first header begins in the tar. */
  readonly offset: number
}

/** The contents of an entry, once stored. Only regular files have any. */
export type Content =
  | { readonly type: 'inline'; readonly bytes: Buffer }
  | { readonly type: 'external'; readonly id: ObjectId; readonly size: number }
  | { readonly type: 'none' }
