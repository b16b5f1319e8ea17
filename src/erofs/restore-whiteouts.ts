/**
 * Whiteouts that versions 0 and 1 store as marked files become whiteouts again.
 */
import { type ByteString, fromLatin1 } from '../bytes.ts'
import type { Stat } from '../tree/stat.ts'
import type { Homes } from './homes.ts'
import { opaqueMarks, unescapeName, whiteoutMarks, whiteoutsMarks } from './overlay.ts'
import type { DirectoryRecord, LeafRecord } from './reader.ts'

const shown = (marks: readonly ByteString[]): readonly ByteString[] => marks.map((name) => unescapeName(name)!)
const leafMarks = shown(whiteoutMarks)
const directoryMarks = shown(whiteoutsMarks)
const versionMarks = shown(opaqueMarks)
const nothing = fromLatin1('')
const opaque = fromLatin1('x')

/**
 * A file is a whiteout where it has all the marks that the writer would give it, and so has the directory of its own
 * name. Marks that the tree had by itself stay what they are: ordinary xattrs.
 */
export function restoreWhiteouts(
  directories: readonly DirectoryRecord[],
  leaves: ReadonlyMap<number, LeafRecord>,
  homes: Homes,
  version: 0 | 1,
): void {
  for (const { directory, names, nids } of directories) {
    const marked =
      isMarked(directory.stat, directoryMarks, nothing) &&
      (version === 0 || isMarked(directory.stat, versionMarks, opaque))
    if (!marked) continue
    let whiteouts = false
    for (let i = 0; i < names.length; i++) {
      const record = leaves.get(nids[i]!)
      if (record === undefined || !isMarkedFile(record)) continue
      const { leaf } = record
      const home = homes.get(leaf)
      if (home !== undefined && (home.parent !== directory || home.name !== names[i])) continue
      leaf.content = { type: 'character-device', rdev: 0 }
      leaf.stat = without(leaf.stat, leafMarks)
      whiteouts = true
    }
    if (!whiteouts) continue
    directory.stat = without(directory.stat, directoryMarks)
    if (version === 1) directory.stat = without(directory.stat, versionMarks)
  }
}

function isMarked({ xattrs }: Stat, marks: readonly ByteString[], value: ByteString): boolean {
  return marks.every((name) => xattrs.get(name)?.toString('latin1') === value)
}

function isMarkedFile({ leaf }: LeafRecord): boolean {
  return leaf.content.type === 'inline' && leaf.content.bytes.length === 0 && isMarked(leaf.stat, leafMarks, nothing)
}

function without(stat: Stat, marks: readonly ByteString[]): Stat {
  return { ...stat, xattrs: stat.xattrs.filter((name) => !marks.includes(name)) }
}
