/**
 * What commands read.
 *
 * @packageDocumentation
 */
import type { Readable } from 'node:stream'
import { openInputFile } from '../sources/input-file.ts'

/**
 * A file or FIFO by its name, `-` for stdin.
 *
 * @throws {@link ComposefsError} `ERR_NOT_FOUND`, `ERR_IO`
 */
export async function openInput(name: string): Promise<Readable> {
  return name === '-' ? process.stdin : openInputFile(name)
}
