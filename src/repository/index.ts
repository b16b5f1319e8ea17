/**
 * Repositories: where objects, streams and images live on disk.
 *
 * @packageDocumentation
 */
export { DigestStore } from './digest-store.ts'
export type { Amount, GarbageOptions, GarbageResult, GarbageWarning } from './gc.ts'
export type { NamedImage } from './images.ts'
export { type InitOptions, initRepository } from './init.ts'
export { linkTarget } from './links.ts'
export { type LockEvent, type LockMode, type LockOptions, lockDirectory } from './lock.ts'
export {
  type ErofsFormats,
  effectiveFormats,
  type Features,
  formatMetadata,
  type Metadata,
  newMetadata,
  parseMetadata,
  unknownReadOnlyFeatures,
} from './metadata.ts'
export { decodeTag, encodeTag, type RefKind } from './names.ts'
export type { ReadOptions } from './object-reader.ts'
export { ObjectDirectory, type ObjectDirectoryOptions, type ObjectStats } from './objects.ts'
export type { OpenOptions } from './open.ts'
export { OutputFile, writeOutputFile } from './output-file.ts'
export type { Ref } from './refs.ts'
export { Repository } from './repository.ts'
export { resetRepository } from './reset.ts'
export type { ResolvedStream } from './streams.ts'
export { type CommitOptions, type RefArguments, Transaction } from './transaction.ts'
export type { VerityPolicy } from './verity.ts'
