/**
 * What makes a tree bootable (spec: oci-image, section 4).
 *
 * @packageDocumentation
 */
import type { BytesLike } from '../bytes.ts'
import type { FileSystem } from '../tree/filesystem.ts'
import { emptyBootDirectories } from '../tree/transform.ts'
import { atOnce, type Steps } from '../turns.ts'
import type { PolicyLimits } from './file-contexts.ts'
import { type ReadLeaf, readPolicy } from './policy.ts'
import { readPolicyOfDirectory } from './policy-directory.ts'
import { relabelSteps } from './relabel.ts'

/**
 * Where the SELinux policy is read: from the tree, with `readLeaf` for the contents that are not in it, or from the
 * root directory on disk that the tree was made of, where symlinks are followed.
 */
export type PolicySource = { readonly readLeaf: ReadLeaf } | { readonly directory: BytesLike }

/**
 * Empties `/boot` and `/sysroot`, then labels the tree by its SELinux policy, in place. It comes after
 * `transformForOci`.
 *
 * @returns whether there was a policy; without one the tree has no labels
 * @throws {@link ComposefsError} `ERR_NOT_FOUND`, `ERR_NOT_DIRECTORY`, `ERR_USR_MISSING` (for `/boot`, `/sysroot` and
 * `/usr`), and the codes of `readPolicy` or `readPolicyOfDirectory`
 * @example
 * ```ts
 * import type { Repository } from 'composefs-streams/repository'
 * import { transformForBoot } from 'composefs-streams/selinux'
 * import type { FileSystem } from 'composefs-streams/tree'
 *
 * const ofDirectory = (fileSystem: FileSystem) => transformForBoot(fileSystem, { directory: '/mnt/root' })
 * const ofRepository = (fileSystem: FileSystem, repository: Repository) =>
 *   transformForBoot(fileSystem, {
 *     readLeaf: ({ content }) =>
 *       content.type === 'external' && content.id ? repository.readObject(content.id) : Buffer.alloc(0),
 *   })
 * ```
 */
export function transformForBoot(fileSystem: FileSystem, source: PolicySource, limits: PolicyLimits = {}): boolean {
  return atOnce(bootSteps(fileSystem, source, limits))
}

/** The work of {@link transformForBoot}. */
export function* bootSteps(fileSystem: FileSystem, source: PolicySource, limits: PolicyLimits = {}): Steps<boolean> {
  const policy =
    'directory' in source
      ? readPolicyOfDirectory(source.directory, limits)
      : readPolicy(fileSystem, source.readLeaf, limits)
  yield
  emptyBootDirectories(fileSystem)
  yield* relabelSteps(fileSystem, policy)
  return policy !== undefined
}
