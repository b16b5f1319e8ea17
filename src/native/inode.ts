/**
 * Opening a name of an open directory, and the stat of an open inode: through koffi where it is there, otherwise through
 * Node, which takes twice as long and gives the same.
 *
 * @packageDocumentation
 */
import { fstatSync, openSync } from 'node:fs'
import type { ByteString } from '../bytes.ts'
import { errnoException } from './errno.ts'
import { type Libc, native } from './libc.ts'

/** What the file system says about an inode. Numbers beyond 2^53 are bigints, so that equal ones are `===`. */
export interface InodeStat {
  /** Device number of the file system, in an encoding of our own. */
  readonly dev: number
  readonly ino: number | bigint
  /** Type and permission bits. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** Of devices, in the kernel's encoding. */
  readonly rdev: number
  readonly size: number | bigint
  /** Seconds, rounded down, and nanoseconds. */
  readonly mtime: number | bigint
  readonly mtimeNsec: number
  readonly ctime: number | bigint
  readonly ctimeNsec: number
}

const nanoseconds = 1_000_000_000n

/**
 * Opens a name in a directory, wherever that is by now. Throws errors like those of Node's `fs`.
 *
 * @param directory a descriptor
 * @param flags `O_…`; the descriptor is closed on exec
 */
export function openAt(directory: number, name: ByteString, flags: number): number {
  const libc = native()
  const path = pathAt(directory, name)
  if (libc === undefined || typeof path !== 'string') return openSync(path, flags)
  const fd = libc.openat(directory, name, flags)
  if (fd < 0) throw errnoException(-fd, 'openat')
  return fd
}

/** Leads to a name of an open directory, whatever became of the path of the directory. A Buffer unless it is ASCII. */
export function pathAt(directory: number, name: ByteString): string | Buffer {
  const path = `/proc/self/fd/${directory}/${name}`
  return /^[\0-\x7f]*$/.test(name) ? path : Buffer.from(path, 'latin1')
}

/** The stat of a descriptor, which may be one of `O_PATH`. Throws errors like those of Node's `fs`. */
export function statOfDescriptor(fd: number): InodeStat {
  const libc = native()
  return libc === undefined ? throughNode(fd) : throughStatx(libc, fd)
}

// As in `struct statx` of <linux/stat.h>, by 4, 2 and 8 bytes.
const result = new Uint8Array(256)
const words = new Uint32Array(result.buffer)
const halves = new Uint16Array(result.buffer)
const longs = new BigInt64Array(result.buffer)

function throughStatx(libc: Libc, fd: number): InodeStat {
  const errno = libc.statx(fd, result)
  if (errno !== 0) throw errnoException(errno, 'statx')
  return {
    dev: words[34]! * 2 ** 20 + words[35]!,
    ino: narrow(BigInt.asUintN(64, longs[4]!)),
    mode: halves[14]!,
    uid: words[5]!,
    gid: words[6]!,
    rdev: encodeDevice(words[32]!, words[33]!),
    size: narrow(longs[5]!),
    mtime: narrow(longs[14]!),
    mtimeNsec: words[30]!,
    ctime: narrow(longs[12]!),
    ctimeNsec: words[26]!,
  }
}

function throughNode(fd: number): InodeStat {
  const stat = fstatSync(fd, { bigint: true })
  const [mtime, mtimeNsec] = split(stat.mtimeNs)
  const [ctime, ctimeNsec] = split(stat.ctimeNs)
  return {
    dev: major(stat.dev) * 2 ** 20 + minor(stat.dev),
    ino: narrow(stat.ino),
    mode: Number(stat.mode),
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    rdev: encodeDevice(major(stat.rdev), minor(stat.rdev)),
    size: narrow(stat.size),
    mtime,
    mtimeNsec,
    ctime,
    ctimeNsec,
  }
}

function split(time: bigint): [seconds: number | bigint, nanoseconds: number] {
  const fraction = time % nanoseconds
  if (fraction < 0n) return [narrow(time / nanoseconds - 1n), Number(fraction + nanoseconds)]
  return [narrow(time / nanoseconds), Number(fraction)]
}

function narrow(value: bigint): number | bigint {
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : value
}

/** The C library's encoding, taken apart. */
const major = (device: bigint): number => Number(((device >> 8n) & 0xfffn) | ((device >> 32n) & 0xfffff000n))
const minor = (device: bigint): number => Number((device & 0xffn) | ((device >> 12n) & 0xffffff00n))

function encodeDevice(major: number, minor: number): number {
  return ((minor & 0xff) | ((major & 0xfff) << 8) | ((minor & 0xfff00) << 12)) >>> 0
}
