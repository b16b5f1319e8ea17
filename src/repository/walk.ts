/**
 * Everything that lies in the directory of a repository, named or not: what garbage collection and checks go by.
 */
import { closeSync, constants, type Dirent, openSync, readdirSync, readlinkSync } from 'node:fs'
import { posix } from 'node:path'
import { type ByteString, fromLatin1, printable } from '../bytes.ts'
import { ComposefsError } from '../errors.ts'
import { ObjectId } from '../fsverity/object-id.ts'
import { isErrno, systemError } from '../native/errno.ts'
import { nameIn, openDirectoryIn } from '../native/through.ts'
import { temporaryLinkPrefix } from './links.ts'
import { metadataName } from './metadata.ts'
import { temporaryMetadataPrefix } from './metadata-file.ts'
import type { RefKind } from './names.ts'
import { temporaryObjectPrefix } from './objects.ts'

interface Found {
  /** Relative to the repository. */
  readonly path: ByteString
  /** The directory it lies in, open as long as the walk stands at this item. */
  readonly directory: number
  readonly name: ByteString
}

/** A symlink at the first level: `streams/CONTENT-ID` or `images/ID`. */
export interface FoundLink extends Found {
  readonly kind: 'link'
  readonly of: RefKind
  /** The object it leads to; undefined where it leads elsewhere. */
  readonly id: ObjectId | undefined
}

/** A symlink below `streams/refs` or `images/refs`. */
export interface FoundRef extends Found {
  readonly kind: 'ref'
  readonly of: RefKind
  /** Its name, relative to `refs`. */
  readonly ref: ByteString
  /** The name of the first-level link that it leads to; undefined where it leads elsewhere. */
  readonly target: ByteString | undefined
}

/** One thing in a repository. */
export type FoundItem =
  | FoundLink
  | FoundRef
  | (Found & { readonly kind: 'metadata' })
  | (Found & { readonly kind: 'object'; readonly id: ObjectId })
  /** What a killed writer left: of this package and cfsctl (`own`), or of another program that takes no lock. */
  | (Found & { readonly kind: 'temporary'; readonly own: boolean })
  /** A directory of the repository, after everything in it. */
  | (Found & { readonly kind: 'directory' })
  /** Nothing that a repository has. Directories of this kind are not looked into. */
  | (Found & { readonly kind: 'stray'; readonly type: EntryKind })

type EntryKind = 'directory' | 'file' | 'symlink' | 'other'

/** A directory that is open, and its path in the repository. */
interface OpenDirectory {
  readonly fd: number
  readonly path: ByteString
}

/** mkcomposefs copies into such files, in the directory of the object. */
const foreignTemporary = /^\.tmp/
const objectDirectory = /^[0-9a-f]{2}$/
const none = fromLatin1('')

/**
 * Walks through a repository: `streams`, `images`, `objects`, then what else lies in its root. Nothing is skipped, and
 * no symlink is followed, not even one that somebody puts in the place of a directory meanwhile: every directory is
 * opened in the one above it and stays open until its entries have come. So whoever unlinks an item by its `directory`
 * and `name` (with {@link itemPath}) touches nothing outside.
 *
 * @param root open on the directory of the repository
 * @throws {@link ComposefsError} `ERR_IO` where a directory cannot be listed
 */
export function* walkRepository(root: number): Generator<FoundItem, void, undefined> {
  const top: OpenDirectory = { fd: root, path: none }
  const others: Dirent<string>[] = []
  const rooms = new Map<string, () => Generator<FoundItem, void, undefined>>([
    ['streams', () => inDirectory(top, 'streams', (directory) => walkLinks(directory, 'streams'))],
    ['images', () => inDirectory(top, 'images', (directory) => walkLinks(directory, 'images'))],
    ['objects', () => inDirectory(top, 'objects', walkObjects)],
  ])
  const entries = list(top)
  const present = new Set(entries.filter((entry) => kindOf(entry) === 'directory').map(({ name }) => name))
  for (const [name, walk] of rooms) if (present.has(name)) yield* walk()
  for (const entry of entries) if (!(rooms.has(entry.name) && present.has(entry.name))) others.push(entry)
  for (const entry of others) {
    const found = foundIn(top, entry)
    const type = kindOf(entry)
    if (entry.name === metadataName && type === 'file') yield { ...found, kind: 'metadata' }
    else if (isOwnTemporary(entry.name, type)) yield { ...found, kind: 'temporary', own: true }
    else yield { ...found, kind: 'stray', type }
  }
}

/** A path for calls on an item, as long as the walk stands at it. */
export const itemPath = ({ directory, name }: FoundItem): Buffer => nameIn(directory, name)

function* walkLinks(directory: OpenDirectory, of: RefKind): Generator<FoundItem, void, undefined> {
  for (const entry of list(directory)) {
    const found = foundIn(directory, entry)
    const type = kindOf(entry)
    if (type === 'symlink') yield { ...found, kind: 'link', of, id: objectOf(found) }
    else if (type === 'directory' && entry.name === 'refs') {
      yield* inDirectory(directory, 'refs', (refs) => walkRefs(refs, of, none))
    } else yield { ...found, kind: 'stray', type }
  }
}

