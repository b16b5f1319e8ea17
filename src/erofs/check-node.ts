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

/** NUL, and what is no byte. */
const unusable = /\0|[^\0-\xff]/

const isWord = (value: number): boolean => Number.isInteger(value) && value >= 0 && value < maxWord

/**
 * @throws {@link ComposefsError} `ERR_EROFS_LIMIT`, `ERR_SYMLINK_TARGET`.
 */
export function checkNode(node: PlanNode, version: ErofsVersion): void {
  const { stat, mtime, nlink } = node
  if (!isWord(stat.uid)) throw outOfRange(node, 'uid', stat.uid, maxWord - 1)
  if (!isWord(stat.gid)) throw outOfRange(node, 'gid', stat.gid, maxWord - 1)
  if (!isWord(nlink)) throw outOfRange(node, 'link count', nlink, maxWord - 1)
  if (!isWord(stat.mtimeNsec)) throw outOfRange(node, 'nanosecond count', stat.mtimeNsec, maxWord - 1)
  if (typeof mtime === 'bigint' ? mtime < -maxSeconds || mtime >= maxSeconds : !Number.isSafeInteger(mtime)) {
    throw outOfRange(node, 'time', mtime, maxSeconds - 1n, -maxSeconds)
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
        throw outOfRange(node, 'file size', content.size, maxFileSize)
      }
      break
    case 'symlink':
      if (content.target.length === 0 || content.target.length > maxTarget || unusable.test(content.target)) {
        throw new ComposefsError('ERR_SYMLINK_TARGET', 'no kernel can follow a symlink with this target', {
          path: node.path,
          expected: `1 to ${maxTarget} bytes without NUL`,
          actual: `${content.target.length} bytes`,
          hint: 'leave the symlink out, or give it another target',
        })
      }
      break
    case 'character-device':
    case 'block-device':
      if (!isWord(content.rdev)) throw outOfRange(node, 'device number', content.rdev, maxWord - 1)
  }
}

function outOfRange(
  node: PlanNode,
  what: string,
  value: number | bigint,
  max: number | bigint,
  min: number | bigint = 0,
): ComposefsError {
  return new ComposefsError('ERR_EROFS_LIMIT', `the ${what} ${value} has no place in an image`, {
    path: node.path,
    expected: `${min} to ${max}`,
    actual: String(value),
    hint: 'no file system that Linux mounts has room for it; change it where the tree was made',
  })
}
