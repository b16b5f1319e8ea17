/**
 * The xattrs by which overlayfs finds objects, whiteouts and opaque directories in an image, and how a tree's own
 * xattrs of those names are kept out of its way (spec: erofs-image, section 3).
 */
import { type ByteString, fromLatin1 } from '../bytes.ts'
import { algorithmNumber, digestSize, ObjectId } from '../fsverity/object-id.ts'

const prefix = 'trusted.overlay.'
const escapedPrefix = 'trusted.overlay.overlay.'

export const metacopyName = 'trusted.overlay.metacopy' as ByteString
export const redirectName = 'trusted.overlay.redirect' as ByteString
/** On the root of versions 0 and 1, with the value `y`: what the objects' directory holds must not show through. */
export const rootOpaqueName = 'trusted.overlay.opaque' as ByteString

/** On a whiteout that is stored as an empty file. Names as they are stored, so the first is escaped already. */
export const whiteoutMarks: readonly ByteString[] = ['trusted.overlay.overlay.whiteout', 'user.overlay.whiteout'].map(
  fromLatin1,
)
/** On its directory. */
export const whiteoutsMarks: readonly ByteString[] = [
  'trusted.overlay.overlay.whiteouts',
  'user.overlay.whiteouts',
].map(fromLatin1)
/** On its directory in version 1, with the value `x`. */
export const opaqueMarks: readonly ByteString[] = ['trusted.overlay.overlay.opaque', 'user.overlay.opaque'].map(
  fromLatin1,
)

/** The name under which a tree's xattr is stored. */
export function escapeName(name: ByteString): ByteString {
  return name.startsWith(prefix) ? ((escapedPrefix + name.slice(prefix.length)) as ByteString) : name
}

/** The name that a stored xattr shows in the mounted tree, or undefined where overlayfs keeps it to itself. */
export function unescapeName(stored: ByteString): ByteString | undefined {
  if (!stored.startsWith(prefix)) return stored
  if (!stored.startsWith(escapedPrefix)) return undefined
  return (prefix + stored.slice(escapedPrefix.length)) as ByteString
}

const metacopyHeaderSize = 4

/** Version 0, length, flags 0, hash algorithm. */
const metacopyHeaders = {
  sha256: String.fromCharCode(0, metacopyHeaderSize + digestSize.sha256, 0, algorithmNumber.sha256),
  sha512: String.fromCharCode(0, metacopyHeaderSize + digestSize.sha512, 0, algorithmNumber.sha512),
}

/** What stands before the digest, which has so many hex digits, in a metacopy value. */
export function metacopyHeader(hexDigits: number): string {
  return hexDigits === 2 * digestSize.sha256 ? metacopyHeaders.sha256 : metacopyHeaders.sha512
}

/** The digest of a metacopy value; undefined where it is none that composefs writes. */
export function parseMetacopy(value: Buffer): ObjectId | undefined {
  const size = value.length - metacopyHeaderSize
  if (size !== digestSize.sha256 && size !== digestSize.sha512) return undefined
  if (value.toString('latin1', 0, metacopyHeaderSize) !== metacopyHeader(2 * size)) return undefined
  return ObjectId.fromBytes(value.subarray(metacopyHeaderSize))
}

/** The object path in a redirect value. */
export function parseRedirect(value: Buffer): ByteString {
  const text = value.toString('latin1')
  return (text.startsWith('/') ? text.slice(1) : text) as ByteString
}
