import type { ByteString } from '../bytes.ts'
import { maxNameLength } from '../tree/path.ts'
import { damaged } from './damaged.ts'
import { blockSize, direntSize } from './format.ts'
import type { ImageView } from './image-view.ts'
import type { StoredInode } from './inode-reader.ts'

/** The entries of a directory, `.` and `..` included, in the order of their names. */
export interface Dirents {
  readonly names: ByteString[]
  readonly nids: number[]
  /** Numbers of `fileType`. */
  readonly types: number[]
}

/**
 * Reads all entries of a directory.
 *
 * @throws {@link ComposefsError} `ERR_EROFS_INVALID`, also where names repeat, are not sorted, or cannot be names.
 */
export function readDirents(source: ImageView, inode: StoredInode): Dirents {
  const dirents: Dirents = { names: [], nids: [], types: [] }
  const { blocks, union, size, tail } = inode
  for (let i = 0; i < blocks; i++) {
    const length = Math.min(blockSize, size - tail - i * blockSize)
    readBlock(source, inode, (union + i) * blockSize, length, dirents)
  }
  if (tail > 0) readBlock(source, inode, inode.xattrAt + inode.xattrSize, tail, dirents)
  return dirents
}

function readBlock({ image, view }: ImageView, { nid }: StoredInode, at: number, length: number, into: Dirents): void {
  const first = length < direntSize ? 0 : view.getUint16(at + 8, true)
  if (first === 0 || first % direntSize !== 0 || first > length) {
    throw damaged('a block of this directory cannot be read', { nid, offset: at })
  }
  const text = image.toString('latin1', at, at + length)
  let previous = into.names.at(-1) ?? ''
  let begin = first
  for (let entry = at; entry < at + first; entry += direntSize) {
    let end: number
    if (entry + direntSize < at + first) {
      end = view.getUint16(entry + direntSize + 8, true)
    } else {
      // The last name of a block ends where the padding begins.
      end = text.indexOf('\0', begin)
      if (end === -1) end = length
    }
    const name = text.slice(begin, end) as ByteString
    if (end <= begin || end > length || end - begin > maxNameLength || unusable.test(name)) {
      throw damaged('a name in this directory is not possible', { nid, offset: entry })
    }
    if (name <= previous) throw damaged('the names in this directory are not in order', { nid, offset: entry })
    into.names.push(name)
    into.nids.push(view.getUint32(entry, true) + view.getUint32(entry + 4, true) * 2 ** 32)
    into.types.push(image[entry + 10]!)
    previous = name
    begin = end
  }
}

const unusable = /[\0/]/
