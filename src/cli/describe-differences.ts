/**
 * Differences of trees as lines of text, and as JSON.
 *
 * @packageDocumentation
 */
import { fromLatin1, printable } from '../bytes.ts'
import { inodeType } from '../tree/diff-inode.ts'
import type { Change, Difference, Mtime } from '../tree/difference.ts'
import type { LeafContent } from '../tree/inode.ts'

const whatWidth = 16
const longest = 60
const maxNames = 8

/** One line for each property that differs, or for a path that one tree alone has. */
export function differenceLines({ path, a, b, changes }: Difference): string {
  const shown = printable(path)
  if (changes.length > 0) return changes.map((change) => line('~', change.what, shown, change)).join('')
  return a === undefined ? line('+', inodeType(b!), shown) : line('-', inodeType(a), shown)
}

function line(sign: string, what: string, path: string, change?: Change): string {
  return `${sign} ${what.padEnd(whatWidth)} ${path}${change === undefined ? '' : `  ${valuesText(change)}`}\n`
}

function valuesText(change: Change): string {
  const between = (a: string, b: string): string => `${a} → ${b}`
  switch (change.what) {
    case 'mode':
      return between(modeText(change.a), modeText(change.b))
    case 'rdev':
      return between(deviceText(change.a), deviceText(change.b))
    case 'mtime':
      return between(timeText(change.a), timeText(change.b))
    case 'xattr':
      return `${printable(change.name)}: ${between(bytesText(change.a), bytesText(change.b))}`
    case 'content':
    case 'storage':
      return between(contentText(change.a), contentText(change.b))
    case 'target':
    case 'home':
      return between(printable(change.a), printable(change.b))
    case 'links':
      return between(namesText(change.a), namesText(change.b))
    default:
      return between(`${change.a}`, `${change.b}`)
  }
}

const modeText = (mode: number): string => mode.toString(8).padStart(4, '0')

const deviceText = (device: number): string =>
  `${(device >>> 8) & 0xfff}:${(device & 0xff) | ((device >>> 12) & 0xfff00)}`

/** Negative seconds with a fraction above them, as a dumpfile has it. */
const timeText = ({ mtime, mtimeNsec }: Mtime): string => `${mtime}.${mtimeNsec.toString().padStart(9, '0')}`

function bytesText(bytes: Buffer | undefined): string {
  if (bytes === undefined) return 'none'
  const start = printable(fromLatin1(bytes.toString('latin1', 0, longest)))
  return bytes.length <= longest ? `"${start}"` : `"${start}…" (${bytes.length} bytes)`
}

function contentText(content: LeafContent): string {
  if (content.type === 'inline') return bytesText(content.bytes)
  if (content.type !== 'external') return content.type
  const { id, path, size } = content
  if (id === undefined && typeof path !== 'string') return `${size} zero bytes`
  const object = id === undefined ? printable(path!) : `${id.algorithm}:${id.hex.slice(0, 16)}…`
  return path === undefined || id === undefined ? object : `${object} at ${path === null ? 'no path' : printable(path)}`
}

function namesText(names: readonly string[]): string {
  const shown = names.slice(0, maxNames).map((name) => printable(fromLatin1(name)))
  if (names.length > maxNames) shown.push(`and ${names.length - maxNames} more`)
  return `{${shown.join(', ')}}`
}

/**
 * A difference for `--json`: `{path, only, type}`, or `{path, changes}` with `what`, `a` and `b`. Modes are octal, times
 * `SECONDS.NANOSECONDS`, values of xattrs and contents inside images base64.
 */
export function differenceJson({ path, a, b, changes }: Difference): object {
  const shown = printable(path)
  if (changes.length > 0) return { path: shown, changes: changes.map(changeJson) }
  return { path: shown, only: a === undefined ? 'b' : 'a', type: inodeType((a ?? b)!) }
}

function changeJson(change: Change): object {
  const { what } = change
  switch (what) {
    case 'mode':
      return { what, a: modeText(change.a), b: modeText(change.b) }
    case 'mtime':
      return { what, a: timeText(change.a), b: timeText(change.b) }
    case 'xattr': {
      const value = (bytes: Buffer | undefined): string | null => bytes?.toString('base64') ?? null
      return { what, name: printable(change.name), a: value(change.a), b: value(change.b) }
    }
    case 'content':
    case 'storage':
      return { what, a: contentJson(change.a), b: contentJson(change.b) }
    case 'target':
    case 'home':
      return { what, a: printable(change.a), b: printable(change.b) }
    case 'links':
      return { what, a: change.a.map(printable), b: change.b.map(printable) }
    default:
      return change
  }
}

function contentJson(content: LeafContent): object {
  if (content.type === 'inline') return { inline: content.bytes.toString('base64') }
  if (content.type !== 'external') return { type: content.type }
  const { id, path, size } = content
  return { size, object: id?.toString() ?? null, ...(path !== undefined && { path: path && printable(path) }) }
}
