/**
 * Paths through descriptors: `/proc/self/fd/N` is what N is open on, whatever has its name by now. So nobody who moves
 * directories or plants symlinks can lead a call elsewhere.
 *
 * @packageDocumentation
 */
import { constants, openSync } from 'node:fs'
import type { ByteString } from '../bytes.ts'

/** Opens the inode itself, whatever it is, to name it by and not to read it; Node does not name this flag. */
const O_PATH = 0o10000000

/** The path of what a descriptor is open on. It is not followed further, not even where that is a symlink. */
export const through = (fd: number): string => `/proc/self/fd/${fd}`

/** The path of a name in a directory that is open. */
export const nameIn = (directory: number, name: ByteString): Buffer =>
  Buffer.from(`${through(directory)}/${name}`, 'latin1')

/** Opens a directory in an open one; a symlink is `ENOTDIR` or `ELOOP`. @throws what `fs.openSync` throws */
export function openDirectoryIn(directory: number, name: ByteString): number {
  return openSync(nameIn(directory, name), constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW)
}

/** Opens any inode to name it by, of a symlink the symlink. @throws what `fs.openSync` throws */
export function openInode(directory: number, name: ByteString): number {
  return openSync(nameIn(directory, name), O_PATH | constants.O_NOFOLLOW)
}
