/**
 * Looks into images, written without the package's own reader so that the two cannot be wrong together.
 */
export interface Fields {
  readonly at: number
  readonly nid: number
  readonly extended: boolean
  /** 0 plain, 2 inline, 4 chunks. */
  readonly layout: number
  readonly mode: number
  readonly nlink: number
  readonly size: number
  readonly union: number
  readonly ino: number
  readonly uid: number
  readonly gid: number
  readonly mtime: bigint
  readonly mtimeNsec: number
  /** Offset of what stands behind the xattrs. */
  readonly tailAt: number
  readonly xattrs: { readonly name: string; readonly value: Buffer; readonly shared: boolean }[]
  readonly filter: number
  /** Type of the directory entry that led here; 2 for the root. */
  readonly direntType: number
}

const prefixes = [
  '',
  'user.',
  'system.posix_acl_access',
  'system.posix_acl_default',
  'trusted.',
  'lustre.',
  'security.',
]

export class ImageFields {
  readonly image: Buffer

  constructor(image: Buffer) {
    this.image = image
  }

  get version(): number {
    return this.image.readUInt32LE(12)
  }
  get flags(): number {
    return this.image.readUInt32LE(8)
  }
  get rootNid(): number {
    return this.image.readUInt16LE(1024 + 14)
  }
  get inodes(): number {
    return this.image.readUInt32LE(1024 + 16)
  }
  get buildTime(): bigint {
    return this.image.readBigInt64LE(1024 + 24)
  }
  get buildTimeNsec(): number {
    return this.image.readUInt32LE(1024 + 32)
  }
  get blocks(): number {
    return this.image.readUInt32LE(1024 + 36)
  }
  get xattrBlock(): number {
    return this.image.readUInt32LE(1024 + 44)
  }

  /** The inode at a path of plain names. */
  at(path: string): Fields {
    let fields = this.inode(this.rootNid, 2)
    for (const part of path.split('/').filter((name) => name !== '')) {
      const entry = this.entries(fields).find(({ name }) => name === part)
      if (entry === undefined) throw new Error(`no ${part} in ${path}`)
      fields = this.inode(entry.nid, entry.type)
    }
    return fields
  }

  /** The value of an xattr as it is stored, as text. */
  xattr(path: string, name: string): string | undefined {
    return this.at(path)
      .xattrs.find((xattr) => xattr.name === name)
      ?.value.toString('latin1')
  }

  entries({ union, size, layout, tailAt }: Fields): { name: string; nid: number; type: number }[] {
    const list: { name: string; nid: number; type: number }[] = []
    const tail = layout === 2 ? size % 4096 : 0
    const pieces: Buffer[] = []
    for (let at = 0; at < size - tail; at += 4096) {
      pieces.push(this.image.subarray(union * 4096 + at, union * 4096 + at + 4096))
    }
    if (tail > 0) pieces.push(this.image.subarray(tailAt, tailAt + tail))
    for (const piece of pieces) {
      const count = piece.readUInt16LE(8) / 12
      for (let i = 0; i < count; i++) {
        const from = piece.readUInt16LE(12 * i + 8)
        const to = i + 1 < count ? piece.readUInt16LE(12 * i + 20) : piece.length
        const name = piece.toString('latin1', from, to).replace(/\0+$/, '')
        list.push({ name, nid: Number(piece.readBigUInt64LE(12 * i)), type: piece[12 * i + 10]! })
      }
    }
    return list
  }

  inode(nid: number, direntType: number): Fields {
    const { image } = this
    const at = nid * 32
    const format = image.readUInt16LE(at)
    const extended = (format & 1) === 1
    const count = image.readUInt16LE(at + 2)
    const areaAt = at + (extended ? 64 : 32)
    const areaSize = count === 0 ? 0 : 12 + 4 * (count - 1)
    return {
      at,
      nid,
      extended,
      layout: format >> 1,
      mode: image.readUInt16LE(at + 4),
      nlink: extended ? image.readUInt32LE(at + 44) : image.readUInt16LE(at + 6),
      size: extended ? Number(image.readBigUInt64LE(at + 8)) : image.readUInt32LE(at + 8),
      union: image.readUInt32LE(at + 16),
      ino: image.readUInt32LE(at + 20),
      uid: extended ? image.readUInt32LE(at + 24) : image.readUInt16LE(at + 24),
      gid: extended ? image.readUInt32LE(at + 28) : image.readUInt16LE(at + 26),
      mtime: extended ? image.readBigInt64LE(at + 32) : this.buildTime,
      mtimeNsec: extended ? image.readUInt32LE(at + 40) : this.buildTimeNsec,
      tailAt: areaAt + areaSize,
      xattrs: areaSize === 0 ? [] : this.#xattrs(areaAt, areaAt + areaSize),
      filter: areaSize === 0 ? 0 : image.readUInt32LE(areaAt),
      direntType,
    }
  }

  #xattrs(at: number, end: number): Fields['xattrs'] {
    const list: Fields['xattrs'] = []
    const references = this.image[at + 4]!
    for (let i = 0; i < references; i++) {
      const entry = this.xattrBlock * 4096 + 4 * this.image.readUInt32LE(at + 12 + 4 * i)
      list.push({ ...this.#entry(entry), shared: true })
    }
    for (let entry = at + 12 + 4 * references; entry < end; ) {
      const xattr = this.#entry(entry)
      list.push({ name: xattr.name, value: xattr.value, shared: false })
      entry += Math.ceil(xattr.size / 4) * 4
    }
    return list
  }

  #entry(at: number): { name: string; value: Buffer; size: number } {
    const { image } = this
    const valueAt = at + 4 + image[at]!
    const end = valueAt + image.readUInt16LE(at + 2)
    const name = prefixes[image[at + 1]!] + image.toString('latin1', at + 4, valueAt)
    return { name, value: image.subarray(valueAt, end), size: end - at }
  }
}
