/**
 * SELinux policies: what labels the paths of a tree get.
 *
 * @packageDocumentation
 */
import { type ByteString, bytesOf, fromLatin1, printable } from '../bytes.ts'
import { ComposefsError } from '../errors.ts'
import type { FileSystem } from '../tree/filesystem.ts'
import type { Inode, Leaf } from '../tree/inode.ts'
import { components } from '../tree/path.ts'
import {
  FileContexts,
  linesOf,
  type PolicyLimits,
  parseAliases,
  parseFileContexts,
  type TypeCode,
  trimmed,
} from './file-contexts.ts'

/**
 * The contents of a regular file that are not in the tree (`content` is `external`).
 *
 * @param path where the file is in the tree
 */
export type ReadLeaf = (leaf: Leaf, path: ByteString) => Buffer

/** A file by its absolute path, or undefined where there is none. */
export type ReadPolicyFile = (path: ByteString) => Buffer | undefined

const home = '/etc/selinux'
const defaultMaxFileSize = 16 * 2 ** 20

/** What a policy says about the labels of files. */
export class Policy {
  readonly contexts: FileContexts
  /** Paths that are labelled as others are. */
  readonly aliases: ReadonlyMap<ByteString, ByteString>

  constructor(contexts: FileContexts, aliases: ReadonlyMap<ByteString, ByteString> = new Map()) {
    this.contexts = contexts
    this.aliases = aliases
  }

  /**
   * The label of a path (aliases are the caller's), or undefined if it gets none.
   *
   * @throws {@link ComposefsError} `ERR_LIMIT`
   */
  label(path: ByteString, type: TypeCode): ByteString | undefined {
    return this.contexts.find(path, type)?.context
  }
}

/**
 * Reads the policy that lies in a tree; undefined if there is none.
 *
 * @param read gets the contents that are not in the tree
 * @throws {@link ComposefsError} `ERR_SELINUX_POLICY`, `ERR_SELINUX_REGEX`, `ERR_NOT_DIRECTORY`, `ERR_PATH_INVALID`,
 * `ERR_LIMIT`, and what `read` throws
 */
export function readPolicy(fileSystem: FileSystem, read: ReadLeaf, limits: PolicyLimits = {}): Policy | undefined {
  return loadPolicy((path) => {
    const leaf = regularFile(fileSystem, path)
    if (leaf?.content.type === 'inline') return leaf.content.bytes
    if (leaf?.content.type !== 'external') return undefined
    const { size, id, path: object } = leaf.content
    // A file of nothing but a hole is no policy to the reference either.
    if (id === undefined && object === null) return undefined
    assertFileSize(path, size, limits)
    return read(leaf, path)
  }, limits)
}

/** Puts a policy together from its files; undefined if there is none. Throws as {@link readPolicy}. */
export function loadPolicy(readFile: ReadPolicyFile, limits: PolicyLimits = {}): Policy | undefined {
  const config = readFile(fromLatin1(`${home}/config`))
  const type = config && policyType(config)
  if (type === undefined) return undefined
  const read = (suffix: string): [bytes: Buffer, name: string] | undefined => {
    const path = fromLatin1(`${home}/${type}/contexts/files/file_contexts${suffix}`)
    const bytes = readFile(path)
    if (bytes === undefined) return undefined
    assertFileSize(path, bytes.length, limits)
    return [bytes, printable(path)]
  }
  const main = read('')
  if (main === undefined) {
    throw new ComposefsError('ERR_SELINUX_POLICY', 'the SELinux policy that is configured has no file_contexts', {
      path: printable(fromLatin1(`${home}/${type}`)),
      hint: `install the policy into the image, or remove SELINUXTYPE from ${home}/config`,
    })
  }
  const rules = [main, read('.local'), read('.homedirs')].map((file) => (file ? parseFileContexts(...file) : []))
  const aliases = [read('.subs'), read('.subs_dist')].map((file) => (file ? parseAliases(...file) : []))
  return new Policy(new FileContexts(rules.flat(), limits), new Map(aliases.flat()))
}

/** @throws {@link ComposefsError} `ERR_LIMIT` */
export function assertFileSize(path: ByteString, size: number, limits: PolicyLimits): void {
  const { maxFileSize = defaultMaxFileSize } = limits
  if (size <= maxFileSize) return
  throw new ComposefsError('ERR_LIMIT', 'a file of the SELinux policy is too large', {
    path: printable(path),
    expected: `at most ${maxFileSize} bytes`,
    actual: size,
    hint: 'raise the limit (maxFileSize) if the file must be that large',
  })
}

/** The value of SELINUXTYPE, as the first line that sets it says. */
function policyType(config: Buffer): ByteString | undefined {
  for (const line of linesOf(config, `${home}/config`)) {
    const equals = line.indexOf('=')
    if (equals !== -1 && /^SELINUXTYPE$/i.test(trimmed(line.slice(0, equals)))) {
      return bytesOf(trimmed(line.slice(equals + 1)))
    }
  }
  return undefined
}

function regularFile({ root }: FileSystem, path: ByteString): Leaf | undefined {
  let inode: Inode = root
  for (const name of components(path)) {
    if (inode.kind !== 'directory') {
      throw new ComposefsError('ERR_NOT_DIRECTORY', 'a parent of this file is no directory, but a file or symlink', {
        path: printable(path),
        hint: 'the SELinux policy of an image is read without following symlinks',
      })
    }
    const next = inode.entries.get(name)
    if (next === undefined) return undefined
    inode = next
  }
  if (inode.kind === 'leaf' && (inode.content.type === 'inline' || inode.content.type === 'external')) return inode
  throw new ComposefsError('ERR_SELINUX_POLICY', 'a file of the SELinux policy is no regular file', {
    path: printable(path),
    hint: 'the policy of an image is read without following symlinks: put the file itself there',
  })
}
