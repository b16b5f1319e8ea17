/**
 * Files that are read from beginning to end.
 *
 * @packageDocumentation
 */
import { closeSync, constants, createReadStream, fstatSync, openSync } from 'node:fs'
import { Socket } from 'node:net'
import type { Readable } from 'node:stream'
import { isatty, ReadStream } from 'node:tty'
import { ComposefsError } from '../errors.ts'
import { systemError } from '../native/errno.ts'

/** Bytes that are read at once. */
const highWaterMark = 1024 * 1024
/** Opening a FIFO would wait for its writer, on a thread that the process in turn waits for when it ends. */
const flags = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY

/** Character devices of Linux: zero, full, random, urandom. */
const endless: ReadonlySet<number> = new Set([0x105, 0x107, 0x108, 0x109])

/**
 * A file, FIFO or terminal as a stream. A FIFO is waited for in the stream, which may be destroyed at any time.
 *
 * @throws {@link ComposefsError} `ERR_NOT_FOUND`, `ERR_IO`, also for a directory, or a device that never ends
 */
export function openInputFile(path: string): Readable {
  let fd = -1
  try {
    fd = openSync(path, flags)
    const stat = fstatSync(fd)
    if (stat.isDirectory()) throw new ComposefsError('ERR_IO', 'this is a directory, not a file (EISDIR)', { path })
    if (stat.isCharacterDevice() && endless.has(stat.rdev)) {
      throw new ComposefsError('ERR_IO', 'the input is a device that never ends', { path })
    }
    if (stat.isFIFO()) return new Socket({ fd, readable: true, writable: false })
    if (isatty(fd)) return new ReadStream(fd)
    return createReadStream(path, { fd, highWaterMark })
  } catch (error) {
    if (fd >= 0) closeSync(fd)
    throw systemError(error, 'read', 'cannot open the input', path)
  }
}
