/**
 * Bytes that wait in the file system of a store, in a file that never gets an object's name.
 *
 * @packageDocumentation
 */
import { readSync } from 'node:fs'
import { systemError } from '../native/errno.ts'
import type { Scratch } from '../streams/records.ts'
import type { TemporaryFile } from './temporary.ts'

const chunkSize = 1024 * 1024

/** A {@link Scratch} in a temporary file. */
export class ScratchFile implements Scratch {
  readonly #file: TemporaryFile
  /** For messages. */
  readonly #path: string
  #sealed = false

  constructor(file: TemporaryFile, path: string) {
    this.#file = file
    this.#path = path
  }

  /** @throws {@link ComposefsError} `ERR_NO_SPACE`, `ERR_IO` */
  write(bytes: Buffer): void {
    try {
      this.#file.write(bytes)
    } catch (error) {
      throw systemError(error, 'write', 'cannot write a temporary file', this.#path)
    }
  }

  /** @throws {@link ComposefsError} `ERR_IO` */
  *read(): Generator<Buffer, void, undefined> {
    try {
      // It was open for writing only.
      if (!this.#sealed) this.#file.seal()
      this.#sealed = true
      for (let at = 0; ; ) {
        const chunk = Buffer.allocUnsafeSlow(chunkSize)
        const length = readSync(this.#file.fd, chunk, 0, chunkSize, at)
        if (length === 0) return
        at += length
        yield chunk.subarray(0, length)
      }
    } catch (error) {
      throw systemError(error, 'read', 'cannot read a temporary file', this.#path)
    }
  }

  close(): void {
    this.#file.close()
  }
}
