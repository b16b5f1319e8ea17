/**
 * From a tree to an image.
 */
import { constants } from 'node:buffer'
import { Readable } from 'node:stream'
import { ComposefsError } from '../errors.ts'
import type { FileSystem } from '../tree/filesystem.ts'
import { atOnce, inTurns, type Steps } from '../turns.ts'
import { checkNode } from './check-node.ts'
import {
  blockSize,
  compactSize,
  composefsHeaderVersion,
  composefsMagic,
  type ErofsVersion,
  erofsMagic,
  extendedSize,
  featureCompat,
  header,
  inodesStart,
  pause,
  roundUp,
  slotSize,
  superblock,
  superblockOffset,
} from './format.ts'
import { InodeWriter } from './inode-writer.ts'
import type { PlanNode } from './plan.ts'
import type { Rules, Summary } from './rules.ts'
import { writeSeconds } from './seconds.ts'
import { survey } from './survey.ts'
import { version2 } from './version-2.ts'
import { hasWhiteout, versions0And1 } from './versions-0-1.ts'
import { XattrArea } from './xattr-area.ts'
import { XattrTable } from './xattr-table.ts'

/** How to write an image. */
export interface WriteImageOptions {
  /** @default 1 */
  version?: ErofsVersion
  /**
   * Whether version 0 becomes 1 where the tree holds a whiteout, as mkcomposefs does by default; `false` is its
   * `--max-version=0`.
   *
   * @default true
   */
  raise?: boolean
}

/**
 * Makes the whole image of a tree: the same bytes as mkcomposefs 1.0.8 (versions 0 and 1) and composefs-rs 0.9.4
 * (version 2). The tree is not changed.
 *
 * @throws {@link ComposefsError} `ERR_EROFS_LIMIT` for what the format cannot hold, `ERR_SYMLINK_TARGET`,
 * `ERR_PATH_INVALID`, `ERR_NAME_TOO_LONG`, `ERR_HARDLINK_TARGET` for a directory with two names, `ERR_EROFS_VERSION`.
 *
 * @example
 * ```ts
 * import { writeImage } from 'composefs-streams/erofs'
 * import { defaultDirectoryStat, FileSystem } from 'composefs-streams/tree'
 *
 * const image = writeImage(new FileSystem(defaultDirectoryStat))
 * image.length // 16384
 * ```
 */
export function writeImage(fileSystem: FileSystem, options: WriteImageOptions = {}): Buffer {
  return atOnce(imageSteps(fileSystem, options))
}

/** How {@link makeImage} writes an image. */
export interface MakeImageOptions extends WriteImageOptions {
  signal?: AbortSignal | undefined
}

/**
 * {@link writeImage} that lets others have their turn every 20 milliseconds. The tree must stay as it is meanwhile.
 *
 * @throws {@link ComposefsError} as {@link writeImage} does; the reason of `signal`
 *
 * @example
 * ```ts
 * import { makeImage } from 'composefs-streams/erofs'
 * import { defaultDirectoryStat, FileSystem } from 'composefs-streams/tree'
 *
 * const image = await makeImage(new FileSystem(defaultDirectoryStat), { signal: AbortSignal.timeout(60_000) })
 * ```
 */
export async function makeImage(fileSystem: FileSystem, options: MakeImageOptions = {}): Promise<Buffer> {
  return inTurns(imageSteps(fileSystem, options), options.signal)
}

