/**
 * What differs between two inodes, without regard to their names.
 *
 * @packageDocumentation
 */
import type { ByteString } from '../bytes.ts'
import { fsverityDigest } from '../fsverity/merkle.ts'
import type { Change, InodeType } from './difference.ts'
import type { Inode, LeafContent } from './inode.ts'
import type { Xattrs } from './xattrs.ts'

type FileContent = Extract<LeafContent, { readonly type: 'inline' | 'external' }>
type External = Extract<LeafContent, { readonly type: 'external' }>

/** The type of an inode. */
export function inodeType(inode: Inode): InodeType {
  if (inode.kind === 'directory') return 'directory'
  const { type } = inode.content
  return type === 'inline' || type === 'external' ? 'file' : type
}

/** All that differs, the type first. */
export function inodeChanges(a: Inode, b: Inode): Change[] {
  const changes: Change[] = []
  const typeA = inodeType(a)
  const typeB = inodeType(b)
  if (typeA !== typeB) changes.push({ what: 'type', a: typeA, b: typeB })
  for (const what of ['mode', 'uid', 'gid'] as const) numberChange(changes, what, a.stat[what], b.stat[what])
  if (a.stat.mtime !== b.stat.mtime || a.stat.mtimeNsec !== b.stat.mtimeNsec) {
    changes.push({ what: 'mtime', a: timeOf(a), b: timeOf(b) })
  }
  xattrChanges(changes, a.stat.xattrs, b.stat.xattrs)
  if (typeA === typeB && a.kind === 'leaf' && b.kind === 'leaf') contentChanges(changes, a.content, b.content)
  return changes
}

const timeOf = ({ stat: { mtime, mtimeNsec } }: Inode) => ({ mtime, mtimeNsec })

function numberChange(changes: Change[], what: 'mode' | 'uid' | 'gid' | 'size' | 'rdev', a: number, b: number): void {
  if (a !== b) changes.push({ what, a, b })
}

function xattrChanges(changes: Change[], a: Xattrs, b: Xattrs): void {
  if (a === b || a.equals(b)) return
  const names = new Set<ByteString>([...a, ...b].map(([name]) => name))
  for (const name of [...names].sort()) {
    const left = a.get(name)
    const right = b.get(name)
    const same = left !== undefined && right !== undefined && left.equals(right)
    if (!same) changes.push({ what: 'xattr', name, a: left, b: right })
  }
}

function contentChanges(changes: Change[], a: LeafContent, b: LeafContent): void {
  if (isFile(a) && isFile(b)) {
    numberChange(changes, 'size', sizeOf(a), sizeOf(b))
    const change = fileChange(a, b)
    if (change !== undefined) changes.push(change)
  } else if (a.type === 'symlink' && b.type === 'symlink') {
    if (a.target !== b.target) changes.push({ what: 'target', a: a.target, b: b.target })
  } else if ('rdev' in a && 'rdev' in b) {
    numberChange(changes, 'rdev', a.rdev, b.rdev)
  }
}

function fileChange(a: FileContent, b: FileContent): Change | undefined {
  if (a.type === 'inline' && b.type === 'inline') {
    return a.bytes.equals(b.bytes) ? undefined : { what: 'content', a, b }
  }
  if (a.type === 'external' && b.type === 'external') {
    if (a.id !== undefined && b.id !== undefined && a.id.algorithm !== b.id.algorithm) {
      return { what: 'hash', a: a.id.algorithm, b: b.id.algorithm }
    }
    if (a.id?.hex !== b.id?.hex) return { what: 'content', a, b }
    if (objectPath(a) === objectPath(b)) return undefined
    return { what: a.id === undefined ? 'content' : 'storage', a, b }
  }
  const [inline, external] = a.type === 'inline' ? [a, b as External] : [b as typeof a & { type: 'inline' }, a]
  return { what: holds(external, inline.bytes) ? 'storage' : 'content', a, b }
}

/** Whether an object, or a sparse file, is known to consist of these bytes. */
function holds(external: External, bytes: Buffer): boolean {
  const { id, size } = external
  if (size !== bytes.length) return false
  if (id !== undefined) return fsverityDigest(id.algorithm, bytes).equals(id)
  return objectPath(external) === null && bytes.every((byte) => byte === 0)
}

/** Below the object store, null where there is none. */
const objectPath = ({ path, id }: External): string | null => (path === undefined ? (id?.path ?? null) : path)

const isFile = (content: LeafContent): content is FileContent =>
  content.type === 'inline' || content.type === 'external'

const sizeOf = (content: FileContent): number => (content.type === 'inline' ? content.bytes.length : content.size)
