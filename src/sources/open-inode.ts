/**
 * Opening what a directory lists, without following anything.
 *
 * @packageDocumentation
 */
import { constants, type Dirent, lstatSync, openSync, readdirSync } from 'node:fs'
import { type ByteString, printable, toBuffer } from '../bytes.ts'
import { ComposefsError } from '../errors.ts'
import { isErrno, systemError } from '../native/errno.ts'
import { openAt } from '../native/inode.ts'
import { scanError } from './scan-error.ts'

const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_NOCTTY, S_IFREG, S_IFDIR } = constants
/** Node has no name for it. The descriptor stands for the inode and opens nothing: no device, no FIFO. */
const O_PATH = 0x200000

const directoryFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW
/** Should a FIFO have taken the file's place, nobody shall wait for its writer. */
const fileFlags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY
const leafFlags = O_PATH | O_NOFOLLOW

/** A name in a directory, and the type (`S_IF…`) that the directory says. */
export interface ListedName {
  readonly name: ByteString
  readonly type: number
}

/**
 * Opens the directory to scan.
 *
 * @throws {@link ComposefsError} `ERR_NOT_FOUND`, `ERR_NOT_DIRECTORY` (also for a symlink to one), `ERR_IO`
 */
export function openTop(path: ByteString): number {
  try {
    return openSync(toBuffer(path), directoryFlags)
  } catch (error) {
    const shown = printable(path)
    if (!isErrno(error, 'ENOTDIR', 'ELOOP')) throw systemError(error, 'read', 'cannot open the directory', shown)
    throw new ComposefsError('ERR_NOT_DIRECTORY', 'this is not a directory', {
      path: shown,
      ...(isSymlink(path) && { hint: `it is a symlink: name the directory that it leads to, or ${shown}/.` }),
      cause: error,
    })
  }
}

const isSymlink = (path: ByteString): boolean =>
  lstatSync(toBuffer(path), { throwIfNoEntry: false })?.isSymbolicLink() === true

/**
 * Opens a name of a directory for what the directory says it is: files and directories for reading, all else as a mere
 * reference.
 *
 * @param path for messages
 * @throws {@link ComposefsError} `ERR_SOURCE_CHANGED`, `ERR_IO`
 */
export function openListed(directory: number, { name, type }: ListedName, path: ByteString): number {
  const flags = type === S_IFREG ? fileFlags : type === S_IFDIR ? directoryFlags : leafFlags
  try {
    return openAt(directory, name, flags)
  } catch (error) {
    throw scanError(error, 'cannot open it', path)
  }
}

/** Opens the directory above an open one. Throws as {@link openListed} does. */
export function openParent(directory: number, path: ByteString): number {
  return openListed(directory, { name: '..' as ByteString, type: S_IFDIR }, path)
}

/** What a directory lists, in the order of the names' bytes. Throws as {@link openListed} does. */
export function list(directory: number, path: ByteString): ListedName[] {
  let entries: Dirent<Buffer>[]
  try {
    entries = readdirSync(`/proc/self/fd/${directory}`, { withFileTypes: true, encoding: 'buffer' })
  } catch (error) {
    throw scanError(error, 'cannot list the directory', path)
  }
  return entries
    .map((entry) => ({ name: entry.name.toString('latin1') as ByteString, type: listedType(entry) }))
    .sort((a, b) => (a.name < b.name ? -1 : 1))
}

function listedType(entry: Dirent<Buffer>): number {
  if (entry.isFile()) return S_IFREG
  if (entry.isDirectory()) return S_IFDIR
  if (entry.isSymbolicLink()) return constants.S_IFLNK
  if (entry.isCharacterDevice()) return constants.S_IFCHR
  if (entry.isBlockDevice()) return constants.S_IFBLK
  if (entry.isFIFO()) return constants.S_IFIFO
  return constants.S_IFSOCK
}
