/**
 * The writer's own copy of a tree: one {@link PlanNode} an inode, which the following steps fill in.
 */
import { type ByteString, printable } from '../bytes.ts'
import type { LeafContent } from '../tree/inode.ts'
import { type Seconds, type Stat, seconds } from '../tree/stat.ts'
import { fileType } from './format.ts'
import type { XattrPair } from './xattr-pair.ts'
import type { ObjectPairs } from './xattr-table.ts'

const noNames: ByteString[] = []
const noNodes: PlanNode[] = []
const noPairs: readonly XattrPair[] = []
const noCuts: readonly number[] = []

const typeOfContent: Readonly<Record<LeafContent['type'], number>> = {
  inline: fileType.regular,
  external: fileType.regular,
  symlink: fileType.symlink,
  'character-device': fileType.characterDevice,
  'block-device': fileType.blockDevice,
  fifo: fileType.fifo,
  socket: fileType.socket,
}

/** One inode on its way into an image. */
export class PlanNode {
  readonly stat: Stat
  readonly mtime: Seconds
  /** Undefined for a directory. */
  content: LeafContent | undefined
  /** One of the numbers of {@link fileType}; the type that will be stored. */
  type: number
  /** Where the inode has its place in the order of the image; the root is in itself. */
  parent: PlanNode
  name: ByteString
  /** A directory's entries in the order of their names; `.` and `..` are among them. */
  names: ByteString[] = noNames
  children: PlanNode[]
  /** Number of names; of a directory's own 1. */
  links = 1
  nlink = 1
  /** One of the 256 entries that hide the objects. */
  stub = false
  /** A character device 0:0 that will be stored as an empty file. */
  whiteout = false

  /** Sequence number in the image, -1 until it has one. */
  index = -1
  /** Its xattrs, but for those of the object. */
  pairs: readonly XattrPair[] = noPairs
  object: ObjectPairs | undefined = undefined
  xattrSize = 0
  /** Whether the inode takes 64 bytes. */
  extended = true
  /** Stored size. */
  size = 0
  /** Full blocks of data. */
  blocks = 0
  /** Bytes of data that stand behind the inode. */
  tail = 0
  /** Where each block of a directory begins, as an index of `names`; ends with their number. */
  cuts: readonly number[] = noCuts
  /** Chunk size as a power of two less 12, or -1. */
  chunkFormat = -1
  /** Offset of the inode in the image. */
  position = 0
  blockAddress = 0

  constructor(stat: Stat, content: LeafContent | undefined, parent: PlanNode | undefined, name: ByteString) {
    this.stat = stat
    this.mtime = typeof stat.mtime === 'bigint' ? seconds(stat.mtime) : stat.mtime
    this.content = content
    this.type = content === undefined ? fileType.directory : typeOfContent[content.type]
    this.parent = parent ?? this
    this.name = name
    this.children = content === undefined ? [] : noNodes
  }

  /** For messages. */
  get path(): string {
    const parts: string[] = []
    for (let node: PlanNode = this; node.parent !== node; node = node.parent) parts.push(node.name)
    return printable(`/${parts.reverse().join('/')}` as ByteString)
  }
}
