/**
 * Large objects on their way into the store, piece by piece.
 *
 * @packageDocumentation
 */
import { ComposefsError } from '../errors.ts'
import { FsVerityHasher } from '../fsverity/merkle.ts'
import type { Algorithm, ObjectId } from '../fsverity/object-id.ts'
import { systemError } from '../native/errno.ts'
import type { ObjectSink } from '../streams/records.ts'
import type { TemporaryFile } from './temporary.ts'

/** The part of the store that a {@link StreamedObject} needs. */
export interface ObjectReceiver {
  readonly algorithm: Algorithm
  /** For messages. */
  readonly path: string
  put(bytes: Buffer): ObjectId
  begin(): TemporaryFile
  publish(file: TemporaryFile, id: ObjectId, size: number): Promise<void>
}

/** Bytes that are collected before they are written; a multiple of the fs-verity block size. */
const bufferSize = 1024 * 1024

/**
 * An object of known size. What fits into one buffer is stored like a whole object, so that one which is present is
 * not written again; more goes to a temporary file, written by another thread while this one hashes.
 */
export class StreamedObject implements ObjectSink {
  readonly #receiver: ObjectReceiver
  readonly #size: number
  #received = 0
  #ended = false
  #buffer: Buffer
  #fill = 0
  /** The buffer that is free, or being written. */
  #other: Buffer | undefined
  #file: TemporaryFile | undefined
  #hasher: FsVerityHasher | undefined
  /** The write under way. Never rejects: what went wrong is in `#failure`. */
  #writing: Promise<void> | undefined
  #failure: unknown

  /** @throws {@link ComposefsError} `ERR_ARGUMENT` unless `size` is a whole number of bytes */
  constructor(receiver: ObjectReceiver, size: number) {
    if (!Number.isSafeInteger(size) || size < 0) {
      throw new ComposefsError('ERR_ARGUMENT', `${size} is no size of an object`)
    }
    this.#receiver = receiver
    this.#size = size
    this.#buffer = Buffer.allocUnsafeSlow(Math.min(size, bufferSize))
  }

  /**
   * Takes a chunk; the promise, where there is one, asks to wait before the next.
   *
   * @throws {@link ComposefsError} `ERR_SIZE_MISMATCH` for more bytes than announced, `ERR_STREAM_ORDER` after the end,
   * `ERR_NO_SPACE`, `ERR_REPOSITORY_READONLY`, `ERR_IO`
   */
  write(chunk: Buffer): void | Promise<void> {
    this.#assertOpen()
    this.#received += chunk.length
    if (this.#received > this.#size) throw this.#sizeMismatch('more')
    const taken = this.#take(chunk, 0)
    if (taken < chunk.length) return this.#takeRest(chunk, taken)
  }

  /**
   * Publishes the object, and leaves nothing behind if that fails.
   *
   * @throws {@link ComposefsError} `ERR_SIZE_MISMATCH` for fewer bytes than announced, and what `ObjectDirectory.put`
   * throws
   */
  async finish(): Promise<ObjectId> {
    this.#assertOpen()
    this.#ended = true
    try {
      await this.#writing
      if (this.#failure !== undefined) throw this.#failure
      if (this.#received < this.#size) throw this.#sizeMismatch(this.#received)
      const rest = this.#buffer.subarray(0, this.#fill)
      if (this.#file === undefined || this.#hasher === undefined) return this.#receiver.put(rest)
      if (rest.length > 0) {
        const writing = this.#file.append(rest)
        this.#hasher.update(rest)
        await writing
      }
      const id = this.#hasher.digest()
      await this.#receiver.publish(this.#file, id, this.#size)
      return id
    } catch (error) {
      throw systemError(error, 'write', 'cannot store an object', this.#receiver.path)
    } finally {
      this.#file?.close()
    }
  }

  async abort(): Promise<void> {
    if (this.#ended) return
    this.#ended = true
    await this.#writing
    this.#file?.close()
  }

  /** Copies what there is room for, and answers where it stopped because both buffers are full. */
  #take(chunk: Buffer, from: number): number {
    let at = from
    for (;;) {
      const copied = chunk.copy(this.#buffer, this.#fill, at)
      this.#fill += copied
      at += copied
      if (at === chunk.length || this.#writing !== undefined) return at
      this.#flush()
    }
  }

  async #takeRest(chunk: Buffer, from: number): Promise<void> {
    for (let at = from; at < chunk.length; at = this.#take(chunk, at)) {
      await this.#writing
      // Given up meanwhile: nobody cares for the rest.
      if (this.#ended) return
      this.#assertOpen()
    }
  }

  /** Hands a full buffer to another thread, and hashes it meanwhile. */
  #flush(): void {
    try {
      this.#file ??= this.#receiver.begin()
    } catch (error) {
      throw systemError(error, 'write', 'cannot store an object', this.#receiver.path)
    }
    this.#hasher ??= new FsVerityHasher(this.#receiver.algorithm)
    const full = this.#buffer
    this.#buffer = this.#other ?? Buffer.allocUnsafeSlow(bufferSize)
    this.#other = full
    this.#fill = 0
    this.#writing = this.#file
      .append(full)

      .catch((error: unknown) => {
        this.#failure = systemError(error, 'write', 'cannot store an object', this.#receiver.path)
      })
      .finally(() => {
        this.#writing = undefined
      })
    this.#hasher.update(full)
  }

  #assertOpen(): void {
    if (this.#failure !== undefined) throw this.#failure
    if (this.#ended) throw new ComposefsError('ERR_STREAM_ORDER', 'the object is finished already')
  }

  #sizeMismatch(actual: string | number): ComposefsError {
    return new ComposefsError('ERR_SIZE_MISMATCH', 'an object does not have the size that was announced', {
      expected: this.#size,
      actual,
    })
  }
}
