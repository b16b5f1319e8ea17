/**
 * fs-verity: object ids, digests computed in user space, and what the kernel does.
 *
 * @packageDocumentation
 */
export {
  type BlockHash,
  blockHash,
  createHasher,
  defaultImplementation,
  type Hasher,
  type HashImplementation,
  hashBlock,
} from './hash.ts'
export {
  type EnableOutcome,
  enableOutcome,
  enableVerity,
  type MeasureFailure,
  measureOutcome,
  measureVerity,
} from './kernel.ts'
export { FsVerityHasher, fsverityDigest, verityBlockSize } from './merkle.ts'
export { type Algorithm, algorithmNumber, digestSize, ObjectId } from './object-id.ts'
