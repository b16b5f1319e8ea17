/**
 * The text of `composefs-info dump` (spec: dumpfile, section 4).
 *
 * @packageDocumentation
 */
import type { ByteString } from '../bytes.ts'
import { fileType, modeOfType } from '../erofs/format.ts'
import { metacopyName, parseMetacopy, parseRedirect, redirectName, whiteoutMarks } from '../erofs/overlay.ts'
import { type StoredName, storedNames } from '../erofs/stored-names.ts'
import { escapeField, escapeOptional, escapeXattr } from '../streams/dumpfile-escape.ts'

/** Unescaped names that the dump does not show, since mkcomposefs makes them anew. */
const hidden: ReadonlySet<string> = new Set([
  'trusted.overlay.whiteouts',
  'user.overlay.whiteout',
  'user.overlay.whiteouts',
])
const whiteoutName = whiteoutMarks[0]!

/**
 * The dumpfile of an image as the C tool prints it: directories with the size that they have in the image, extended
 * attributes in the order of the image, and hardlinks with all columns of their target.
 *
 * @param image as `readImage` accepts it
 */
export function* storedText(image: Buffer, top: (name: ByteString) => boolean): Generator<Buffer, void, undefined> {
  let text = ''
  for (const name of storedNames(image, top)) {
    text += `${line(name)}\n`
    if (text.length < 64 * 1024) continue
    yield Buffer.from(text, 'latin1')
    text = ''
  }
  yield Buffer.from(text, 'latin1')
}

function line({ path, inode, xattrs, data, linkTo }: StoredName): string {
  const { type, nlink, uid, gid, mtime, mtimeNsec } = inode
  const regular = type === fileType.regular
  const whiteout = regular && inode.size === 0 && xattrs.some(({ full }) => full === whiteoutName)
  const shownType = whiteout ? fileType.characterDevice : type
  const device = type === fileType.characterDevice || type === fileType.blockDevice
  const mode = `${linkTo === undefined ? '' : '@'}${(modeOfType[shownType]! | inode.mode).toString(8)}`
  const numbers = `${inode.size} ${mode} ${nlink} ${uid} ${gid} ${device ? inode.union : 0}`
  const own = (name: ByteString) => (regular ? xattrs.find(({ full }) => full === name)?.value : undefined)
  const redirect = own(redirectName)
  const metacopy = own(metacopyName)
  const target = type === fileType.symlink ? data.toString('latin1') : redirect && parseRedirect(redirect)
  const content = regular ? data.toString('latin1') : ''
  const digest = (metacopy && parseMetacopy(metacopy))?.hex ?? '-'
  let text = `${escapeField(path)} ${numbers} ${mtime}.${mtimeNsec}`
  text += ` ${escapeOptional(linkTo ?? target ?? '')} ${escapeOptional(content)} ${digest}`
  for (const { full, shown } of xattrs) {
    if (shown === undefined || hidden.has(shown[0]) || (whiteout && full === whiteoutName)) continue
    text += ` ${escapeXattr(shown[0])}=${escapeXattr(shown[1].toString('latin1'))}`
  }
  return text
}
