import type { ByteString } from '../bytes.ts'
import { type Xattr, Xattrs } from '../tree/xattrs.ts'
import { damaged } from './damaged.ts'
import { roundUp, xattrEntrySize, xattrHeaderSize } from './format.ts'
import type { ImageView } from './image-view.ts'
import type { StoredInode } from './inode-reader.ts'
import { metacopyName, redirectName, unescapeName } from './overlay.ts'
import { joinName } from './xattr-names.ts'

const maxNameSize = 255

/** One entry: as it is stored, and under the name that the mounted tree shows, if it shows it. */
export interface StoredXattr {
  readonly full: ByteString
  readonly shown: Xattr | undefined
  readonly value: Buffer
}

/** The xattrs of an inode: what the tree shows, and how overlayfs finds the contents. */
export interface InodeXattrs {
  readonly shown: Xattrs
  readonly metacopy: Buffer | undefined
  readonly redirect: Buffer | undefined
}

const none: InodeXattrs = { shown: Xattrs.empty, metacopy: undefined, redirect: undefined }

/** Reads xattr areas. Values are views of the image. */
export class XattrReader {
  readonly #source: ImageView
  /** Entries of the shared table by their offset. */
  readonly #shared = new Map<number, StoredXattr>()
  /** Sets that were met before, by the references that make them: most inodes have one of a few labels. */
  readonly #sets = new Map<string, Xattrs>()

  constructor(source: ImageView) {
    this.#source = source
  }

  /** @throws {@link ComposefsError} `ERR_EROFS_INVALID`. */
  read(inode: StoredInode): InodeXattrs {
    if (inode.xattrSize === 0) return none
    const list = this.list(inode)
    const { references, entries } = this.#areaOf(inode)
    const own = list.length - (entries - references) / 4
    let metacopy: Buffer | undefined
    let redirect: Buffer | undefined
    let inline = false
    const shown: Xattr[] = []
    list.forEach((xattr, i) => {
      if (xattr.full === metacopyName) metacopy ??= xattr.value
      else if (xattr.full === redirectName) redirect ??= xattr.value
      else if (xattr.shown !== undefined) {
        shown.push(xattr.shown)
        if (i < own) inline = true
      }
    })
    const key = inline ? '' : this.#source.image.toString('latin1', references, entries)
    let set = inline || shown.length === 0 ? undefined : this.#sets.get(key)
    if (set === undefined) {
      set = Xattrs.of(shown.reverse())
      if (!inline) this.#sets.set(key, set)
    }
    return { shown: set, metacopy, redirect }
  }

  /**
   * All of an inode in the order in which the kernel looks at them, taking the first of a name that it finds: its own,
   * then those of the shared table.
   *
   * @throws {@link ComposefsError} `ERR_EROFS_INVALID`.
   */
  list(inode: StoredInode): StoredXattr[] {
    const list: StoredXattr[] = []
    if (inode.xattrSize === 0) return list
    const { image, view, xattrOrigin } = this.#source
    const { nid } = inode
    const { references, entries, end } = this.#areaOf(inode)
    for (let at = entries; at < end; ) {
      list.push(this.#entry(at, end, nid))
      at += roundUp(xattrEntrySize + image[at]! + view.getUint16(at + 2, true), 4)
    }
    for (let at = references; at < entries; at += 4) {
      const sharedAt = xattrOrigin + 4 * view.getUint32(at, true)
      let xattr = this.#shared.get(sharedAt)
      if (xattr === undefined) {
        xattr = this.#entry(sharedAt, image.length, nid)
        this.#shared.set(sharedAt, xattr)
      }
      list.push(xattr)
    }
    return list
  }

  /** Where the references to the shared table begin, the inode's own entries, and where those end. */
  #areaOf({ nid, xattrAt, xattrSize }: StoredInode): { references: number; entries: number; end: number } {
    const end = xattrAt + xattrSize
    const references = xattrAt + xattrHeaderSize
    const entries = references + 4 * this.#source.image[xattrAt + 4]!
    if (entries > end) throw damaged('its references to shared xattrs do not fit', { nid, offset: xattrAt })
    return { references, entries, end }
  }

  #entry(at: number, limit: number, nid: number): StoredXattr {
    const { image, view } = this.#source
    if (at + xattrEntrySize > limit) throw damaged('an xattr lies outside its place', { nid, offset: at })
    const suffixAt = at + xattrEntrySize
    const valueAt = suffixAt + image[at]!
    const end = valueAt + view.getUint16(at + 2, true)
    const full = end > limit ? undefined : joinName(image[at + 1]!, image.toString('latin1', suffixAt, valueAt))
    const name = full && unescapeName(full)
    if (!full || full.includes('\0') || (name !== undefined && (name === '' || name.length > maxNameSize))) {
      throw damaged('an xattr has no possible name or size', { nid, offset: at })
    }
    const value = image.subarray(valueAt, end)
    return { full, value, shown: name === undefined ? undefined : [name, value] }
  }
}
