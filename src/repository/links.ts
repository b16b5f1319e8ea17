/**
 * The symlinks of a repository (spec: repository, section 2).
 *
 * @packageDocumentation
 */
import { lstatSync, mkdirSync, readdirSync, readlinkSync, renameSync, rmSync, type Stats, symlinkSync } from 'node:fs'
import { posix } from 'node:path'
import { ComposefsError } from '../errors.ts'
import { isErrno, systemError } from '../native/errno.ts'
import { native } from '../native/libc.ts'
import { withTemporaryName } from './temporary.ts'

/** Begins the names of links that are about to replace another. They stand in the root of the repository. */
export const temporaryLinkPrefix = '.symlink-'

const directoryMode = 0o755

/**
 * What a symlink at `link` says to lead to `target`, both relative to the root of the repository: as many `..` as it
 * takes to reach what the two paths share, then the rest.
 *
 * @example
 * ```ts
 * import { linkTarget } from 'composefs-streams/repository'
 *
 * linkTarget('streams/refs/oci/x', 'streams/oci-manifest-sha256:…') // '../../oci-manifest-sha256:…'
 * ```
 */
export function linkTarget(link: string, target: string): string {
  const from = link.split('/').slice(0, -1)
  const to = target.split('/')
  let shared = 0
  while (shared < from.length && from[shared] === to[shared]) shared++
  return [...from.slice(shared).map(() => '..'), ...to.slice(shared)].join('/')
}

/**
 * Makes or re-points a symlink, both paths relative to the root. At every moment the name leads to the old or to the
 * new target. Missing directories are made.
 *
 * @returns what the symlink said that was replaced; undefined where none was, or nobody can tell
 * @throws {@link ComposefsError} `ERR_OCI_NAME` where the name is that of a directory, or leads through something that
 * is none; `ERR_NO_SPACE`, `ERR_REPOSITORY_READONLY`, `ERR_IO`
 */
export function placeLink(root: string, link: string, target: string): string | undefined {
  const path = `${root}/${link}`
  const text = linkTarget(link, target)
  makeDirectories(root, posix.dirname(link))
  try {
    symlinkSync(text, path)
  } catch (error) {
    if (!isErrno(error, 'EEXIST')) throw systemError(error, 'write', 'cannot make a link', path)
    if (readLinkText(path) !== text) return replaceLink(root, path, text)
  }
  return undefined
}

function replaceLink(root: string, path: string, text: string): string | undefined {
  let temporary: string | undefined
  try {
    temporary = withTemporaryName(`${root}/${temporaryLinkPrefix}`, (name) => {
      symlinkSync(text, name)
      return name
    })
    // Who changes places instead of replacing knows what was there at that moment.
    if (readLinkText(path) !== undefined && native()?.exchange(temporary, path) === 0) {
      const replaced = readLinkText(temporary)
      if (replaced === undefined) native()?.exchange(temporary, path)
      else return replaced
    }
    renameSync(temporary, path)
    temporary = undefined
    return undefined
  } catch (error) {
    if (isErrno(error, 'EISDIR', 'ENOTEMPTY', 'EEXIST')) {
      throw new ComposefsError('ERR_OCI_NAME', 'the name is taken by a directory of other names', {
        path,
        cause: error,
      })
    }
    throw systemError(error, 'write', 'cannot replace a link', path)
  } finally {
    if (temporary !== undefined) rmSync(temporary, { force: true })
  }
}

/** `streams/refs` and `images/refs` are the repository's own; names begin below. */
const refsDepth = 2

/** Makes directories below the root one by one, and follows no symlink on the way: what is written stays inside. */
function makeDirectories(root: string, directory: string): void {
  let path = root
  for (const name of directory.split('/')) {
    path += `/${name}`
    try {
      mkdirSync(path, directoryMode)
    } catch (error) {
      if (!isErrno(error, 'EEXIST')) throw systemError(error, 'write', 'cannot make a directory', path)
      if (lstatSync(path).isDirectory()) continue
      if (path.slice(root.length + 1).split('/').length <= refsDepth) {
        throw new ComposefsError(
          'ERR_REPOSITORY_CORRUPT',
          'something else is in the place of a directory of the repository',
          {
            path,
            hint: 'move it away, and do it again',
          },
        )
      }
      throw new ComposefsError('ERR_OCI_NAME', 'a name and one that begins with it and a slash exclude each other', {
        path,
        hint: 'remove the shorter one first, or choose another name',
      })
    }
  }
}

/** Whether a link lies inside: all directories above it, as far as there are any, are directories and no symlinks. */
export function hasPlainParents(root: string, link: string): boolean {
  let path = root
  for (const name of posix.dirname(link).split('/')) {
    path += `/${name}`
    let found: Stats | undefined
    try {
      found = lstatSync(path, { throwIfNoEntry: false })
    } catch (error) {
      throw systemError(error, 'read', 'cannot look at a directory of names', path)
    }
    if (found === undefined) return true
    if (!found.isDirectory()) return false
  }
  return true
}

/** What the symlink at a path says; undefined if there is nothing, or something else than a symlink. */
export function readLinkText(path: string): string | undefined {
  try {
    return readlinkSync(path)
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'EINVAL', 'ENOTDIR', 'ENAMETOOLONG')) return undefined
    throw systemError(error, 'read', 'cannot read a link', path)
  }
}

/**
 * Where a symlink leads, as a path relative to the root that its own path is relative to. Nothing is followed: the
 * answer may name what does not exist, or lie outside (it then begins with `..` or `/`).
 */
export function followLink(
  root: string,
  link: string,
  text: string | undefined = readLinkText(`${root}/${link}`),
): string | undefined {
  if (text === undefined) return undefined
  return posix.isAbsolute(text) ? text : posix.join(posix.dirname(link), text)
}

/** The symlinks in a directory and all below it, sorted by the bytes of their names, which are relative to it. */
export function listLinks(directory: string): string[] {
  const names: string[] = []
  const pending = ['']
  for (let prefix = pending.pop(); prefix !== undefined; prefix = pending.pop()) {
    for (const { name, type } of listDirectory(directory + (prefix && `/${prefix.slice(0, -1)}`))) {
      if (type === 'directory') pending.push(`${prefix}${name}/`)
      else if (type === 'link') names.push(prefix + name)
    }
  }
  return names.sort(byBytes)
}

/** The entries of a directory; none if it does not exist. Names that are no UTF-8 are passed over. */
export function listDirectory(path: string): { name: string; type: 'directory' | 'link' | 'other' }[] {
  try {
    return readdirSync(path, { withFileTypes: true, encoding: 'utf8' })
      .filter((entry) => !entry.name.includes('\ufffd'))
      .map((entry) => ({
        name: entry.name,
        type: entry.isDirectory() ? 'directory' : entry.isSymbolicLink() ? 'link' : 'other',
      }))
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return []
    throw systemError(error, 'read', 'cannot list a directory', path)
  }
}

function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}
