/**
 * An object store that keeps nothing.
 *
 * @packageDocumentation
 */
import { ComposefsError } from '../errors.ts'
import { FsVerityHasher, fsverityDigest } from '../fsverity/merkle.ts'
import type { Algorithm, ObjectId } from '../fsverity/object-id.ts'
import type { ObjectSink, ObjectStore } from '../streams/records.ts'

/**
 * Says which ids contents have, for an image id without its objects.
 *
 * @example
 * ```ts
 * import { DigestStore } from 'composefs-streams/repository'
 *
 * new DigestStore('sha256').put(Buffer.from('hello world')).hex // '1e2eaa4202d750a4…'
 * ```
 */
export class DigestStore implements ObjectStore {
  readonly algorithm: Algorithm
  readonly borrows = true
  readonly takesIds = true

  constructor(algorithm: Algorithm) {
    this.algorithm = algorithm
  }

  put(bytes: Buffer, id: ObjectId = fsverityDigest(this.algorithm, bytes)): ObjectId {
    return id
  }

  /** The sink's `finish` fails with `ERR_SIZE_MISMATCH` where other than `size` bytes came. */
  create(size: number): ObjectSink {
    const hasher = new FsVerityHasher(this.algorithm)
    return {
      write: (chunk) => hasher.update(chunk),
      finish: async () => {
        if (hasher.size === size) return hasher.digest()
        throw new ComposefsError('ERR_SIZE_MISMATCH', 'an object does not have the size that was announced', {
          expected: size,
          actual: hasher.size,
        })
      },
      abort: async () => {},
    }
  }
}
