/**
 * Labelling a tree by an SELinux policy (spec: oci-image, section 6; rs-0.9, section 1.4).
 *
 * @packageDocumentation
 */
import { type ByteString, fromLatin1, toBuffer } from '../bytes.ts'
import type { FileSystem } from '../tree/filesystem.ts'
import { type Directory, type Inode, Leaf } from '../tree/inode.ts'
import type { Stat } from '../tree/stat.ts'
import { filterXattrs } from '../tree/transform.ts'
import { atOnce, type Steps } from '../turns.ts'
import type { TypeCode } from './file-contexts.ts'
import type { Policy } from './policy.ts'

const attribute = fromLatin1('security.selinux')
/** Paths that are labelled in one step. */
const stepSize = 256

const typeCodes = {
  inline: '-',
  external: '-',
  symlink: 'l',
  'character-device': 'c',
  'block-device': 'b',
  fifo: 'p',
  socket: 's',
} as const satisfies Record<Leaf['content']['type'], TypeCode>

/**
 * Gives every inode the label that the policy has for its path, in place, and takes away labels that it has not given;
 * without a policy all labels go. Where the names of a hardlink get different labels, those that differ from the first
 * (in depth-first order of names) become inodes of their own.
 *
 * @throws {@link ComposefsError} `ERR_LIMIT` where the expressions of the policy are too expensive
 * @example
 * ```ts
 * import { readPolicy, relabel } from 'composefs-streams/selinux'
 * import { defaultDirectoryStat, FileSystem } from 'composefs-streams/tree'
 *
 * const fileSystem = new FileSystem(defaultDirectoryStat)
 * relabel(fileSystem, readPolicy(fileSystem, () => Buffer.alloc(0)))
 * ```
 */
export function relabel(fileSystem: FileSystem, policy: Policy | undefined): void {
  atOnce(relabelSteps(fileSystem, policy))
}

/** The work of {@link relabel}. */
export function* relabelSteps(fileSystem: FileSystem, policy: Policy | undefined): Steps<void> {
  if (policy === undefined) filterXattrs(fileSystem, (name) => name !== attribute)
  else yield* new Labeller(policy).label(fileSystem.root)
}

/** A directory whose children are being labelled, with the path that they are labelled by. */
interface Level {
  readonly directory: Directory
  readonly path: ByteString
  readonly children: Iterator<[ByteString, Inode], undefined>
}

class Labeller {
  readonly #policy: Policy
  /** The label that the first name of each leaf got. */
  readonly #given = new Map<Leaf, ByteString | undefined>()
  readonly #values = new Map<ByteString, Buffer>()
  #count = 0

  constructor(policy: Policy) {
    this.#policy = policy
  }

  *label(root: Directory): Steps<void> {
    // An explicit stack: a hostile tree may be deeper than the call stack.
    const levels = [this.#enter(root, fromLatin1('/'))]
    for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
      if (++this.#count % stepSize === 0) yield
      const child = level.children.next()
      if (child.done) {
        levels.pop()
        continue
      }
      const [name, inode] = child.value
      const full = fromLatin1(level.path.endsWith('/') ? level.path + name : `${level.path}/${name}`)
      const path = this.#policy.aliases.get(full) ?? full
      if (inode.kind === 'directory') levels.push(this.#enter(inode, path))
      else this.#labelLeaf(level.directory, name, inode, path)
    }
  }

  #enter(directory: Directory, path: ByteString): Level {
    directory.stat = this.#labelled(directory.stat, this.#policy.label(path, 'd'))
    return { directory, path, children: directory.sorted().values() }
  }

  #labelLeaf(directory: Directory, name: ByteString, leaf: Leaf, path: ByteString): void {
    const label = this.#policy.label(path, typeCodes[leaf.content.type])
    if (!this.#given.has(leaf)) {
      this.#given.set(leaf, label)
      leaf.stat = this.#labelled(leaf.stat, label)
    } else if (this.#given.get(leaf) !== label) {
      directory.entries.set(name, new Leaf(this.#labelled(leaf.stat, label), leaf.content))
      // What a dumpfile said of all names together holds no more.
      leaf.nlink = undefined
      leaf.home = undefined
    }
  }

  #labelled(stat: Stat, label: ByteString | undefined): Stat {
    if (label === undefined) {
      const xattrs = stat.xattrs.filter((name) => name !== attribute)
      return xattrs === stat.xattrs ? stat : { ...stat, xattrs }
    }
    return { ...stat, xattrs: stat.xattrs.with(attribute, this.#value(label)) }
  }

  #value(label: ByteString): Buffer {
    let value = this.#values.get(label)
    if (value === undefined) {
      value = toBuffer(label)
      this.#values.set(label, value)
    }
    return value
  }
}
