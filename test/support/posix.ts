import { createRequire } from 'node:module'

/*
 * System calls that Node lacks, for making what tests need on disk. Paths are Buffers: any bytes.
 */

// biome-ignore lint/suspicious/noExplicitAny: koffi is optional, and so are its types
type Function = (...parameters: any[]) => number

interface Calls {
  readonly mknod: Function
  readonly utimensat: Function
  readonly errno: () => number
}

let calls: Calls | undefined

function load(): Calls {
  if (calls === undefined) {
    const koffi = createRequire(import.meta.url)('koffi')
    const library = koffi.load(null)
    calls = {
      mknod: library.func('int mknod(const void *path, unsigned int mode, unsigned long device)'),
      utimensat: library.func('int utimensat(int directory, const void *path, const void *times, int flags)'),
      errno: () => koffi.errno(),
    }
  }
  return calls
}

const terminated = (path: Buffer): Buffer => Buffer.concat([path, Buffer.alloc(1)])

/** `mode` with its type bits. Devices take root. */
export function mknod(path: Buffer, mode: number, device = 0): void {
  const { mknod, errno } = load()
  if (mknod(terminated(path), mode, device) !== 0) throw new Error(`mknod: errno ${errno()}`)
}

/** The time of the last change of the contents, of whatever has this path; symlinks are not followed. */
export function setMtime(path: Buffer, seconds: bigint, nanoseconds: number): void {
  const { utimensat, errno } = load()
  const times = BigInt64Array.of(0n, 0n, seconds, BigInt(nanoseconds))
  if (utimensat(-100, terminated(path), new Uint8Array(times.buffer), 0x100) !== 0) {
    throw new Error(`utimensat: errno ${errno()}`)
  }
}
