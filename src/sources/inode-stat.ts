/**
 * What the file system says about an open inode, and whether it still says so.
 *
 * @packageDocumentation
 */
import type { ByteString } from '../bytes.ts'
import { type InodeStat, statOfDescriptor } from '../native/inode.ts'
import { changed, scanError } from './scan-error.ts'

/**
 * File systems take times from a clock that ticks every few milliseconds (10 at most), so of two changes within a tick
 * the second does not show. This is more than a tick, in milliseconds.
 */
const tick = 20
/** How many ticks to wait for something that changes all the time. */
const patience = 50
const bell = new Int32Array(new SharedArrayBuffer(4))

/** @throws {@link ComposefsError} `ERR_IO` */
export function statOf(fd: number, path: ByteString): InodeStat {
  try {
    return statOfDescriptor(fd)
  } catch (error) {
    throw scanError(error, 'cannot read the metadata', path)
  }
}

/**
 * The stat of an inode, waiting until its last change is long enough ago that the next one must show.
 *
 * @throws {@link ComposefsError} `ERR_SOURCE_CHANGED` for one that changes all the time, `ERR_IO`
 */
export function settledStatOf(fd: number, path: ByteString): InodeStat {
  for (let tries = 0; tries < patience; tries++) {
    const stat = statOf(fd, path)
    const age = Date.now() - (Number(stat.ctime) * 1000 + Math.floor(stat.ctimeNsec / 1e6))
    // A time in the future (another machine's clock, or a clock set back) tells nothing.
    if (age > tick || age < 0) return stat
    Atomics.wait(bell, 0, 0, tick + 1 - age)
  }
  throw changed('it changes all the time', path)
}

/** @throws {@link ComposefsError} `ERR_SOURCE_CHANGED` unless the inode is as it was, contents and metadata */
export function assertUnchanged(fd: number, before: InodeStat, path: ByteString): void {
  const after = statOf(fd, path)
  // Whatever is changed, the time of the last change changes with it.
  if (after.ctimeNsec === before.ctimeNsec && after.ctime === before.ctime && after.size === before.size) return
  throw changed('it changed while it was read', path)
}
