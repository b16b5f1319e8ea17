/**
 * The contents of files, in chunks.
 *
 * @packageDocumentation
 */
import { readSync } from 'node:fs'
import type { ByteString } from '../bytes.ts'
import type { Data } from '../streams/records.ts'
import { changed, scanError } from './scan-error.ts'

/** Where contents are read to: so many bytes that nobody else uses. */
export type TakeMemory = (size: number) => Buffer

/** Bytes of the largest chunk. */
export const chunkSize: number = 1024 * 1024

/**
 * `size` bytes from where a descriptor stands, in chunks of {@link chunkSize}, the last one smaller.
 *
 * @throws {@link ComposefsError} `ERR_SOURCE_CHANGED` where there are fewer, `ERR_IO`
 */
export function* readBody(fd: number, size: number, path: ByteString, take: TakeMemory): Generator<Data> {
  for (let left = size; left > 0; left -= chunkSize) {
    const chunk = take(Math.min(left, chunkSize))
    for (let filled = 0; filled < chunk.length; ) {
      let length: number
      try {
        length = readSync(fd, chunk, filled, chunk.length - filled, null)
      } catch (error) {
        throw scanError(error, 'cannot read the file', path)
      }
      if (length === 0) throw changed('it became shorter while it was read', path)
      filled += length
    }
    yield { kind: 'data', chunk }
  }
}

/**
 * Memory for chunks that live as long as somebody holds them, which in a stream nobody knows; small ones share a block.
 */
export function freshMemory(): TakeMemory {
  let block: Buffer = Buffer.alloc(0)
  let used = 0
  return (size) => {
    if (size > block.length - used) {
      block = Buffer.allocUnsafeSlow(chunkSize)
      used = 0
    }
    used += size
    return block.subarray(used - size, used)
  }
}