function* walkRefs(directory: OpenDirectory, of: RefKind, prefix: string): Generator<FoundItem, void, undefined> {
  for (const entry of list(directory)) {
    const found = foundIn(directory, entry)
    const type = kindOf(entry)
    const ref = fromLatin1(prefix + entry.name)
    if (type === 'symlink') yield { ...found, kind: 'ref', of, ref, target: targetOf(found, of) }
    else if (type === 'directory') {
      yield* inDirectory(directory, entry.name, (below) => walkRefs(below, of, `${ref}/`))
      yield { ...found, kind: 'directory' }
    } else yield { ...found, kind: 'stray', type }
  }
}

function* walkObjects(directory: OpenDirectory): Generator<FoundItem, void, undefined> {
  for (const entry of list(directory)) {
    const found = foundIn(directory, entry)
    const type = kindOf(entry)
    if (type === 'directory' && objectDirectory.test(entry.name)) {
      yield* inDirectory(directory, entry.name, (objects) => walkObjectDirectory(objects, entry.name))
      yield { ...found, kind: 'directory' }
    } else if (type === 'file' && entry.name.startsWith(temporaryObjectPrefix)) {
      yield { ...found, kind: 'temporary', own: true }
    } else yield { ...found, kind: 'stray', type }
  }
}

function* walkObjectDirectory(directory: OpenDirectory, prefix: string): Generator<FoundItem, void, undefined> {
  for (const entry of list(directory)) {
    const found = foundIn(directory, entry)
    const type = kindOf(entry)
    const id = type === 'file' ? ObjectId.fromPath(`${prefix}/${entry.name}`) : undefined
    if (id !== undefined) yield { ...found, kind: 'object', id }
    else if (type === 'file' && foreignTemporary.test(entry.name)) yield { ...found, kind: 'temporary', own: false }
    else yield { ...found, kind: 'stray', type }
  }
}

function isOwnTemporary(name: string, type: EntryKind): boolean {
  if (type === 'symlink') return name.startsWith(temporaryLinkPrefix)
  return type === 'file' && name.startsWith(temporaryMetadataPrefix)
}

/** Opens a directory for as long as its walk takes. One that is gone meanwhile is empty. */
function* inDirectory(
  parent: OpenDirectory,
  name: string,
  walk: (directory: OpenDirectory) => Generator<FoundItem, void, undefined>,
): Generator<FoundItem, void, undefined> {
  const path = fromLatin1(parent.path === '' ? name : `${parent.path}/${name}`)
  let fd: number
  try {
    fd = openDirectoryIn(parent.fd, fromLatin1(name))
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return
    throw systemError(error, 'read', 'cannot open a directory of the repository', printable(path))
  }
  try {
    yield* walk({ fd, path })
  } finally {
    closeSync(fd)
  }
}

function list({ fd, path }: OpenDirectory): Dirent<string>[] {
  try {
    // One character per byte: names need not be UTF-8.
    return readdirSync(nameIn(fd, fromLatin1('.')), { withFileTypes: true, encoding: 'latin1' as BufferEncoding })
  } catch (error) {
    throw systemError(error, 'read', 'cannot list a directory of the repository', printable(path) || '.')
  }
}

function foundIn({ fd, path }: OpenDirectory, { name }: Dirent<string>): Found {
  return { path: fromLatin1(path === '' ? name : `${path}/${name}`), directory: fd, name: fromLatin1(name) }
}

function kindOf(entry: Dirent<string>): EntryKind {
  if (entry.isSymbolicLink()) return 'symlink'
  return entry.isFile() ? 'file' : entry.isDirectory() ? 'directory' : 'other'
}

/** Where a symlink leads, relative to the repository; nothing is followed. */
function followed({ path, directory, name }: Found): string {
  const text = readlinkSync(nameIn(directory, name), 'latin1')
  return posix.isAbsolute(text) ? text : posix.join(posix.dirname(path), text)
}

function objectOf(link: Found): ObjectId | undefined {
  const path = followed(link)
  return path.startsWith('objects/') ? ObjectId.fromPath(path.slice('objects/'.length)) : undefined
}

function targetOf(ref: Found, of: RefKind): ByteString | undefined {
  const path = followed(ref)
  const name = path.slice(of.length + 1)
  return path.startsWith(`${of}/`) && !name.includes('/') && name !== 'refs' ? fromLatin1(name) : undefined
}

/**
 * Opens the directory of a repository for a walk.
 *
 * @throws {@link ComposefsError} `ERR_REPOSITORY_MISSING`, `ERR_IO`
 */
export function openForWalk(path: string): number {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_DIRECTORY)
  } catch (error) {
    if (!isErrno(error, 'ENOENT', 'ENOTDIR')) throw systemError(error, 'read', 'cannot open the repository', path)
    throw new ComposefsError('ERR_REPOSITORY_MISSING', 'there is no composefs repository', { path, cause: error })
  }
}
