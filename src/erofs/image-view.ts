import { ComposefsError } from '../errors.ts'
import type { Seconds } from '../tree/stat.ts'
import { damaged } from './damaged.ts'
import {
  blockSize,
  composefsHeaderVersion,
  composefsMagic,
  type ErofsVersion,
  erofsMagic,
  featureCompat,
  featureIncompat,
  flagAcl,
  header,
  inodesStart,
  superblock,
  superblockOffset,
} from './format.ts'
import { readSeconds } from './seconds.ts'

/**
 * An image whose headers are in order. Nothing else of it is: whoever reads on checks what it reads.
 *
 * @throws {@link ComposefsError} `ERR_EROFS_INVALID`, `ERR_EROFS_VERSION`.
 */
export class ImageView {
  readonly image: Buffer
  readonly view: DataView
  readonly version: ErofsVersion
  readonly rootNid: number
  readonly inodes: number
  /** The time of all compact inodes. */
  readonly buildTime: Seconds
  readonly buildTimeNsec: number
  /** Offset that references to shared xattrs count from. */
  readonly xattrOrigin: number

  constructor(image: Buffer) {
    if (image.length < inodesStart) throw damaged('it ends inside its headers', { offset: image.length })
    this.image = image
    this.view = new DataView(image.buffer, image.byteOffset, image.length)
    this.version = this.#composefsHeader()
    this.#features()

    const at = superblockOffset
    const blocks = this.view.getUint32(at + superblock.blocks, true)
    if (blocks * blockSize !== image.length) {
      throw new ComposefsError('ERR_EROFS_INVALID', 'the image does not have the size that it says', {
        offset: at + superblock.blocks,
        expected: blocks * blockSize,
        actual: image.length,
        hint: 'it was cut off, or something was appended to it; make or fetch it again',
      })
    }
    this.rootNid = this.view.getUint16(at + superblock.rootNid, true)
    this.inodes = this.view.getUint32(at + superblock.inodes, true)
    if (this.view.getUint32(at + superblock.inodes + 4, true) !== 0) {
      throw damaged('it cannot have so many inodes', { offset: at + superblock.inodes })
    }
    this.buildTime = readSeconds(this.view, at + superblock.buildTime)
    this.buildTimeNsec = this.view.getUint32(at + superblock.buildTimeNsec, true)
    this.xattrOrigin = this.view.getUint32(at + superblock.xattrBlock, true) * blockSize
    if (this.xattrOrigin >= image.length) {
      throw damaged('the shared xattrs lie behind its end', { offset: at + superblock.xattrBlock })
    }
  }

  #composefsHeader(): ErofsVersion {
    const { view } = this
    if (view.getUint32(header.magic, true) !== composefsMagic) {
      throw new ComposefsError('ERR_EROFS_INVALID', 'this is no composefs image', {
        offset: header.magic,
        hint: 'it does not begin with the magic number of one',
      })
    }
    const version = view.getUint32(header.composefsVersion, true)
    const flags = view.getUint32(header.flags, true)
    if (view.getUint32(header.headerVersion, true) !== composefsHeaderVersion || version > 2 || flags > flagAcl) {
      throw new ComposefsError('ERR_EROFS_VERSION', `the image has format version ${version}, flags ${flags}`, {
        offset: header.headerVersion,
        hint: 'versions 0, 1 and 2 can be read; a newer release may know this one',
      })
    }
    return version as ErofsVersion
  }

  #features(): void {
    const { view, image } = this
    const at = superblockOffset
    if (view.getUint32(at + superblock.magic, true) !== erofsMagic) {
      throw damaged('it has no EROFS superblock', { offset: at })
    }
    const known =
      (view.getUint32(at + superblock.featureCompat, true) & ~featureCompat) === 0 &&
      (view.getUint32(at + superblock.featureIncompat, true) & ~featureIncompat) === 0 &&
      image[at + superblock.blockBits] === Math.log2(blockSize) &&
      image[at + superblock.extensionSlots] === 0 &&
      view.getUint32(at + superblock.metaBlock, true) === 0 &&
      image.subarray(at + superblock.unused, inodesStart).every((byte) => byte === 0)
    if (!known) {
      throw new ComposefsError('ERR_EROFS_VERSION', 'the image uses features of EROFS that composefs does not', {
        offset: at,
        hint: 'compressed images and those of several devices cannot be read',
      })
    }
  }
}
