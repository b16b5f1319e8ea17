/**
 * The xattrs between an inode and its data (spec: erofs-image, section 6).
 */
import { ComposefsError } from '../errors.ts'
import { xattrHeaderSize } from './format.ts'
import type { PlanNode } from './plan.ts'
import type { Rules } from './rules.ts'
import type { XattrPair } from './xattr-pair.ts'
import type { XattrTable } from './xattr-table.ts'

/** What the inode's count of words and the area's count of references can say. */
const maxWords = 65535
const maxReferences = 255

/** Measures and writes xattr areas, once the table knows which pairs are shared. */
export class XattrArea {
  readonly #rules: Rules
  readonly #table: XattrTable

  constructor(rules: Rules, table: XattrTable) {
    this.#rules = rules
    this.#table = table
  }

  /** Fills in `xattrSize`. */
  measure(node: PlanNode): void {
    const { object } = node
    // Nearly all objects are not shared: then it is enough to know the size of their pairs.
    const apart = object !== undefined && object.metacopy === undefined && object.redirect === undefined
    const pairs = apart ? node.pairs : this.#pairs(node)
    if (pairs.length === 0 && !apart) return
    const references = this.#references(pairs)
    let size = xattrHeaderSize + 4 * references + (apart ? this.#table.objectSize(object) : 0)
    let left = references
    for (const pair of pairs) {
      if (pair.offset >= 0 && left > 0) left--
      else size += pair.size
    }
    if (references > maxReferences || (size - xattrHeaderSize) / 4 + 1 > maxWords) {
      throw new ComposefsError('ERR_EROFS_LIMIT', 'an inode has more xattrs than an image can hold', {
        path: node.path,
        hint: 'remove some of them',
      })
    }
    node.xattrSize = size
  }

  /** `origin`: what references to the shared table count their bytes from. */
  write(node: PlanNode, image: Buffer, view: DataView, at: number, origin: number): void {
    const pairs = this.#pairs(node)
    const references = this.#references(pairs)
    let filter = 0xffffffff
    let left = references
    let reference = at + xattrHeaderSize
    let entry = reference + 4 * references
    for (const pair of pairs) {
      filter &= ~pair.name.filterBit
      if (pair.offset >= 0 && left > 0) {
        view.setUint32(reference, (origin + pair.offset) / 4, true)
        reference += 4
        left--
      } else {
        pair.write(image, entry)
        entry += pair.size
      }
    }
    view.setUint32(at, filter, true)
    image[at + 4] = references
  }

  #pairs({ pairs, object }: PlanNode): readonly XattrPair[] {
    return object === undefined ? pairs : this.#rules.join(pairs, this.#table.objectPairs(object))
  }

  /** How many of the pairs refer to the shared table. */
  #references(pairs: readonly XattrPair[]): number {
    let count = 0
    for (const pair of pairs) if (pair.offset >= 0) count++
    return Math.min(count, this.#rules.maxSharedPairs)
  }
}
