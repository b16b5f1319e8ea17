/**
 * fs-verity on the files of a repository: enabled as they are stored, asked about as they are read.
 *
 * @packageDocumentation
 */
import { ComposefsError } from '../errors.ts'
import { enableVerity, measureVerity } from '../fsverity/kernel.ts'
import { type Algorithm, ObjectId } from '../fsverity/object-id.ts'
import { native } from '../native/libc.ts'
import type { TemporaryFile } from './temporary.ts'

/** Whether files must have fs-verity, get it where the file system can, or do without. */
export type VerityPolicy = 'required' | 'wanted' | 'off'

/** How often, a millisecond apart, to try while another process has inherited the writable descriptor. */
const busyTries = 200

/** Enables fs-verity on a file that is written and not yet published; answers false where that is not supported. */
export function protectFile(file: TemporaryFile, algorithm: Algorithm, path: string): boolean {
  file.seal()
  for (let left = busyTries; ; left--) {
    const outcome = enableVerity(file.fd, algorithm, path)
    if (outcome !== 'busy') return outcome !== 'unsupported'
    if (left <= 1) {
      throw new ComposefsError('ERR_REPOSITORY_VERITY', 'another process keeps the file open for writing', { path })
    }
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1)
  }
}

/** What a store does about fs-verity. */
export class VerityKeeper {
  readonly algorithm: Algorithm
  #policy: VerityPolicy

  constructor(algorithm: Algorithm, policy: VerityPolicy) {
    this.algorithm = algorithm
    this.#policy = policy
  }

  /** `wanted` becomes `off` once the file system has said that it cannot. */
  get policy(): VerityPolicy {
    return this.#policy
  }

  /**
   * Makes an object that is about to be published immutable, as the policy says.
   *
   * @throws {@link ComposefsError} `ERR_REPOSITORY_VERITY`, `ERR_NATIVE_MISSING` where it is required and cannot be;
   * `ERR_REPOSITORY_CORRUPT` where what was written is not what the id says
   */
  protect(file: TemporaryFile, id: ObjectId, path: string): void {
    if (this.#policy === 'off') return
    if (this.#policy === 'wanted' && native() === undefined) {
      this.#policy = 'off'
      return
    }
    if (!protectFile(file, this.algorithm, path)) {
      if (this.#policy === 'required') {
        throw new ComposefsError('ERR_REPOSITORY_VERITY', 'the file system does not support fs-verity', {
          path,
          hint: 'move the repository to a file system that does (ext4 with the verity feature, btrfs), or use --insecure',
        })
      }
      this.#policy = 'off'
      return
    }
    this.#compare(file.fd, id, path)
  }

  /**
   * Whether the kernel guarantees that an open object has the contents its id promises.
   *
   * @throws {@link ComposefsError} `ERR_REPOSITORY_CORRUPT` where fs-verity is required and the object has none, or a
   * wrong digest
   */
  vouches(fd: number, id: ObjectId, path: string): boolean {
    if (this.#policy !== 'required' || native() === undefined) return false
    this.#compare(fd, id, path)
    return true
  }

  /**
   * Whether the kernel guarantees an open object, required or not. False too where nobody can tell.
   *
   * @throws {@link ComposefsError} `ERR_REPOSITORY_CORRUPT` where fs-verity is required and the object has none, or it
   * has a wrong digest
   */
  hasDigest(fd: number, id: ObjectId, path: string): boolean {
    if (this.#policy === 'required') return this.vouches(fd, id, path)
    if (this.#policy === 'off' || native() === undefined) return false
    const measured = measureVerity(fd, this.algorithm, path)
    if (measured === 'unsupported') this.#policy = 'off'
    if (!(measured instanceof ObjectId)) return false
    this.#compare(fd, id, path)
    return true
  }

  #compare(fd: number, id: ObjectId, path: string): void {
    const measured = measureVerity(fd, this.algorithm, path)
    if (measured instanceof ObjectId && measured.equals(id)) return
    throw new ComposefsError('ERR_REPOSITORY_CORRUPT', 'the fs-verity digest of the object is wrong', {
      path,
      expected: id.hex,
      actual: measured instanceof ObjectId ? measured.hex : measured,
      hint: 'import or pull again what it belongs to: then it is replaced',
    })
  }
}
