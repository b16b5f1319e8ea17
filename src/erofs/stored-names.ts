/**
 * An image name by name, as its inodes stand there.
 */
import type { ByteString } from '../bytes.ts'
import { join } from '../tree/path.ts'
import { readDirents } from './dirent-reader.ts'
import { fileType, layout } from './format.ts'
import { ImageView } from './image-view.ts'
import { InodeReader, type StoredInode } from './inode-reader.ts'
import { type StoredXattr, XattrReader } from './xattr-reader.ts'

/** One name of an image. */
export interface StoredName {
  readonly path: ByteString
  readonly inode: StoredInode
  /** In the order of the image: those of the inode itself, then the shared ones. */
  readonly xattrs: readonly StoredXattr[]
  /** The data of a symlink, or of a file whose contents are in the image; empty for everything else. */
  readonly data: Buffer
  /** For a further name of an inode: the one met first. */
  readonly linkTo: ByteString | undefined
}

const noData = Buffer.alloc(0)
const stubName = /^\/[0-9a-f]{2}$/

/**
 * Every name depth first, in the order of the image, a directory before what is in it. What overlayfs needs is there as
 * it is stored, but for the 256 devices that hide the objects. Read the image with `readImage` first, which checks it.
 *
 * @param top which entries of the root directory to visit
 * @throws {@link ComposefsError} `ERR_EROFS_INVALID`, `ERR_EROFS_VERSION`
 */
export function* storedNames(image: Buffer, top: (name: ByteString) => boolean): Generator<StoredName, void> {
  const source = new ImageView(image)
  const inodes = new InodeReader(source)
  const xattrs = new XattrReader(source)
  const known = new Map<number, StoredName>()
  const pending: { path: ByteString; nid: number }[] = [{ path: '/' as ByteString, nid: source.rootNid }]
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const { path, nid } = next
    const first = known.get(nid)
    if (first !== undefined) {
      yield { ...first, path, linkTo: first.path }
      continue
    }
    const inode = inodes.read(nid)
    const hasData =
      inode.type === fileType.symlink || (inode.type === fileType.regular && inode.layout !== layout.chunks)
    const data = hasData ? inodes.data(inode) : noData
    const name: StoredName = { path, inode, xattrs: xattrs.list(inode), data, linkTo: undefined }
    if (inode.type === fileType.directory) {
      const { names, nids } = readDirents(source, inode)
      for (let i = names.length - 1; i >= 0; i--) {
        const child = names[i]!
        if (child === '.' || child === '..' || (path === '/' && !top(child))) continue
        pending.push({ path: join(path, child), nid: nids[i]! })
      }
    } else if (source.version !== 2 && isStub(name)) {
      continue
    } else {
      known.set(nid, name)
    }
    yield name
  }
}

function isStub({ path, inode }: StoredName): boolean {
  return inode.type === fileType.characterDevice && inode.union === 0 && stubName.test(path)
}
