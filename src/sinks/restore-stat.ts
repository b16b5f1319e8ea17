/**
 * Owner, mode, xattrs and time of an inode on disk.
 *
 * @packageDocumentation
 */
import { chmodSync, chownSync, fstatSync, utimesSync } from 'node:fs'
import { constants } from 'node:os'
import { type ByteString, printable } from '../bytes.ts'
import { ComposefsError } from '../errors.ts'
import { errnoName, errnoOf } from '../native/errno.ts'
import { native } from '../native/libc.ts'
import { through } from '../native/through.ts'
import { getXattr, setXattr } from '../native/xattr.ts'
import { fullMode, type Inode } from '../tree/inode.ts'
import type { Stat } from '../tree/stat.ts'

/** Something of an inode that is not on disk as the tree has it. */
export interface NotRestored {
  /** In the tree. */
  readonly path: ByteString
  /** `inode`: it is missing altogether. `hardlink`: this name has a copy of its own. */
  readonly what: 'inode' | 'hardlink' | 'owner' | 'mode' | 'mtime' | 'xattr'
  /** For people: `0:0`, `4755`, `security.capability`, `character-device 1:3`. */
  readonly wanted: string
  /** What it is instead, where that is something. */
  readonly actual?: string
  /** The errno name of the refusal (`EPERM`), or what is missing. */
  readonly reason?: string
}

/** Takes note of what could not be restored. */
export type Report = (problem: Omit<NotRestored, 'path'>) => void

const setIds = 0o6000
const setUid = 0o4000
const setGid = 0o2000
const billion = 1_000_000_000n

/**
 * Gives an open inode (`O_PATH` will do) the metadata of the tree: owner, xattrs, mode, time, in this order, since each
 * may change the ones before it; then looks whether they are there. Never throws for what the system refuses.
 */
export function restoreStat(fd: number, inode: Inode, report: Report): void {
  const { uid, gid, xattrs, mode } = inode.stat
  const symlink = inode.kind === 'leaf' && inode.content.type === 'symlink'
  const path = through(fd)
  const chowned = attempt(() => chownSync(path, uid, gid))
  for (const [name, value] of xattrs) restoreXattr(fd, name, value, report)
  const owner = fstatSync(fd)
  // A program with set-id bits must not run as somebody whom the image did not name.
  const kept = mode & ~((owner.uid === uid ? 0 : setUid) | (owner.gid === gid ? 0 : setGid))
  const chmodded = symlink ? 'symlinks have no mode of their own' : attempt(() => chmodSync(path, kept))
  const timed = restoreMtime(path, inode.stat)

  const found = fstatSync(fd, { bigint: true })
  const theirs = { uid: Number(found.uid), gid: Number(found.gid), mode: Number(found.mode) & 0o7777 }
  if (theirs.uid !== uid || theirs.gid !== gid) {
    note(report, 'owner', `${uid}:${gid}`, `${theirs.uid}:${theirs.gid}`, chowned)
  }
  if (Number(found.mode) !== fullMode(inode)) {
    const reason = chmodded ?? ((mode & setIds) === (kept & setIds) ? undefined : 'its owner is another')
    note(report, 'mode', mode.toString(8), theirs.mode.toString(8), reason)
  }
  const wanted = BigInt(inode.stat.mtime) * billion + BigInt(inode.stat.mtimeNsec)
  if (found.mtimeNs !== wanted) note(report, 'mtime', timeText(wanted), timeText(found.mtimeNs), timed)
}

function restoreXattr(fd: number, name: ByteString, value: Buffer, report: Report): void {
  const reason = attempt(() => {
    setXattr(fd, name, value)
    // The kernel understands these: it rewrites them, drops what says no more than the mode, and may not read them back.
    const isUnderstood = name.startsWith('system.') || name === 'security.capability'
    if (isUnderstood && getXattr(fd, name)?.equals(value) !== true) return 'the kernel stores it differently'
    return undefined
  })
  if (reason !== undefined) note(report, 'xattr', printable(name), undefined, reason)
}

/** Without koffi times go through a double, which has no room for all nanoseconds. */
function restoreMtime(path: string, { mtime, mtimeNsec }: Stat): string | undefined {
  // A dumpfile may say more than a second has.
  const nanoseconds = Math.min(mtimeNsec, 999_999_999)
  const errno = native()?.setMtime(path, BigInt(mtime), nanoseconds) ?? constants.errno.ENOSYS
  if (errno === 0) return undefined
  if (errno !== constants.errno.ENOSYS) return errnoName(errno)
  const exact = Number(mtime) + nanoseconds / 1e9
  return attempt(() => utimesSync(path, exact, exact)) ?? 'koffi is not installed'
}

/** The reason why it failed, if it did, or what the action itself answers. */
function attempt(action: () => string | undefined | void): string | undefined {
  try {
    return action() ?? undefined
  } catch (error) {
    if (error instanceof ComposefsError) return error.message
    const reason = errnoOf(error)
    if (reason === undefined) throw error
    return reason
  }
}

function note(report: Report, what: NotRestored['what'], wanted: string, actual?: string, reason?: string): void {
  report({ what, wanted, ...(actual !== undefined && { actual }), ...(reason !== undefined && { reason }) })
}

function timeText(nanoseconds: bigint): string {
  const rest = ((nanoseconds % billion) + billion) % billion
  return `${(nanoseconds - rest) / billion}.${rest.toString().padStart(9, '0')}`
}
