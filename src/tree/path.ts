/**
 * Paths inside an image.
 *
 * @packageDocumentation
 */
import { type ByteString, printable } from '../bytes.ts'
import { ComposefsError } from '../errors.ts'

/** Longest name that a kernel looks up, in bytes. */
export const maxNameLength = 255

/**
 * The components of a path: empty ones and `.` vanish, so leading, doubled and trailing slashes do not count, and the
 * root has none (spec: oci-image, section 1).
 *
 * @throws {@link ComposefsError} `ERR_PATH_INVALID` for `..` and NUL, `ERR_NAME_TOO_LONG` for a name above 255 bytes.
 */
export function components(path: ByteString): ByteString[] {
  const parts: ByteString[] = []
  for (const part of path.split('/') as ByteString[]) {
    if (part === '' || part === '.') continue
    if (part === '..')
      throw new ComposefsError('ERR_PATH_INVALID', 'a path must not contain ".."', { path: printable(path) })
    if (part.length > maxNameLength) {
      throw new ComposefsError('ERR_NAME_TOO_LONG', `a name has ${part.length} bytes, at most 255 can be looked up`, {
        path: printable(path),
      })
    }
    if (part.includes('\0'))
      throw new ComposefsError('ERR_PATH_INVALID', 'a name contains NUL', { path: printable(path) })
    parts.push(part)
  }
  return parts
}

/** The absolute path of a name in a directory whose absolute path is given. */
export function join(directory: ByteString, name: ByteString): ByteString {
  return (directory === '/' ? `/${name}` : `${directory}/${name}`) as ByteString
}
