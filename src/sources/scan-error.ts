/**
 * What can go wrong with an inode that is scanned.
 *
 * @packageDocumentation
 */
import { type ByteString, printable } from '../bytes.ts'
import { ComposefsError } from '../errors.ts'
import { isErrno, systemError } from '../native/errno.ts'

/** Something is not any more what it was when the scan met it. */
export function changed(what: string, path: ByteString): ComposefsError {
  return new ComposefsError('ERR_SOURCE_CHANGED', what, {
    stage: 'scanDirectory',
    path: printable(path),
    hint: 'scan a directory that nobody writes to, a snapshot for instance',
  })
}

/** An error of the operating system that names the path. What the directory listed and is gone has vanished. */
export function scanError(error: unknown, what: string, path: ByteString): ComposefsError {
  if (isErrno(error, 'ENOENT', 'ESTALE')) return changed('it vanished while the directory was scanned', path)
  // Not the type that the directory said: a symlink (ELOOP, ENOTDIR), or a socket (ENXIO).
  if (isErrno(error, 'ELOOP', 'ENOTDIR', 'ENXIO')) return replaced(path)
  return systemError(error, 'read', what, printable(path))
}

/** The directory said another type than the inode has. */
export function replaced(path: ByteString): ComposefsError {
  return changed('it was replaced by something else while the directory was scanned', path)
}
