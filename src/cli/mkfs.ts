/**
 * Making an image of a directory or a dumpfile, as mkcomposefs does it.
 *
 * @packageDocumentation
 */

import { open } from 'node:fs/promises'
import { makeImage, type WriteImageOptions } from '../erofs/writer.ts'

import { ComposefsError } from '../errors.ts'
import { fsverityDigest } from '../fsverity/merkle.ts'
import type { Algorithm } from '../fsverity/object-id.ts'
import { systemError } from '../native/errno.ts'
import { makeDirectories } from '../native/make-directories.ts'
import { DigestStore } from '../repository/digest-store.ts'
import { ObjectDirectory } from '../repository/objects.ts'
import { writeOutputFile } from '../repository/output-file.ts'
import { syncFileSystem } from '../repository/sync.ts'
import type { ScanOptions } from '../sources/scan.ts'
import { scanTree } from '../sources/tree.ts'
import { readDumpfileFrom } from '../streams/dumpfile-reader.ts'
import type { FileSystem } from '../tree/filesystem.ts'
import { inodes } from '../tree/transform.ts'
import { openInput } from './input.ts'
import { interruption } from './interrupt.ts'
import { assertNoTerminal, print, printLine } from './output.ts'

/** How a directory becomes a tree. */
export interface DirectorySource {
  readonly algorithm: Algorithm
  /** Where contents that are not in the image are stored; nowhere if undefined. It is made when there are any. */
  readonly digestStore?: string | undefined
  readonly skipDevices?: boolean | undefined
  readonly skipXattrs?: boolean | undefined
  readonly userXattrs?: boolean | undefined
  readonly useEpoch?: boolean | undefined
  readonly hardlinks?: boolean | undefined
}

/**
 * The tree of a directory as it is on disk, whatever file systems are mounted below.
 *
 * @throws {@link ComposefsError} `ERR_ARGUMENT` for options that exclude each other, and the codes of `scanTree`
 */
export async function treeOfDirectory(path: string, options: DirectorySource): Promise<FileSystem> {
  const { algorithm, digestStore, skipDevices, skipXattrs, userXattrs, useEpoch, hardlinks } = options
  if (skipXattrs && userXattrs) {
    throw new ComposefsError('ERR_ARGUMENT', '--skip-xattrs and --user-xattrs exclude each other')
  }
  const scan: ScanOptions = {
    oneFileSystem: 'cross',
    xattrs: skipXattrs ? 'none' : userXattrs ? 'user' : 'all',
    devices: skipDevices !== true,
    hardlinks: hardlinks === true,
  }
  // Only with something behind the slash a symlink is the directory that it leads to.
  const top = path.endsWith('/') ? `${path}.` : path
  const store = digestStore === undefined ? new DigestStore(algorithm) : objectsIn(digestStore, algorithm)
  const fileSystem = await scanTree(top, store, scan, interruption)
  if (store instanceof ObjectDirectory && store.stats.newObjects > 0) await sync(store.path)
  if (useEpoch) {
    for (const inode of inodes(fileSystem)) inode.stat = { ...inode.stat, mtime: 0, mtimeNsec: 0 }
  }
  return fileSystem
}

function objectsIn(path: string, algorithm: Algorithm): ObjectDirectory {
  let made = false
  return new ObjectDirectory(path, algorithm, {
    mode: 0o644,
    beforeWrite: () => {
      if (made) return
      try {
        makeDirectories(path)
      } catch (error) {
        throw systemError(error, 'write', 'cannot make the object store', path)
      }
      made = true
    },
  })
}

/** An image must not be there before its objects are. */
async function sync(path: string): Promise<void> {
  const directory = await open(path)
  try {
    await syncFileSystem(directory.fd, path)
  } finally {
    await directory.close()
  }
}

/** The tree of a dumpfile, `-` for stdin. `strict` refuses what is odd but harmless. */
export async function treeOfDumpfile(path: string, strict = false): Promise<FileSystem> {
  return readDumpfileFrom(openInput(path, 'a dumpfile'), { strict })
}

/**
 * The format version by the rules of mkcomposefs: at least `min`; a whiteout raises 0 to 1 unless `max` forbids it.
 * Neither given means 0 and 1; given one of them, the other is 0.
 *
 * @throws {@link ComposefsError} `ERR_ARGUMENT` for versions that there are not
 */
export function versionRule(min?: number, max?: number): WriteImageOptions {
  if (min === undefined && max === undefined) return { version: 0, raise: true }
  for (const version of [min, max]) {
    if (version !== undefined && version !== 0 && version !== 1) {
      throw new ComposefsError('ERR_ARGUMENT', `there is no image format version ${version}`, { hint: 'choose 0 or 1' })
    }
  }
  return { version: min === 1 ? 1 : 0, raise: max === 1 }
}

/** What {@link writeTree} does. */
export interface Output {
  /** A file, `-` for stdout; undefined to write none. */
  readonly image: string | undefined
  readonly format: WriteImageOptions
  /** The hash of the image id, where that is asked for; it is printed behind the image. */
  readonly digest: Algorithm | undefined
}

/** Refuses what would upset a terminal; call it before the work begins. @throws {@link ComposefsError} `ERR_ARGUMENT` */
export function assertWritable(image: string | undefined): void {
  if (image === '-') assertNoTerminal('an image')
}

/** Makes the image of a tree and writes it, its id, or both. */
export async function writeTree(fileSystem: FileSystem, { image, format, digest }: Output): Promise<void> {
  const bytes = await makeImage(fileSystem, { ...format, signal: interruption })
  if (image === '-') await print(bytes)
  else if (image !== undefined) await writeOutputFile(image, bytes, interruption)
  if (digest !== undefined) await printLine(fsverityDigest(digest, bytes).hex)
}
