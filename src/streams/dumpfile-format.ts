/**
 * One line of a dumpfile, put together (spec: dumpfile, sections 7.2 and 7.3).
 *
 * @packageDocumentation
 */
import { type ByteString, printable } from '../bytes.ts'
import { ComposefsError } from '../errors.ts'
import type { ObjectId } from '../fsverity/object-id.ts'
import type { WalkItem } from '../tree/filesystem.ts'
import { fullMode, type Inode, type LeafContent } from '../tree/inode.ts'
import type { Stat } from '../tree/stat.ts'
import { escapeField, escapeOptional, escapeXattr } from './dumpfile-escape.ts'
import type { Content, Entry, EntryType, StoredRecord } from './records.ts'

/** What becomes a line: a name of a tree, or an entry of a layer. */
export type DumpfileItem = WalkItem | Extract<StoredRecord, { kind: 'entry' }>

/** The fields between MTIME and the xattrs, and SIZE. */
interface Body {
  readonly size: number
  readonly rdev: number
  /** Escaped, `-` where absent. */
  readonly payload: string
  readonly content: string
  readonly digest: string
}

/**
 * The line of one item, without its newline, one byte per character (write it as latin1).
 *
 * The path of a {@link WalkItem} is taken as it is. That of an entry is made absolute and loses slashes at its end, but is
 * not normalised further: `./t/f` becomes `/./t/f`, and the root of an archive, `/`, becomes `-`. Entries have link
 * count 1.
 *
 * @throws {@link ComposefsError} `ERR_TAR_TYPE` for an entry whose type no dumpfile can express.
 *
 * @example
 * ```ts
 * import { dumpfileLine } from 'composefs-streams/streams'
 * import { defaultDirectoryStat, FileSystem } from 'composefs-streams/tree'
 *
 * for (const item of new FileSystem(defaultDirectoryStat).walk()) dumpfileLine(item) // '/ 0 40755 2 0 0 0 0.0 - - -'
 * ```
 */
export function dumpfileLine(item: DumpfileItem): string {
  if (item.kind === 'link') return linkLine(escapeField(item.path), item.target)
  if (item.kind === 'inode') {
    const { inode } = item
    return inodeLine(escapeField(item.path), fullMode(inode), item.nlink, inode.stat, inodeBody(inode))
  }
  const { entry, content } = item
  const path = escapeOptional(absolute(entry.path))
  if (entry.type === 'hardlink') return linkLine(path, absolute(entry.linkTarget))
  return inodeLine(path, typeOf(entry) | (entry.mode & 0o7777), 1, entry, entryBody(entry, content))
}

function linkLine(path: string, target: string): string {
  return `${path} 0 @120000 - - - - 0.0 ${escapeOptional(target)} - -`
}

function inodeLine(path: string, mode: number, nlink: number, stat: Stat, body: Body): string {
  const { uid, gid, mtime, mtimeNsec, xattrs } = stat
  const { size, rdev, payload, content, digest } = body
  const numbers = `${size} ${mode.toString(8)} ${nlink} ${uid} ${gid} ${rdev} ${mtime}.${mtimeNsec}`
  let line = `${path} ${numbers} ${payload} ${content} ${digest}`
  if (xattrs.size === 0) return line
  for (const [name, value] of xattrs) line += ` ${escapeXattr(name)}=${escapeXattr(value.toString('latin1'))}`
  return line
}

const nothing: Body = { size: 0, rdev: 0, payload: '-', content: '-', digest: '-' }

function inodeBody(inode: Inode): Body {
  // The size of a directory depends on the image it is in.
  return inode.kind === 'directory' ? nothing : leafBody(inode.content)
}

function leafBody(content: LeafContent): Body {
  switch (content.type) {
    case 'inline':
      return inlineBody(content.bytes)
    case 'external':
      return externalBody(content.size, content.id, content.path)
    case 'symlink':
      return { ...nothing, size: content.target.length, payload: escapeOptional(content.target) }
    case 'character-device':
    case 'block-device':
      return { ...nothing, size: content.size ?? 0, rdev: content.rdev }
    default:
      return content.size === undefined ? nothing : { ...nothing, size: content.size }
  }
}

function entryBody(entry: Entry, content: Content): Body {
  if (entry.type === 'symlink') return leafBody({ type: 'symlink', target: entry.linkTarget })
  if (entry.type === 'character-device' || entry.type === 'block-device') return { ...nothing, rdev: entry.rdev }
  if (entry.type !== 'file' || content.type === 'none') return nothing
  return content.type === 'inline' ? inlineBody(content.bytes) : externalBody(content.size, content.id, undefined)
}

function inlineBody(bytes: Buffer): Body {
  if (bytes.length === 0) return nothing
  return { ...nothing, size: bytes.length, content: escapeOptional(bytes.toString('latin1')) }
}

function externalBody(size: number, id: ObjectId | undefined, path: ByteString | null | undefined): Body {
  const digest = id?.hex ?? '-'
  const payload = path === undefined ? (id?.path ?? '-') : path === null ? '-' : escapeOptional(path)
  return { size, rdev: 0, payload, content: '-', digest }
}

const entryTypes: Readonly<Partial<Record<EntryType, number>>> = {
  file: 0o100000,
  directory: 0o040000,
  symlink: 0o120000,
  'character-device': 0o020000,
  'block-device': 0o060000,
  fifo: 0o010000,
  socket: 0o140000,
}

function typeOf(entry: Entry): number {
  const type = entryTypes[entry.type]
  if (type !== undefined) return type
  throw new ComposefsError('ERR_TAR_TYPE', `an entry of type ${entry.typeflag} cannot stand in a dumpfile`, {
    path: printable(entry.path),
  })
}

function absolute(path: ByteString): string {
  let end = path.length
  while (end > 0 && path.charCodeAt(end - 1) === 47) end--
  return end === 0 || path.startsWith('/') ? path.slice(0, end) : `/${path.slice(0, end)}`
}
