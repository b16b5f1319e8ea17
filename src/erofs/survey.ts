import type { ByteString } from '../bytes.ts'
import { ComposefsError } from '../errors.ts'
import type { FileSystem } from '../tree/filesystem.ts'
import type { Directory, Leaf } from '../tree/inode.ts'
import { maxNameLength } from '../tree/path.ts'
import type { Steps } from '../turns.ts'
import { fileType, pause } from './format.ts'
import { PlanNode } from './plan.ts'

/** A tree, read once. */
export interface Survey {
  readonly root: PlanNode
  /** All inodes, depth first, each where it is met first. */
  readonly nodes: PlanNode[]
  readonly leaves: ReadonlyMap<Leaf, PlanNode>
  readonly directories: ReadonlyMap<Directory, PlanNode>
}

/**
 * Walks the whole tree and changes nothing in it. With `stubs` the root gets a whiteout for each name `00` to `ff` that
 * it lacks (spec: erofs-image, section 3.4).
 *
 * @throws {@link ComposefsError} `ERR_HARDLINK_TARGET` for a directory with two names, `ERR_PATH_INVALID`,
 * `ERR_NAME_TOO_LONG`.
 */
export function* survey(fileSystem: FileSystem, stubs: boolean): Steps<Survey> {
  const leaves = new Map<Leaf, PlanNode>()
  const directories = new Map<Directory, PlanNode>()
  const nodes: PlanNode[] = []
  const open = (directory: Directory, parent: PlanNode | undefined, name: ByteString): PlanNode => {
    const node = new PlanNode(directory.stat, undefined, parent, name)
    if (directories.has(directory)) {
      throw new ComposefsError('ERR_HARDLINK_TARGET', 'a directory of the tree has two names', {
        path: node.path,
        hint: 'only files can be hardlinked: insert a copy of the directory',
      })
    }
    directories.set(directory, node)
    nodes.push(node)
    node.names = sortedNames(node, directory, parent === undefined && stubs ? missingStubs(directory) : [])
    return node
  }

  // No recursion: a hostile tree may be deeper than the call stack.
  const path: { node: PlanNode; entries: Directory['entries'] }[] = []
  const root = open(fileSystem.root, undefined, '' as ByteString)
  const stubStat = { ...root.stat, mode: 0o644, xattrs: root.stat.xattrs.filter((name) => name === 'security.selinux') }
  let met = 0
  let node = root
  let { entries } = fileSystem.root
  for (;;) {
    const { names, children } = node
    if (children.length === names.length) {
      close(node)
      const parent = path.pop()
      if (parent === undefined) break
      ;({ node, entries } = parent)
      continue
    }
    if (++met % pause === 0) yield
    const name = names[children.length]!
    const inode = entries.get(name)
    if (inode === undefined) {
      const stub = new PlanNode(stubStat, { type: 'character-device', rdev: 0 }, node, name)
      stub.stub = true
      nodes.push(stub)
      children.push(stub)
    } else if (inode.kind === 'directory') {
      const child = open(inode, node, name)
      children.push(child)
      path.push({ node, entries })
      node = child
      entries = inode.entries
    } else {
      let child = leaves.get(inode)
      if (child === undefined) {
        child = new PlanNode(inode.stat, inode.content, node, name)
        leaves.set(inode, child)
        nodes.push(child)
      } else {
        child.links++
      }
      children.push(child)
    }
  }
  for (const [leaf, node] of leaves) node.nlink = leaf.nlink ?? node.links
  return { root, nodes, leaves, directories }
}

function missingStubs({ entries }: Directory): ByteString[] {
  const names: ByteString[] = []
  for (let i = 0; i < 256; i++) {
    const name = i.toString(16).padStart(2, '0') as ByteString
    if (!entries.has(name)) names.push(name)
  }
  return names
}

const unusable = /[\0/]|[^\0-\xff]/

function sortedNames(node: PlanNode, directory: Directory, more: ByteString[]): ByteString[] {
  const names = [...directory.entries.keys(), ...more]
  // Layers, directories and dumpfiles mostly come sorted.
  let sorted = true
  let longest = 0
  let previous = '' as ByteString
  for (const name of names) {
    if (name < previous) sorted = false
    if (name.length > longest) longest = name.length
    previous = name
  }
  if (!sorted) names.sort()
  const { entries } = directory
  if (longest > maxNameLength || names[0] === '' || entries.has('.' as ByteString) || entries.has('..' as ByteString)) {
    throw nameError(node, names)
  }
  if (unusable.test(names.join(''))) throw nameError(node, names)
  return names
}

function nameError(directory: PlanNode, names: readonly ByteString[]): ComposefsError {
  for (const name of names) {
    const { path } = new PlanNode(directory.stat, undefined, directory, name)
    if (name.length > maxNameLength) {
      return new ComposefsError('ERR_NAME_TOO_LONG', `a name has ${name.length} bytes, at most 255 can be looked up`, {
        path,
        hint: 'give it a shorter name',
      })
    }
    if (name === '' || name === '.' || name === '..' || unusable.test(name)) {
      return new ComposefsError('ERR_PATH_INVALID', 'no entry of a directory can have this name', {
        path,
        hint: 'a name has 1 to 255 bytes, none of them NUL or a slash, and is not . or ..',
      })
    }
  }
  return new ComposefsError('ERR_PATH_INVALID', 'a name of this directory cannot be stored', {
    path: directory.path,
    hint: 'names are byte strings, one character a byte',
  })
}

/** All children are known: adds `.` and `..` where their names belong, and counts the links. */
function close(node: PlanNode): void {
  const { children } = node
  let nlink = 2
  for (const child of children) if (child.type === fileType.directory) nlink++
  node.nlink = nlink
  let at = 0
  for (const [name, target] of [
    ['.', node],
    ['..', node.parent],
  ] as const) {
    while (at < node.names.length && node.names[at]! < name) at++
    node.names.splice(at, 0, name as ByteString)
    children.splice(at, 0, target)
    at++
  }
}
