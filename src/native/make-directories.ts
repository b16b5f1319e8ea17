/**
 * Directories with those above them, in Node's stead.
 *
 * @packageDocumentation
 */
import { mkdirSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { isErrno } from './errno.ts'

/**
 * Makes a directory, and those above it that are missing. Node's own `recursive` takes ENOENT for a missing parent, and
 * never ends where a file system like /proc says it of the directory itself.
 *
 * @returns the topmost one that was missing, undefined if none was
 * @throws what `fs.mkdirSync` throws; `EEXIST` where something else has the name
 */
export function makeDirectories(path: string): string | undefined {
  try {
    mkdirSync(path)
    return path
  } catch (error) {
    if (isErrno(error, 'EEXIST') && statSync(path, { throwIfNoEntry: false })?.isDirectory()) return undefined
    const parent = dirname(path)
    if (!isErrno(error, 'ENOENT') || parent === path) throw error
    const made = makeDirectories(parent)
    try {
      mkdirSync(path)
    } catch (again) {
      // Somebody else may make it too.
      if (!isErrno(again, 'EEXIST')) throw again
    }
    return made ?? path
  }
}
