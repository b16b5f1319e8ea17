/**
 * Small trees for tests.
 */

import type { WriteImageOptions } from '../../../src/erofs/index.ts'
import { writeImage } from '../../../src/erofs/index.ts'
import { ObjectId } from '../../../src/fsverity/object-id.ts'
import {
  Directory,
  FileSystem,
  fromLatin1,
  Leaf,
  type LeafContent,
  type Stat,
  Xattrs,
} from '../../../src/tree/index.ts'
import { ImageFields } from './image-fields.ts'

/** Root with everything 0 but what is given, mode 0755. */
export function tree(root: Partial<Stat> = {}): FileSystem {
  return new FileSystem(stat({ mode: 0o755, ...root }))
}

/** Everything 0 but what is given. */
export function stat(fields: Partial<Stat> = {}): Stat {
  return { mode: 0, uid: 0, gid: 0, mtime: 0, mtimeNsec: 0, xattrs: Xattrs.empty, ...fields }
}

export function xattrs(list: Record<string, string>): Xattrs {
  return Xattrs.of(
    Object.entries(list).map(([name, value]) => [fromLatin1(name), Buffer.from(value, 'latin1')] as const),
  )
}

export const inline = (bytes: Buffer | string): LeafContent => ({ type: 'inline', bytes: Buffer.from(bytes as string) })
export const symlink = (target: string): LeafContent => ({ type: 'symlink', target: fromLatin1(target) })
export const fifo: LeafContent = { type: 'fifo' }
export const whiteout: LeafContent = { type: 'character-device', rdev: 0 }
/** The id of 32 (64) times the same byte. */
export const id = (byte: number, size = 32): ObjectId => ObjectId.fromBytes(Buffer.alloc(size, byte))
export const external = (size: number, byte = 0x5a): LeafContent => ({ type: 'external', size, id: id(byte) })

export function addLeaf(fileSystem: FileSystem, path: string, content: LeafContent, fields: Partial<Stat> = {}): Leaf {
  const leaf = new Leaf(stat(fields), content)
  fileSystem.insert(path, leaf)
  return leaf
}

export function addDirectory(fileSystem: FileSystem, path: string, fields: Partial<Stat> = {}): Directory {
  const directory = new Directory(stat({ mode: 0o755, ...fields }))
  fileSystem.insert(path, directory)
  return directory
}

/** Writes an image and looks into it. */
export function written(fileSystem: FileSystem, options?: WriteImageOptions): ImageFields {
  return new ImageFields(writeImage(fileSystem, options))
}

/** The tree `simple` whose ids composefs-rs pins in its tests. */
export function simpleTree(): FileSystem {
  const fileSystem = tree()
  addLeaf(fileSystem, 'fifo', fifo)
  addLeaf(fileSystem, 'regular-inline', inline('hihi'))
  addLeaf(fileSystem, 'regular-external', external(1234))
  addLeaf(fileSystem, 'chrdev', { type: 'character-device', rdev: 123 })
  addLeaf(fileSystem, 'blkdev', { type: 'block-device', rdev: 123 })
  addLeaf(fileSystem, 'socket', { type: 'socket' })
  addLeaf(fileSystem, 'symlink', symlink('/target'))
  return fileSystem
}
