import { type ByteString, bytesOf } from '../bytes.ts'
import { ComposefsError } from '../errors.ts'
import type { FileSystem } from '../tree/filesystem.ts'

/**
 * Which entries of the root directory `--filter` keeps: those named, or all where none is named.
 *
 * @throws {@link ComposefsError} `ERR_ARGUMENT` for a path
 */
export function topLevelFilter(names: readonly string[]): (name: ByteString) => boolean {
  const path = names.find((name) => name.includes('/'))
  if (path !== undefined) {
    throw new ComposefsError('ERR_ARGUMENT', `--filter takes a single name, not ${path}`, {
      hint: 'name an entry of the root directory, such as etc',
    })
  }
  const wanted = new Set(names.map((name) => bytesOf(name)))
  return (name) => wanted.size === 0 || wanted.has(name)
}

/** Removes the other entries of the root directory from a tree. */
export function filterTopLevel({ root }: FileSystem, keeps: (name: ByteString) => boolean): void {
  for (const name of root.entries.keys()) if (!keeps(name)) root.entries.delete(name)
}
