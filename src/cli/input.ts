/**
 * What commands read.
 *
 * @packageDocumentation
 */
import { open } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { systemError } from '../native/errno.ts'

const highWaterMark = 1024 * 1024

/**
 * A file or FIFO by its name, `-` for stdin.
 *
 * @throws {@link ComposefsError} `ERR_NOT_FOUND`, `ERR_IO`
 */
export async function openInput(name: string): Promise<Readable> {
  if (name === '-') return process.stdin
  try {
    return (await open(name)).createReadStream({ highWaterMark })
  } catch (error) {
    throw systemError(error, 'read', 'cannot open the input', name)
  }
}
