/**
 * Refs: names that people give to streams and images. They are what garbage collection starts from.
 *
 * @packageDocumentation
 */
import { lstatSync, unlinkSync } from 'node:fs'
import { constants } from 'node:os'
import { posix } from 'node:path'
import { ComposefsError } from '../errors.ts'
import { errnoException, isErrno, systemError } from '../native/errno.ts'
import { followLink, hasPlainParents, listLinks, placeLink } from './links.ts'
import { checkRefName, type RefKind } from './names.ts'
import { syncDirectoryNow } from './sync.ts'

/** A name and the link it leads to: the content id of a stream, or the hex id of an image. */
export interface Ref {
  readonly name: string
  readonly target: string
}

/**
 * Points a ref at a stream or image, which must exist (that is the caller's business). Throws what `placeLink` says,
 * and `ERR_OCI_NAME`.
 */
export function placeRef(root: string, kind: RefKind, name: string, target: string): void {
  placeLink(root, `${kind}/refs/${checkRefName(name)}`, `${kind}/${target}`)
}

/**
 * The link that a ref leads to, undefined if there is no such ref. It may be broken.
 *
 * @throws {@link ComposefsError} `ERR_REPOSITORY_CORRUPT` where it leads anywhere but to a link of its kind,
 * `ERR_OCI_NAME`
 */
export function readRef(root: string, kind: RefKind, name: string): string | undefined {
  const link = `${kind}/refs/${checkRefName(name)}`
  const path = hasPlainParents(root, link) ? followLink(root, link) : undefined
  if (path === undefined) return undefined
  if (posix.dirname(path) === kind) return posix.basename(path)
  throw new ComposefsError('ERR_REPOSITORY_CORRUPT', `the ref does not lead to a link in ${kind}`, {
    path: link,
    actual: path,
    hint: 'remove it, and name the image again',
  })
}

/**
 * The refs below a prefix (a directory of names, `oci`), sorted; their names are relative to it. Those that lead
 * elsewhere than to a link of their kind are left out.
 *
 * @throws {@link ComposefsError} `ERR_OCI_NAME` for the prefix, `ERR_IO`
 */
export function listRefs(root: string, kind: RefKind, prefix: string = ''): Ref[] {
  const directory = `${kind}/refs${prefix === '' ? '' : `/${checkRefName(prefix)}`}`
  const refs: Ref[] = []
  for (const name of listLinks(`${root}/${directory}`)) {
    const path = followLink(root, `${directory}/${name}`)
    if (path !== undefined && posix.dirname(path) === kind) refs.push({ name, target: posix.basename(path) })
  }
  return refs
}

/**
 * Removes a ref. What it led to stays, until garbage collection finds that nothing else needs it.
 *
 * @throws {@link ComposefsError} `ERR_NOT_FOUND`, `ERR_OCI_NAME` (also where the name is a directory of names),
 * `ERR_REPOSITORY_READONLY`, `ERR_IO`
 */
export function removeRef(root: string, kind: RefKind, name: string): void {
  const link = `${kind}/refs/${checkRefName(name)}`
  const path = `${root}/${link}`
  try {
    if (!hasPlainParents(root, link)) throw errnoException(constants.errno.ENOTDIR, 'unlink')
    if (!lstatSync(path).isSymbolicLink()) throw new ComposefsError('ERR_OCI_NAME', 'this is no ref', { path })
    unlinkSync(path)
    syncDirectoryNow(posix.dirname(path))
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) {
      throw new ComposefsError('ERR_NOT_FOUND', `there is no ref of this name among the ${kind}`, {
        path: name,
        cause: error,
      })
    }
    throw systemError(error, 'write', 'cannot remove a ref', path)
  }
}
