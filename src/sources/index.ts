/**
 * Sources: where pipelines begin that do not begin with bytes.
 *
 * @packageDocumentation
 */
export { scanDirectory } from './directory.ts'
export type { MountRule } from './mounts.ts'
export type { ScanOptions } from './scan.ts'
export { type DirectoryProfile, type DirectoryTreeOptions, directoryProfiles, directoryTree, scanTree } from './tree.ts'
