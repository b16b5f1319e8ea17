/**
 * From a directory on disk to the tree whose image counts.
 *
 * @packageDocumentation
 */
import type { BytesLike } from '../bytes.ts'
import { bootSteps } from '../selinux/boot.ts'
import type { ObjectStore } from '../streams/records.ts'
import type { FileSystem } from '../tree/filesystem.ts'
import { LayerMerger } from '../tree/merge.ts'
import { type TransformOptions, transformForOci } from '../tree/transform.ts'
import { inTurns, Turns } from '../turns.ts'
import { BatchWriter } from './batches.ts'
import { DirectoryScan, type ScanOptions } from './scan.ts'

/** One of the {@link directoryProfiles}. */
export type DirectoryProfile = 'container-root' | 'raw' | 'pr36'

/** The rules of a {@link directoryProfiles profile}. */
export type DirectoryRules = Required<TransformOptions> & Required<Pick<ScanOptions, 'oneFileSystem' | 'wholeSeconds'>>

/**
 * Named bundles of rules for the tree of a directory. Whatever option is given besides wins.
 *
 * - `container-root`: what cfsctl does today, and what gives the image of an OCI image's layers: the root is like
 *   `/usr`, `/run` is empty, of the extended attributes `security.capability` stays. (Where another file system is
 *   mounted below cfsctl goes in; here it is an error unless `oneFileSystem` says otherwise.)
 * - `raw`: everything as it is on disk; what cfsctl does with `--no-propagate-usr-to-root`.
 * - `pr36`: the rules by which directories first became images, in 2024: everything as it is, but for the time of the
 *   root, which is the newest of any inode below it, and for fractions of seconds, which are dropped. The images of then
 *   had format version 0 and sha256.
 */
export const directoryProfiles: Readonly<Record<DirectoryProfile, DirectoryRules>> = {
  'container-root': {
    root: 'usr',
    emptyRun: true,
    xattrs: 'allowlist-only',
    oneFileSystem: 'refuse',
    wholeSeconds: false,
  },
  raw: { root: 'keep', emptyRun: false, xattrs: 'all', oneFileSystem: 'refuse', wholeSeconds: false },
  pr36: { root: 'newest-time', emptyRun: false, xattrs: 'all', oneFileSystem: 'refuse', wholeSeconds: true },
}

/** How an image is made of a directory. */
export interface DirectoryTreeOptions extends TransformOptions, Omit<ScanOptions, 'xattrs'> {
  /** Which rules hold where no option says otherwise. Default `container-root`. */
  readonly profile?: DirectoryProfile
  /** Make it bootable: `/boot` and `/sysroot` are emptied, all is labelled by its SELinux policy. Default false. */
  readonly bootable?: boolean
  /** Ends the scan; the promise rejects with its reason. */
  readonly signal?: AbortSignal
}

/**
 * Scans a directory, stores its contents, and applies the rules that make of it the tree of an image: the same tree, and
 * so the same image, as that of the layers it was made from. `DigestStore` computes the ids and stores nothing.
 *
 * @throws {@link ComposefsError} the codes of `scanDirectory`, of `transformForOci`, `transformForBoot` and of the store
 * @example
 * ```ts
 * import { writeImage } from 'composefs-streams/erofs'
 * import { fsverityDigest } from 'composefs-streams/fsverity'
 * import { DigestStore } from 'composefs-streams/repository'
 * import { directoryTree } from 'composefs-streams/sources'
 *
 * const fileSystem = await directoryTree('/srv/root', new DigestStore('sha512'), { bootable: true })
 * const id = fsverityDigest('sha512', writeImage(fileSystem, { version: 1 }))
 * ```
 */
export async function directoryTree(
  path: BytesLike,
  store: ObjectStore,
  options: DirectoryTreeOptions = {},
): Promise<FileSystem> {
  const { profile = 'container-root', bootable = false, signal } = options
  const rules: DirectoryRules & DirectoryTreeOptions = { ...directoryProfiles[profile], ...options }
  const fileSystem = await scanTree(path, store, rules, signal)
  transformForOci(fileSystem, rules)
  if (bootable) await inTurns(bootSteps(fileSystem, { directory: path }), signal)
  return fileSystem
}

/**
 * Scans a directory and stores its contents, and leaves the tree as it is on disk: what `pipeline(scanDirectory(path),
 * new ContentSplitter(), new ObjectWriter(store), new TreeSink({ whiteouts: false }))` makes, in half the time.
 *
 * @param signal ends the scan; the promise rejects with its reason
 * @throws {@link ComposefsError} the codes of `scanDirectory` and of the store
 */
export async function scanTree(
  path: BytesLike,
  store: ObjectStore,
  options: ScanOptions = {},
  signal?: AbortSignal,
): Promise<FileSystem> {
  const merger = new LayerMerger({ whiteouts: false })
  const writer = new BatchWriter(store, (entry, content) => merger.add(entry, content))
  const turns = new Turns(signal)
  let records = 0
  try {
    for (const record of new DirectoryScan(path, options, writer.take).records()) {
      const wait = writer.push(record)
      if (wait !== undefined) await wait
      if (++records % 16 === 0 && turns.over) await turns.next()
      signal?.throwIfAborted()
    }
    await writer.finish()
    signal?.throwIfAborted()
  } finally {
    await writer.close()
  }
  return merger.fileSystem
}
