/**
 * Whether an inode's metadata and contents can be stored at all.
 */
import { ComposefsError } from '../errors.ts'
import { type ErofsVersion, maxInline, maxTarget } from './format.ts'
import type { PlanNode } from './plan.ts'

const maxWord = 2 ** 32
const maxSeconds = 2n ** 63n
/** Largest external file: 1024 chunks of 2^43 bytes. */
const maxFileSize = 2 ** 53

const isWord = (value: number): boolean => Number.isInteger(value) && value >= 0 && value < maxWord

/**
 * @throws {@link ComposefsError} `ERR_EROFS_LIMIT`, `ERR_SYMLINK_TARGET`.
 */
export function checkNode(node: PlanNode, version: ErofsVersion): void {
  const { stat, mtime, nlink } = node
  if (!isWord(stat.uid)) throw tooLarge(node, 'uid', stat.uid)
  if (!isWord(stat.gid)) throw tooLarge(node, 'gid', stat.gid)
  if (!isWord(nlink)) throw tooLarge(node, 'link count', nlink)
  if (!isWord(stat.mtimeNsec)) throw tooLarge(node, 'nanosecond count', stat.mtimeNsec)
  if (typeof mtime === 'bigint' ? mtime < -maxSeconds || mtime >= maxSeconds : !Number.isSafeInteger(mtime)) {
    throw tooLarge(node, 'time', mtime)
  }
  checkContent(node, version)
}

function checkContent(node: PlanNode, version: ErofsVersion): void {
  const { content } = node
  switch (content?.type) {
    case 'inline':
      if (content.bytes.length > maxInline[version]) {
        throw new ComposefsError('ERR_EROFS_LIMIT', 'the contents of a file are too large to stand in the image', {
          path: node.path,
          expected: `at most ${maxInline[version]}`,
          actual: content.bytes.length,
          hint: 'store them as an object',
        })
      }
      break
    case 'external':
      if (!Number.isInteger(content.size) || content.size < 0 || content.size > maxFileSize) {
        throw tooLarge(node, 'file size', content.size)
      }
      break
    case 'symlink':
      if (content.target.length === 0 || content.target.length > maxTarget || content.target.includes('\0')) {
        throw new ComposefsError('ERR_SYMLINK_TARGET', 'no kernel can follow a symlink with this target', {
          path: node.path,
          expected: `1 to ${maxTarget} bytes without NUL`,
          actual: `${content.target.length} bytes`,
        })
      }
      break
    case 'character-device':
    case 'block-device':
      if (!isWord(content.rdev)) throw tooLarge(node, 'device number', content.rdev)
  }
}

function tooLarge(node: PlanNode, what: string, value: number | bigint): ComposefsError {
  return new ComposefsError('ERR_EROFS_LIMIT', `the ${what} ${value} has no place in an image`, { path: node.path })
}
