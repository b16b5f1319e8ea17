/**
 * Paths inside an image.
 *
 * @packageDocumentation
 */
import { type ByteString, printable } from '../bytes.ts'
import { ComposefsError, type ErrorCode } from '../errors.ts'

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
    if (part === '..') throw badPath(path, 'a path must not contain ".."', 'name it by its place below the root')
    if (part.length > maxNameLength) {
      const what = `a name has ${part.length} bytes, at most ${maxNameLength} can be looked up`
      throw badPath(path, what, 'give it a shorter name', 'ERR_NAME_TOO_LONG')
    }
    if (part.includes('\0')) throw badPath(path, 'a name contains NUL', 'no file can have it; give it another name')
    parts.push(part)
  }
  return parts
}

function badPath(path: ByteString, what: string, hint: string, code: ErrorCode = 'ERR_PATH_INVALID'): ComposefsError {
  return new ComposefsError(code, what, { path: printable(path), hint })
}

/** The absolute path of a name in a directory whose absolute path is given. */
export function join(directory: ByteString, name: ByteString): ByteString {
  return (directory === '/' ? `/${name}` : `${directory}/${name}`) as ByteString
}