function* imageSteps(fileSystem: FileSystem, options: WriteImageOptions): Steps<Buffer> {
  const { version = 1, raise = true } = options
  if (version !== 0 && version !== 1 && version !== 2) {
    throw new ComposefsError('ERR_EROFS_VERSION', `there is no image format version ${String(version)}`, {
      hint: 'versions are 0, 1 and 2',
    })
  }
  const tree = yield* survey(fileSystem, version !== 2)
  const rules = version === 2 ? version2 : versions0And1(version === 0 && raise && hasWhiteout(tree) ? 1 : version)
  const nodes = yield* rules.order(tree)
  for (const node of nodes) {
    if (node.index % pause === 0) yield
    checkNode(node, version)
  }
  const table = new XattrTable(rules.lustre)
  yield* rules.dress(nodes, table)
  const summary = rules.summarize(nodes, table)

  const shared = table.shared().sort((a, b) => rules.compareShared(a, b))
  let sharedSize = 0
  for (const pair of shared) {
    pair.offset = sharedSize
    sharedSize += pair.size
  }

  const xattrs = new XattrArea(rules, table)
  let offset = inodesStart
  for (const node of nodes) {
    if (node.index % pause === 0) yield
    xattrs.measure(node)
    rules.shape(node, summary)
    node.position = rules.place(node, roundUp(offset, slotSize))
    offset = node.position + (node.extended ? extendedSize : compactSize) + node.xattrSize + node.tail
  }
  const inodesEnd = roundUp(offset, slotSize)
  let block = roundUp(inodesEnd + sharedSize, blockSize) / blockSize
  for (const node of nodes) {
    node.blockAddress = block
    block += node.blocks
  }
  const size = block * blockSize
  if (size > constants.MAX_LENGTH) {
    throw new ComposefsError('ERR_EROFS_LIMIT', `an image of ${size} bytes does not fit into memory`, {
      expected: `at most ${constants.MAX_LENGTH}`,
      hint: 'store contents as objects, or make several images',
    })
  }

  const image = Buffer.alloc(size)
  const view = new DataView(image.buffer, image.byteOffset, image.length)
  const { block: sharedBlock, origin } = rules.sharedTable(inodesEnd)
  writeHeaders(view, rules, summary, { root: nodes[0]!, inodes: nodes.length, sharedBlock })
  const writer = new InodeWriter(rules, xattrs, image, view, origin)
  for (const node of nodes) {
    if (node.index % pause === 0) yield
    writer.write(node)
  }
  for (const pair of shared) pair.write(image, inodesEnd + pair.offset)
  return image
}

/**
 * {@link writeImage} as a stream of bytes. The image is made when the first of them is asked for.
 *
 * @example
 * ```ts
 * import { createWriteStream } from 'node:fs'
 * import { pipeline } from 'node:stream/promises'
 * import { imageStream } from 'composefs-streams/erofs'
 * import { defaultDirectoryStat, FileSystem } from 'composefs-streams/tree'
 *
 * await pipeline(imageStream(new FileSystem(defaultDirectoryStat)), createWriteStream('image.cfs'))
 * ```
 */
export function imageStream(fileSystem: FileSystem, options: MakeImageOptions = {}): Readable {
  return Readable.from(chunks(fileSystem, options), { objectMode: false, highWaterMark: chunkSize })
}

const chunkSize = 64 * blockSize

async function* chunks(fileSystem: FileSystem, options: MakeImageOptions): AsyncGenerator<Buffer, void, undefined> {
  const image = await makeImage(fileSystem, options)
  for (let at = 0; at < image.length; at += chunkSize) yield image.subarray(at, at + chunkSize)
}

interface Places {
  readonly root: PlanNode
  readonly inodes: number
  readonly sharedBlock: number
}

function writeHeaders(view: DataView, rules: Rules, summary: Summary, { root, inodes, sharedBlock }: Places): void {
  view.setUint32(header.magic, composefsMagic, true)
  view.setUint32(header.headerVersion, composefsHeaderVersion, true)
  view.setUint32(header.flags, summary.flags, true)
  view.setUint32(header.composefsVersion, rules.version, true)

  const at = superblockOffset
  view.setUint32(at + superblock.magic, erofsMagic, true)
  view.setUint32(at + superblock.featureCompat, featureCompat, true)
  view.setUint8(at + superblock.blockBits, Math.log2(blockSize))
  view.setUint16(at + superblock.rootNid, root.position / slotSize, true)
  view.setUint32(at + superblock.inodes, inodes, true)
  writeSeconds(view, at + superblock.buildTime, summary.buildTime)
  view.setUint32(at + superblock.buildTimeNsec, summary.buildTimeNsec, true)
  view.setUint32(at + superblock.blocks, view.byteLength / blockSize, true)
  view.setUint32(at + superblock.xattrBlock, sharedBlock, true)
}
