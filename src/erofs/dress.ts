/**
 * The xattrs of an inode before versions add theirs.
 */
import { printable } from '../bytes.ts'
import { ComposefsError } from '../errors.ts'
import type { Xattrs } from '../tree/xattrs.ts'
import type { PlanNode } from './plan.ts'
import type { XattrPair } from './xattr-pair.ts'
import type { XattrTable } from './xattr-table.ts'

const maxNameSize = 255
const maxValueSize = 65535
/** Longest path of an object, in bytes. */
const maxPathSize = 4095

const noPairs: readonly XattrPair[] = []

/** What an xattr costs, and the first one on top of that, when the total is compared with a limit. */
const pairCost = 7
const firstCost = 12

/** Looks up the pairs of a tree's own xattrs; inodes that share one {@link Xattrs} share the work. */
export class InputPairs {
  readonly #table: XattrTable
  readonly #limit: number
  readonly #known = new Map<Xattrs, readonly XattrPair[]>()

  /** `limit`: highest cost of an inode's xattrs (spec: erofs-image, section 3.5). */
  constructor(table: XattrTable, limit: number = Number.POSITIVE_INFINITY) {
    this.#table = table
    this.#limit = limit
  }

  /** In the order of the names. */
  of(node: PlanNode): readonly XattrPair[] {
    const { xattrs } = node.stat
    if (xattrs.size === 0) return noPairs
    let pairs = this.#known.get(xattrs)
    if (pairs === undefined) {
      pairs = this.#lookUp(node, xattrs)
      this.#known.set(xattrs, pairs)
    }
    return pairs
  }

  #lookUp(node: PlanNode, xattrs: Xattrs): readonly XattrPair[] {
    const pairs: XattrPair[] = []
    let cost = firstCost
    for (const [name, value] of xattrs) {
      if (name.length === 0 || name.length > maxNameSize || name.includes('\0') || value.length > maxValueSize) {
        throw new ComposefsError('ERR_EROFS_LIMIT', `the xattr ${printable(name)} cannot be stored`, {
          path: node.path,
          hint: 'names have 1 to 255 bytes and no NUL, values at most 65535 bytes',
        })
      }
      cost += pairCost + name.length + value.length
      pairs.push(this.#table.input(name, value))
    }
    if (cost > this.#limit) {
      throw new ComposefsError('ERR_EROFS_LIMIT', 'the xattrs of an inode are too large together', {
        path: node.path,
        expected: `at most ${this.#limit}`,
        actual: cost,
        hint: 'remove some of them; names count too',
      })
    }
    return pairs
  }
}

/**
 * Gives an external file what overlayfs needs to find its contents: an `object`, or, where that would not be exact, the
 * pairs that are returned: metacopy, then redirect.
 */
export function dressContent(node: PlanNode, table: XattrTable): readonly XattrPair[] {
  const { content } = node
  if (content?.type !== 'external') return noPairs
  const { id, path } = content
  if (id !== undefined && path === undefined) {
    node.object = table.object(id.hex)
    return noPairs
  }
  const metacopy = table.metacopy(id?.hex)
  if (path === undefined || path === null || path === '') return [metacopy]
  if (path.length > maxPathSize) {
    throw new ComposefsError('ERR_EROFS_LIMIT', 'the object path of a file is too long', {
      path: node.path,
      expected: `at most ${maxPathSize}`,
      hint: 'object paths are below the root of the store',
      actual: path.length,
    })
  }
  return [metacopy, table.redirect(path)]
}

/** Sets `more` beside or in place of `pairs`. Both are in the order of the names, and so is the result. */
export function mergePairs(pairs: readonly XattrPair[], more: readonly XattrPair[]): readonly XattrPair[] {
  if (pairs.length === 0) return more
  if (more.length === 0) return pairs
  const merged: XattrPair[] = []
  let i = 0
  for (const pair of more) {
    while (i < pairs.length && pairs[i]!.name.full < pair.name.full) merged.push(pairs[i++]!)
    if (i < pairs.length && pairs[i]!.name === pair.name) i++
    merged.push(pair)
  }
  while (i < pairs.length) merged.push(pairs[i++]!)
  return merged
}

/** Counts the uses of all pairs, once each inode has its final ones. */
export function countUses(nodes: readonly PlanNode[]): void {
  for (const { pairs, object } of nodes) {
    for (const pair of pairs) pair.uses++
    if (object !== undefined) object.uses++
  }
}
