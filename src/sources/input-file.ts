/**
 * Files that are read from beginning to end.
 *
 * @packageDocumentation
 */
import { open } from 'node:fs/promises'
import { constants } from 'node:os'
import type { Readable } from 'node:stream'
import { errnoException, systemError } from '../native/errno.ts'

/** Bytes that are read at once. */
const highWaterMark = 1024 * 1024

/**
 * A file or FIFO as a stream.
 *
 * @throws {@link ComposefsError} `ERR_NOT_FOUND`, `ERR_IO`, also for a directory
 */
export async function openInputFile(path: string): Promise<Readable> {
  try {
    const file = await open(path)
    if (!(await file.stat()).isDirectory()) return file.createReadStream({ highWaterMark })
    await file.close()
    throw errnoException(constants.errno.EISDIR, 'read')
  } catch (error) {
    throw systemError(error, 'read', 'cannot open the input', path)
  }
}
