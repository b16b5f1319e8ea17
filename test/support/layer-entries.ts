import { fromLatin1 } from '../../src/bytes.ts'
import { fsverityDigest } from '../../src/fsverity/index.ts'
import { dumpfileText } from '../../src/streams/dumpfile-writer.ts'
import {
  type Content,
  type Entry,
  type EntryType,
  type FileSystem,
  LayerMerger,
  type MergeOptions,
  Xattrs,
} from '../../src/tree/index.ts'

/** An entry and its contents. */
export interface Item {
  readonly entry: Entry
  readonly content: Content
}

const typeflags: Record<EntryType, string> = {
  file: '0',
  hardlink: '1',
  symlink: '2',
  'character-device': '3',
  'block-device': '4',
  directory: '5',
  fifo: '6',
  socket: '?',
  unsupported: 'Z',
}

/** Any entry; paths and targets are latin1. */
export function item(
  type: EntryType,
  path: string,
  fields: Partial<Omit<Entry, 'linkTarget'>> & { linkTarget?: string } = {},
  content: Content = { type: 'none' },
): Item {
  const defaults = { mode: 0o644, uid: 0, gid: 0, mtime: 1, mtimeNsec: 0, size: 0, rdev: 0, offset: 0 }
  const { linkTarget = '', ...rest } = fields
  const entry: Entry = {
    ...defaults,
    xattrs: Xattrs.empty,
    ...rest,
    type,
    typeflag: typeflags[type].charCodeAt(0),
    path: fromLatin1(path),
    linkTarget: fromLatin1(linkTarget),
  }
  return { entry, content }
}

export const directory = (path: string, fields: Parameters<typeof item>[2] = {}): Item =>
  item('directory', path, { mode: 0o755, ...fields })

/** A file; above 64 bytes its contents are an object. */
export function file(path: string, text = '', fields: Parameters<typeof item>[2] = {}): Item {
  const bytes = Buffer.from(text, 'latin1')
  const size = bytes.length
  const content: Content =
    size > 64 ? { type: 'external', id: fsverityDigest('sha256', bytes), size } : { type: 'inline', bytes }
  return item('file', path, { size, ...fields }, content)
}

export const symlink = (path: string, linkTarget: string): Item => item('symlink', path, { mode: 0o777, linkTarget })
export const hardlink = (path: string, linkTarget: string): Item => item('hardlink', path, { linkTarget })
export const whiteout = (path: string): Item => file(path)

/** Merges layers, the lowest first. */
export function merge(layers: readonly (readonly Item[])[], options: MergeOptions = {}): FileSystem {
  const merger = new LayerMerger(options)
  for (const layer of layers) {
    merger.beginLayer()
    for (const { entry, content } of layer) merger.add(entry, content)
  }
  return merger.fileSystem
}

/** The tree as the lines of its dumpfile, without the root. */
export function lines(fileSystem: FileSystem): string[] {
  return dumpfileText(fileSystem, { firstNames: true }).toString('latin1').split('\n').slice(1, -1)
}

/** The paths in the tree, without the root. */
export function paths(fileSystem: FileSystem): string[] {
  return [...fileSystem.walk()].map(({ path }) => path as string).slice(1)
}
