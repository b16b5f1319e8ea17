/**
 * What commands read.
 *
 * @packageDocumentation
 */
import { addAbortSignal, type Readable } from 'node:stream'
import { openInputFile } from '../sources/input-file.ts'
import { interruption } from './interrupt.ts'
import { note } from './output.ts'

/**
 * A file or FIFO by its name, `-` for stdin. Ctrl-C ends it.
 *
 * @param what is waited for where stdin is a terminal: whoever forgot to pipe something in would wait in vain
 * @throws {@link ComposefsError} `ERR_NOT_FOUND`, `ERR_IO`
 */
export function openInput(name: string, what = 'input'): Readable {
  if (name === '-' && process.stdin.isTTY) {
    note(`waiting for ${what} from this terminal: name a file, or pipe it in; Ctrl-C ends the wait`)
  }
  return addAbortSignal(interruption, name === '-' ? process.stdin : openInputFile(name))
}
