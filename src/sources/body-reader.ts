/**
 * The contents of files, in chunks.
 *
 * @packageDocumentation
 */
import { readSync } from 'node:fs'
import type { ByteString } from '../bytes.ts'
import type { Data } from '../streams/records.ts'
import { changed, scanError } from './scan-error.ts'

/** Bytes of a chunk, and of the memory that small files share. */
const chunkSize = 1024 * 1024

/** Reads open files. The chunks are never written to again, since nobody knows how long a stream holds them. */
export class BodyReader {
  #slab: Buffer = Buffer.alloc(0)
  #used = 0

  #take(size: number): Buffer {
    if (size > this.#slab.length - this.#used) {
      this.#slab = Buffer.allocUnsafeSlow(chunkSize)
      this.#used = 0
    }
    this.#used += size
    return this.#slab.subarray(this.#used - size, this.#used)
  }
  /**
   * `size` bytes from where the descriptor stands.
   *
   * @throws {@link ComposefsError} `ERR_SOURCE_CHANGED` where there are fewer, `ERR_IO`
   */
  *read(fd: number, size: number, path: ByteString): Generator<Data, void, undefined> {
    for (let left = size; left > 0; ) {
      const chunk = this.#take(Math.min(left, chunkSize))
      let length: number
      try {
        length = readSync(fd, chunk, 0, chunk.length, null)
      } catch (error) {
        throw scanError(error, 'cannot read the file', path)
      }
      if (length === 0) throw changed('it became shorter while it was read', path)
      left -= length
      yield { kind: 'data', chunk: length === chunk.length ? chunk : chunk.subarray(0, length) }
    }
  }
}
