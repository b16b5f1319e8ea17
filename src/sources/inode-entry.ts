/**
 * What an open inode says of itself, as an entry.
 *
 * @packageDocumentation
 */
import { constants, readlinkSync } from 'node:fs'
import { type ByteString, fromLatin1, printable } from '../bytes.ts'
import { ComposefsError } from '../errors.ts'
import { type InodeStat, pathAt } from '../native/inode.ts'
import { getXattr, listXattrs } from '../native/xattr.ts'
import type { Entry, EntryType } from '../streams/records.ts'
import { type Xattr, Xattrs } from '../tree/xattrs.ts'
import { changed, scanError } from './scan-error.ts'

const { S_IFMT, S_IFREG, S_IFDIR, S_IFLNK, S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK } = constants
const entryTypes: Readonly<Record<number, EntryType>> = {
  [S_IFREG]: 'file',
  [S_IFDIR]: 'directory',
  [S_IFLNK]: 'symlink',
  [S_IFCHR]: 'character-device',
  [S_IFBLK]: 'block-device',
  [S_IFIFO]: 'fifo',
  [S_IFSOCK]: 'socket',
}
const none = fromLatin1('')

/** The type bits (`S_IF…`) of an inode. */
export const typeOf = ({ mode }: InodeStat): number => mode & S_IFMT

/** What an {@link entryOf} has beside its stat. */
export interface EntryParts {
  readonly xattrs?: Xattrs
  /** Instead of the type that the stat says. */
  readonly hardlinkTo?: ByteString
  readonly linkTarget?: ByteString
  readonly size?: number
}

/** The entry of an inode; `wholeSeconds` drops the fraction of its time. */
export function entryOf(path: ByteString, stat: InodeStat, wholeSeconds: boolean, parts: EntryParts = {}): Entry {
  const type = typeOf(stat)
  return {
    path,
    type: parts.hardlinkTo === undefined ? entryTypes[type]! : 'hardlink',
    typeflag: 0,
    mode: stat.mode & 0o7777,
    uid: stat.uid,
    gid: stat.gid,
    mtime: stat.mtime,
    mtimeNsec: wholeSeconds ? 0 : stat.mtimeNsec,
    size: parts.size ?? 0,
    rdev: type === S_IFCHR || type === S_IFBLK ? stat.rdev : 0,
    linkTarget: parts.hardlinkTo ?? parts.linkTarget ?? none,
    xattrs: parts.xattrs ?? Xattrs.empty,
    offset: 0,
  }
}

/**
 * The extended attributes of an open inode, those whose names pass.
 *
 * @throws {@link ComposefsError} `ERR_NATIVE_MISSING`, `ERR_SOURCE_CHANGED`, `ERR_ARGUMENT`, `ERR_IO`
 */
export function xattrsOf(fd: number, keeps: (name: ByteString) => boolean, path: ByteString): Xattrs {
  try {
    const names = listXattrs(fd)
    if (names.length === 0) return Xattrs.empty
    return Xattrs.of(
      names.filter(keeps).map((name): Xattr => {
        const value = getXattr(fd, name)
        if (value === undefined) throw changed(`its attribute ${printable(name)} vanished`, path)
        return [name, value]
      }),
    )
  } catch (error) {
    if (error instanceof ComposefsError && error.code === 'ERR_ARGUMENT') {
      const { message, cause } = error
      throw new ComposefsError('ERR_ARGUMENT', message, { path: printable(path), cause })
    }
    throw scanError(error, 'cannot read the extended attributes', path)
  }
}

/** Where a symlink leads. It is read by its name: that it was this very link shows when the directory is left. */
export function targetOf(directory: number, name: ByteString, path: ByteString): ByteString {
  try {
    return readlinkSync(pathAt(directory, name), 'latin1') as ByteString
  } catch (error) {
    throw scanError(error, 'cannot read the symlink', path)
  }
}
