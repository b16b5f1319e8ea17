import { type ByteString, fromLatin1 } from '../bytes.ts'
import type { LeafContent } from '../tree/inode.ts'
import { damaged } from './damaged.ts'
import { fileType, layout } from './format.ts'
import type { ImageView } from './image-view.ts'
import type { InodeReader, StoredInode } from './inode-reader.ts'
import { parseMetacopy, parseRedirect } from './overlay.ts'
import type { ReadImageOptions } from './reader.ts'
import type { InodeXattrs } from './xattr-reader.ts'

/** Longest object path, with its slash. */
const maxRedirect = 4096

/**
 * What a leaf holds.
 *
 * @throws {@link ComposefsError} `ERR_EROFS_INVALID`.
 */
export function readContent(
  source: ImageView,
  reader: InodeReader,
  inode: StoredInode,
  xattrs: InodeXattrs,
  { maxInline, maxTarget }: Required<ReadImageOptions>,
): LeafContent {
  const { nid, at, size, type } = inode
  switch (type) {
    case fileType.regular: {
      if (inode.layout === layout.chunks) return external(reader, inode, xattrs)
      if (xattrs.metacopy !== undefined || xattrs.redirect !== undefined) {
        throw damaged('it has contents in the image and in an object', { nid, offset: at })
      }
      if (size > maxInline)
        throw damaged(`it has ${size} bytes in the image, at most ${maxInline} are allowed`, { nid })
      return { type: 'inline', bytes: reader.data(inode) }
    }
    case fileType.symlink: {
      if (size === 0 || size > maxTarget || inode.layout === layout.chunks) {
        throw damaged(`a symlink cannot have a target of ${size} bytes`, { nid, offset: at })
      }
      const target = fromLatin1(reader.data(inode).toString('latin1'))
      if (target.includes('\0')) throw damaged('the target of a symlink contains NUL', { nid, offset: at })
      return { type: 'symlink', target }
    }
    case fileType.characterDevice:
      return { type: 'character-device', rdev: inode.union, ...claimedSize(source, inode) }
    case fileType.blockDevice:
      return { type: 'block-device', rdev: inode.union, ...claimedSize(source, inode) }
    case fileType.fifo:
      return { type: 'fifo', ...claimedSize(source, inode) }
    case fileType.socket:
      return { type: 'socket', ...claimedSize(source, inode) }
    default:
      throw damaged('a directory is there under the name of something else', { nid, offset: at })
  }
}

function external(reader: InodeReader, inode: StoredInode, { metacopy, redirect }: InodeXattrs): LeafContent {
  const { nid, at, size } = inode
  const id = metacopy && parseMetacopy(metacopy)
  if (id === undefined && metacopy !== undefined && metacopy.length > 0) {
    throw damaged('it names its object in no known way', { nid, offset: at })
  }
  reader.checkChunks(inode, id !== undefined)
  const path = redirect && parseRedirect(redirect)
  if (path !== undefined && (path.includes('\0') || path.length >= maxRedirect)) {
    throw damaged('its object cannot have such a path', { nid, offset: at })
  }
  if (path === undefined || path === '') {
    return id === undefined ? { type: 'external', size, id } : { type: 'external', size, id, path: null }
  }
  return path === id?.path ? { type: 'external', size, id } : { type: 'external', size, id, path: path as ByteString }
}

/**
 * A device or pipe whose inode is longer than it need be: the dumpfile said that it is larger than 4 GiB. That size is
 * not stored, but the next image shall have the long form too.
 */
function claimedSize({ version, buildTime, buildTimeNsec }: ImageView, inode: StoredInode): { size?: number } {
  const needed =
    version === 2 ||
    !inode.extended ||
    inode.mtime !== buildTime ||
    inode.mtimeNsec !== buildTimeNsec ||
    Math.max(inode.nlink, inode.uid, inode.gid) > 0xffff
  return needed ? {} : { size: 2 ** 32 }
}
