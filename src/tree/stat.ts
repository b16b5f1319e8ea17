/**
 * Metadata that every inode has.
 *
 * @packageDocumentation
 */
import { Xattrs } from './xattrs.ts'

/**
 * Whole seconds since 1970, negative before. A number wherever it is a safe integer and a bigint beyond; use
 * {@link seconds} so that equal times are `===`.
 */
export type Seconds = number | bigint

/** Owner, permissions, time and xattrs of an inode. Values are not changed in place: replace the whole. */
export interface Stat {
  /** Permission bits, 0 to 0o7777; the type is that of the inode. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly mtime: Seconds
  /** Nanoseconds after `mtime`, 0 to 999999999 (a dumpfile may say more, up to 2^32 - 1). */
  readonly mtimeNsec: number
  readonly xattrs: Xattrs
}

/** 0755, root:root, time 0, no xattrs: what `--implicit-parents` makes. */
export const defaultDirectoryStat: Stat = {
  mode: 0o755,
  uid: 0,
  gid: 0,
  mtime: 0,
  mtimeNsec: 0,
  xattrs: Xattrs.empty,
}

/** The normal form of a time: a number where that is exact. */
export function seconds(value: bigint): Seconds {
  const asNumber = Number(value)
  return Number.isSafeInteger(asNumber) ? asNumber : value
}

/** Orders two inodes' times: negative, zero or positive. */
export function compareMtime(a: Stat, b: Stat): number {
  if (a.mtime !== b.mtime) return a.mtime < b.mtime ? -1 : 1
  return a.mtimeNsec - b.mtimeNsec
}
