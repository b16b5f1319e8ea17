/**
 * What commands read.
 *
 * @packageDocumentation
 */
import { once } from 'node:events'
import { addAbortSignal, type Readable } from 'node:stream'
import { composefsMagic, erofsMagic, superblockOffset } from '../erofs/format.ts'
import { ComposefsError } from '../errors.ts'
import { openInputFile } from '../sources/input-file.ts'
import { interruption } from './interrupt.ts'

/** Bytes of an image or a dumpfile that is read whole. */
const maxWhole = 2 ** 31

/**
 * A file or FIFO by its name, `-` for stdin. Ctrl-C ends it.
 *
 * @throws {@link ComposefsError} `ERR_NOT_FOUND`, `ERR_IO`
 */
export function openInput(name: string): Readable {
  return addAbortSignal(interruption, name === '-' ? process.stdin : openInputFile(name))
}

/**
 * Waits until there is something to read, or nothing more to come: what takes a lock need not hold it until then.
 *
 * @throws what the stream fails with
 */
export async function firstBytes(source: Readable): Promise<void> {
  if (source.readableLength === 0 && !source.readableEnded) await once(source, 'readable')
}

/**
 * All of an image or a dumpfile by its name, `-` for stdin. What is neither is refused at its beginning, for it may have
 * no end.
 *
 * @throws {@link ComposefsError} `ERR_ARGUMENT`, `ERR_LIMIT`, `ERR_NOT_FOUND`, `ERR_IO`
 */
export async function readInput(name: string): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  let known = false
  for await (const chunk of openInput(name) as AsyncIterable<Buffer>) {
    chunks.push(chunk)
    size += chunk.length
    if (size > maxWhole) throw new ComposefsError('ERR_LIMIT', `this is larger than ${maxWhole} bytes`, { path: name })
    if (known || size < superblockOffset + 4) continue
    kindOf(name, Buffer.concat(chunks))
    known = true
  }
  return Buffer.concat(chunks, size)
}

/** Which of the two it is, as its beginning tells. @throws {@link ComposefsError} `ERR_ARGUMENT` for neither */
export function kindOf(name: string, bytes: Buffer): 'image' | 'dumpfile' {
  const has = (offset: number, magic: number): boolean =>
    bytes.length >= offset + 4 && bytes.readUInt32LE(offset) === magic
  if (has(0, composefsMagic) || has(superblockOffset, erofsMagic)) return 'image'
  // A dumpfile is text that begins with the path of the root.
  if (bytes[0] === '/'.charCodeAt(0)) return 'dumpfile'
  throw new ComposefsError('ERR_ARGUMENT', 'this is neither an image nor a dumpfile', { path: name })
}
