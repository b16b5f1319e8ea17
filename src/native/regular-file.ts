/**
 * Reading files whose names come from users or from what they were given: a FIFO or a device there must neither hang
 * the process nor fill its memory.
 *
 * @packageDocumentation
 */
import { closeSync, constants, fstatSync, openSync, readSync, type Stats } from 'node:fs'
import { ComposefsError } from '../errors.ts'

/** Of Linux: character device 1:3. */
const nullDevice = 0x103

/**
 * Opens a regular file for reading.
 *
 * @returns its descriptor, to be closed by the caller, and what fstat says
 * @throws {@link ComposefsError} `ERR_IO` naming what it is instead; what `fs.openSync` throws
 */
export function openRegular(path: string): { readonly fd: number; readonly stats: Stats } {
  // Without O_NONBLOCK the opening of a FIFO waits for a writer.
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY)
  try {
    const stats = fstatSync(fd)
    const kind = kindOf(stats)
    if (kind === undefined) return { fd, stats }
    throw new ComposefsError('ERR_IO', `a file is needed, and this is ${kind}`, { path })
  } catch (error) {
    closeSync(fd)
    throw error
  }
}

/**
 * The contents of a regular file; of /dev/null, which stands for no file, none.
 *
 * @throws {@link ComposefsError} `ERR_LIMIT` above `limit` bytes, and what {@link openRegular} throws
 */
export function readRegular(path: string, limit: number): Buffer {
  const { fd, stats } = openRegular(path)
  try {
    // Those of /proc have no size, and one that is being written to grows.
    let bytes = Buffer.allocUnsafe(Math.min(stats.size, limit) + 1)
    let length = 0
    for (;;) {
      const read = readSync(fd, bytes, length, bytes.length - length, null)
      length += read
      if (length > limit) {
        throw new ComposefsError('ERR_LIMIT', `the file is larger than the limit of ${limit} bytes`, { path })
      }
      if (read === 0) return bytes.subarray(0, length)
      if (length === bytes.length) bytes = Buffer.concat([bytes], Math.min(2 * length, limit) + 1)
    }
  } finally {
    closeSync(fd)
  }
}

/** What it is in words, where it is no regular file. */
export function kindOf(stats: Stats): string | undefined {
  if (stats.isFile()) return undefined
  if (stats.isDirectory()) return 'a directory'
  if (stats.isFIFO()) return 'a FIFO or pipe'
  if (stats.isSocket()) return 'a socket'
  if (stats.isBlockDevice()) return 'a block device'
  return stats.rdev === nullDevice ? undefined : 'a character device'
}
