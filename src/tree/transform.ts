/**
 * What happens to a merged tree before an image is made of it (spec: oci-image, section 3; rs-0.9, section 1.4).
 *
 * @packageDocumentation
 */
import { type ByteString, fromLatin1 } from '../bytes.ts'
import { ComposefsError } from '../errors.ts'
import type { FileSystem } from './filesystem.ts'
import { Directory, type Inode, type Leaf } from './inode.ts'
import { compareMtime, defaultDirectoryStat, type Stat } from './stat.ts'

/** Which extended attributes stay. */
export type XattrFilter = 'allowlist-only' | 'keep-user-xattrs' | 'all'

/**
 * Where the metadata of the root directory comes from: `usr` copies it from `/usr` (today's rule), `newest` is 0555,
 * root:root and the newest time of any inode below (the rule of 2024 for layers), `newest-time` takes that time, 1970 at
 * the earliest, and leaves the rest (the rule of 2024 for directories), `keep` leaves what the tree has.
 */
export type RootRule = 'usr' | 'newest' | 'newest-time' | 'keep'

/** The transformations of {@link transformForOci}; the defaults are those of cfsctl. */
export interface TransformOptions {
  /** Default `usr`. */
  readonly root?: RootRule
  /**
   * Remove what is in `/run` and give it the time of `/usr`. Default true. Where `root` is another rule than `usr`, a
   * tree without `/usr` will do: `/run` keeps its time.
   */
  readonly emptyRun?: boolean
  /** Default `allowlist-only`: `security.capability` alone. */
  readonly xattrs?: XattrFilter
}

const capability = fromLatin1('security.capability')
const rootStat2024: Stat = { ...defaultDirectoryStat, mode: 0o555 }

/** Whether an extended attribute stays, by its name. */
export const xattrFilters: Readonly<Record<XattrFilter, (name: ByteString) => boolean>> = {
  'allowlist-only': (name) => name === capability,
  'keep-user-xattrs': (name) => name === capability || name.startsWith('user.'),
  all: () => true,
}

/**
 * Makes of the merged layers the tree whose image counts, in place.
 *
 * @throws {@link ComposefsError} `ERR_USR_MISSING`, `ERR_NOT_DIRECTORY` (for `/usr` and `/run`)
 */
export function transformForOci(fileSystem: FileSystem, options: TransformOptions = {}): void {
  const { root = 'usr', emptyRun = true, xattrs = 'allowlist-only' } = options
  const { root: top } = fileSystem
  if (root === 'usr') top.stat = usrStat(fileSystem)
  if (emptyRun && top.entries.has(fromLatin1('run'))) {
    const run = directoryAt(fileSystem, 'run')
    emptyDirectory(run, timeSource(fileSystem, run).stat)
  }
  if (xattrs !== 'all') filterXattrs(fileSystem, xattrFilters[xattrs])
  if (root === 'newest') top.stat = newestStat(fileSystem, { ...rootStat2024, mtime: -1 })
  if (root === 'newest-time') top.stat = newestStat(fileSystem, { ...top.stat, mtime: 0, mtimeNsec: 0 })
}

/**
 * Empties `/boot` and `/sysroot`, whose contents a bootable image takes from elsewhere. Both must exist.
 *
 * @throws {@link ComposefsError} `ERR_NOT_FOUND`, `ERR_NOT_DIRECTORY`, `ERR_USR_MISSING`
 */
export function emptyBootDirectories(fileSystem: FileSystem): void {
  const usr = usrStat(fileSystem)
  for (const directory of [directoryAt(fileSystem, 'boot'), directoryAt(fileSystem, 'sysroot')]) {
    emptyDirectory(directory, usr)
  }
}

/** Keeps only the extended attributes whose names pass, on every inode. */
export function filterXattrs(fileSystem: FileSystem, keep: (name: ByteString) => boolean): void {
  for (const inode of inodes(fileSystem)) {
    const xattrs = inode.stat.xattrs.filter(keep)
    if (xattrs !== inode.stat.xattrs) inode.stat = { ...inode.stat, xattrs }
  }
}

/** Every inode once, the root first; hardlinks come once. */
export function* inodes(fileSystem: FileSystem): Generator<Inode, void, undefined> {
  const seen = new Set<Leaf>()
  const pending = [fileSystem.root]
  for (let directory = pending.pop(); directory !== undefined; directory = pending.pop()) {
    yield directory
    for (const inode of directory.entries.values()) {
      if (inode.kind === 'directory') pending.push(inode)
      else if (!seen.has(inode)) {
        seen.add(inode)
        yield inode
      }
    }
  }
}

function usrStat({ root }: FileSystem): Stat {
  const usr = root.entries.get(fromLatin1('usr'))
  if (usr === undefined) {
    throw new ComposefsError('ERR_USR_MISSING', 'there is no /usr to take the metadata of the root from', {
      hint: 'an operating system image has one; for other trees choose another rule for the root (--root-metadata)',
    })
  }
  return directoryNamed(usr, '/usr').stat
}

/** `/usr` where it is a directory, otherwise `/run` itself. */
function timeSource(fileSystem: FileSystem, run: Directory): Directory {
  const usr = fileSystem.get('usr')
  return usr instanceof Directory ? usr : run
}

function directoryAt({ root }: FileSystem, name: string): Directory {
  const inode = root.entries.get(fromLatin1(name))
  if (inode === undefined) {
    const hint =
      'a bootable image has it, empty or not: make it in the tree, or in a layer; images that are not bootable can do without'
    throw new ComposefsError('ERR_NOT_FOUND', 'the directory does not exist', { path: `/${name}`, hint })
  }
  return directoryNamed(inode, `/${name}`)
}

function emptyDirectory(directory: Directory, { mtime, mtimeNsec }: Stat): void {
  directory.entries.clear()
  directory.stat = { ...directory.stat, mtime, mtimeNsec }
}

function directoryNamed(inode: Inode, path: string): Directory {
  if (inode instanceof Directory) return inode
  const hint = 'make the layer again with a directory there'
  throw new ComposefsError('ERR_NOT_DIRECTORY', 'this must be a directory, not a file or symlink', { path, hint })
}

/** With the newest time of all inodes but the root, or its own where none is newer. */
function newestStat(fileSystem: FileSystem, oldest: Stat): Stat {
  let newest = oldest
  for (const inode of inodes(fileSystem)) {
    if (inode !== fileSystem.root && compareMtime(inode.stat, newest) > 0) {
      newest = { ...newest, mtime: inode.stat.mtime, mtimeNsec: inode.stat.mtimeNsec }
    }
  }
  return newest
}
