/**
 * Differences in numbers.
 *
 * @packageDocumentation
 */
import { printable } from '../bytes.ts'
import { inodeType } from './diff-inode.ts'
import type { Change, Difference, InodeType } from './difference.ts'

/** How often something differs. */
export interface TallyLine {
  readonly count: number
  /** `directory mtimes differ in nanoseconds only`, in the number that fits the count. */
  readonly text: string
}

/**
 * Counts differences by kind, and keeps nothing else of them.
 *
 * @example
 * ```ts
 * import { type Difference, DifferenceTally } from 'composefs-streams/tree'
 *
 * const summary = (differences: Iterable<Difference>) => {
 *   const tally = new DifferenceTally()
 *   for (const difference of differences) tally.add(difference)
 *   return tally.lines().map(({ count, text }) => `${count} ${text}`) // 5267 directory mtimes differ in nanoseconds only
 * }
 * ```
 */
export class DifferenceTally {
  /** Paths that differ. */
  paths = 0
  /** Properties that differ, and paths that one tree alone has. */
  total = 0
  readonly #counts = new Map<string, { count: number; one: string; many: string }>()

  add({ a, b, changes }: Difference): void {
    this.paths++
    const type = inodeType((a ?? b)!)
    for (const change of changes) this.#count(...changeTexts(type, change))
    if (changes.length === 0) {
      const where = a === undefined ? 'only in B' : 'only in A'
      this.#count(`${nouns[type][0]} ${where}`, `${nouns[type][1]} ${where}`)
    }
  }

  /** The most frequent kind first. */
  lines(): TallyLine[] {
    return [...this.#counts.values()]
      .map(({ count, one, many }) => ({ count, text: count === 1 ? one : many }))
      .sort((x, y) => y.count - x.count || (x.text < y.text ? -1 : 1))
  }

  #count(one: string, many: string): void {
    this.total++
    const known = this.#counts.get(one)
    if (known === undefined) this.#counts.set(one, { count: 1, one, many })
    else known.count++
  }
}

const nouns: Readonly<Record<InodeType, readonly [one: string, many: string]>> = {
  file: ['file', 'files'],
  directory: ['directory', 'directories'],
  symlink: ['symlink', 'symlinks'],
  'character-device': ['character device', 'character devices'],
  'block-device': ['block device', 'block devices'],
  fifo: ['fifo', 'fifos'],
  socket: ['socket', 'sockets'],
}

const properties: Readonly<Record<Change['what'], readonly [one: string, many: string]>> = {
  type: ['is of another type', 'are of another type'],
  mode: ['mode differs', 'modes differ'],
  uid: ['uid differs', 'uids differ'],
  gid: ['gid differs', 'gids differ'],
  size: ['size differs', 'sizes differ'],
  rdev: ['device number differs', 'device numbers differ'],
  nlink: ['link count differs', 'link counts differ'],
  mtime: ['mtime differs', 'mtimes differ'],
  xattr: ['differs', 'differ'],
  content: ['content differs', 'contents differ'],
  storage: ['is stored in another way', 'are stored in another way'],
  hash: ['has its object named by another hash', 'have their objects named by another hash'],
  target: ['target differs', 'targets differ'],
  links: ['has other hardlinks', 'have other hardlinks'],
  home: ['stands under another of its names', 'stand under other ones of their names'],
}

function changeTexts(type: InodeType, change: Change): [one: string, many: string] {
  const [one, many] = properties[change.what]
  const [singular, plural] = nouns[type]
  switch (change.what) {
    case 'xattr': {
      const name = printable(change.name)
      return [`${singular} xattr ${name} ${one}`, `${singular} xattrs ${name} ${many}`]
    }
    case 'mtime': {
      const only = change.a.mtime === change.b.mtime ? ' in nanoseconds only' : ''
      return [`${singular} ${one}${only}`, `${singular} ${many}${only}`]
    }
    case 'type':
    case 'storage':
    case 'hash':
    case 'links':
    case 'home':
      return [`${singular} ${one}`, `${plural} ${many}`]
    default:
      return [`${singular} ${one}`, `${singular} ${many}`]
  }
}
