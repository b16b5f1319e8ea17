/**
 * Directories: how their entries are cut into blocks, and how a block is written (spec: erofs-image, sections 8, 12).
 */
import { blockSize, direntSize, maxTail, slotSize } from './format.ts'
import type { PlanNode } from './plan.ts'

/** Fills in `cuts`, `blocks`, `tail` and `size` of a directory. All versions do it alike. */
export function cutDirectory(node: PlanNode): void {
  const { names } = node
  const cuts = [0]
  let sum = 0
  for (let i = 0; i < names.length; i++) {
    const cost = direntSize + names[i]!.length
    sum += cost
    if (sum > blockSize) {
      cuts.push(i)
      sum = cost
    }
  }
  node.blocks = sum > maxTail ? cuts.length : cuts.length - 1
  node.tail = sum > maxTail ? 0 : sum
  node.size = node.blocks * blockSize + node.tail
  cuts.push(names.length)
  node.cuts = cuts
}

/** Writes block number `block` of a directory; the tail counts as its last. */
export function writeDirents(node: PlanNode, block: number, image: Buffer, view: DataView, at: number): void {
  const { names, children, cuts } = node
  const from = cuts[block]!
  const to = cuts[block + 1]!
  let nameAt = direntSize * (to - from)
  const namesAt = at + nameAt
  for (let i = from; i < to; i++) {
    const child = children[i]!
    view.setUint32(at, child.position / slotSize, true)
    view.setUint16(at + 8, nameAt, true)
    image[at + 10] = child.type
    at += direntSize
    nameAt += names[i]!.length
  }
  const text = to - from === names.length ? names.join('') : names.slice(from, to).join('')
  image.write(text, namesAt, 'latin1')
}
