/**
 * SELinux labels: policies, and trees that are labelled by them.
 *
 * @packageDocumentation
 */
export { type PolicySource, transformForBoot } from './boot.ts'
export {
  type ContextRule,
  FileContexts,
  type PolicyLimits,
  parseAliases,
  parseFileContexts,
  type TypeCode,
} from './file-contexts.ts'
export { loadPolicy, Policy, type ReadLeaf, type ReadPolicyFile, readPolicy } from './policy.ts'
export { readPolicyOfDirectory } from './policy-directory.ts'
export { relabel } from './relabel.ts'
