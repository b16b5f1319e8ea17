/**
 * Paths of a tree as lines of text (latin1).
 *
 * @packageDocumentation
 */
import { existsSync } from 'node:fs'
import { type ByteString, bytesOf, printable, toBuffer } from '../bytes.ts'
import { ComposefsError } from '../errors.ts'
import { escapeField } from '../streams/dumpfile-escape.ts'
import { dumpfileLine } from '../streams/dumpfile-writer.ts'
import type { FileSystem, WalkItem } from '../tree/filesystem.ts'
import type { Inode, LeafContent } from '../tree/inode.ts'
import { components } from '../tree/path.ts'
import { inodes } from '../tree/transform.ts'

/** Bytes of text that are handed on at once. */
const pieceSize = 64 * 1024

/**
 * The lines of `composefs ls`, some at a time: `P/<tab>` for a directory, `P<tab>@ XX/REST` for an external file, `P<tab>-> TARGET` for
 * a symlink, and the path alone for the rest. Spaces in paths stand as they are.
 *
 * @param bareLinks print of a hardlink but the first name the path alone, as the C tool does
 */
export function* listing(fileSystem: FileSystem, bareLinks = false): Generator<Buffer, void, undefined> {
  let text = ''
  for (const item of fileSystem.walk()) {
    const { path } = item
    if (path === '/') continue
    const details = item.kind === 'inode' ? detail(item.inode) : bareLinks ? '' : detail(item.leaf)
    text += `${escapeField(path).replaceAll('\\x20', ' ')}${details}\n`
    if (text.length < pieceSize) continue
    yield Buffer.from(text, 'latin1')
    text = ''
  }
  yield Buffer.from(text, 'latin1')
}

function detail(inode: Inode): string {
  if (inode.kind === 'directory') return '/\t'
  const { content } = inode
  if (content.type === 'symlink') return `\t-> ${escapeField(content.target)}`
  const backing = backingPath(content)
  return backing === undefined ? '' : `\t@ ${escapeField(backing)}`
}

/**
 * The lines of `composefs dump-files`: of each path its dumpfile line, a directory followed by all below it; or where
 * its contents are.
 *
 * @throws {@link ComposefsError} `ERR_NOT_FOUND`, `ERR_ARGUMENT` for the root, or a directory where a file is wanted
 */
export function describePaths(fileSystem: FileSystem, paths: readonly string[], backing: boolean): string {
  const all = [...fileSystem.walk()]
  return paths.map((given) => (backing ? backingLine(fileSystem, given) : lines(fileSystem, all, given))).join('')
}

function lines(fileSystem: FileSystem, all: readonly WalkItem[], given: string): string {
  const { path, inode } = find(fileSystem, given)
  const own = all.findIndex((item) => item.path === path)
  let text = `${dumpfileLine(all[own]!)}\n`
  if (inode.kind === 'leaf') return text
  for (let i = own + 1; all[i]?.path.startsWith(`${path}/`) === true; i++) text += `${dumpfileLine(all[i]!)}\n`
  return text
}

function backingLine(fileSystem: FileSystem, given: string): string {
  const { inode } = find(fileSystem, given)
  if (inode.kind === 'directory') throw new ComposefsError('ERR_ARGUMENT', 'this is a directory', { path: given })
  return `${escapeField(bytesOf(given))} ${backingPath(inode.content) ?? 'inline'}\n`
}

function find(fileSystem: FileSystem, given: string): { path: string; inode: Inode } {
  const parts = components(bytesOf(given))
  if (parts.length === 0) throw new ComposefsError('ERR_ARGUMENT', 'name a path below the root', { path: given })
  const inode = fileSystem.lookup(parts)
  if (inode !== undefined) return { path: `/${parts.join('/')}`, inode }
  throw new ComposefsError('ERR_NOT_FOUND', 'the image has no such path', { path: printable(bytesOf(given)) })
}

/** Below the object store, of all external files that say where they are: sorted, each once. */
export function backingPaths(fileSystems: readonly FileSystem[]): ByteString[] {
  const paths = new Set<ByteString>()
  for (const fileSystem of fileSystems) {
    for (const inode of inodes(fileSystem)) {
      const path = inode.kind === 'leaf' ? backingPath(inode.content) : undefined
      if (path !== undefined) paths.add(path)
    }
  }
  return [...paths].sort()
}

/** Whether there is something at a path below a directory. */
export function isBelow(directory: string, path: ByteString): boolean {
  return existsSync(Buffer.concat([Buffer.from(`${directory}/`), toBuffer(path)]))
}

function backingPath(content: LeafContent): ByteString | undefined {
  if (content.type !== 'external' || content.path === null) return undefined
  return content.path ?? (content.id?.path as ByteString | undefined)
}
