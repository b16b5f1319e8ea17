/**
 * What input that is no tar might be, told by its first bytes.
 *
 * @packageDocumentation
 */

type Signature = readonly [what: string, bytes: string, offset?: number]

/** In the order in which they are tried. Offsets beyond the first block are tried where that many bytes are at hand. */
const signatures: readonly Signature[] = [
  ['a zip file', 'PK\x03\x04'],
  ['a zip file', 'PK\x05\x06'],
  ['a 7-Zip file', '7z\xbc\xaf\x27\x1c'],
  ['a RAR file', 'Rar!\x1a\x07'],
  ['a cabinet file', 'MSCF'],
  ['an RPM package', '\xed\xab\xee\xdb'],
  ['a Debian package or another ar archive', '!<arch>\n'],
  ['a cpio archive', '070701'],
  ['a cpio archive', '070702'],
  ['a cpio archive', '070707'],
  ['a xar archive', 'xar!'],
  ['data compressed with lz4, which is not supported', '\x04\x22\x4d\x18'],
  ['data compressed with lzip, which is not supported', 'LZIP'],
  ['data compressed with lzop, which is not supported', '\x89LZO'],
  ['data compressed with compress, which is not supported', '\x1f\x9d'],
  ['data compressed with lzma, which is not supported', '\x5d\0\0\x80\0'],
  ['data compressed with lzma, which is not supported', '\x5d\0\0\x40\0'],
  ['a squashfs image', 'hsqs'],
  ['a squashfs image', 'sqsh'],
  ['a cramfs image', '\x45\x3d\xcd\x28'],
  ['an XFS image', 'XFSB'],
  ['a qcow2 disk image', 'QFI\xfb'],
  ['a VMDK disk image', 'KDMV'],
  ['a VDI or VHD disk image', 'conectix'],
  ['a VHDX disk image', 'vhdxfile'],
  ['a SIF image (Singularity, Apptainer)', 'SIF_MAGIC', 32],
  ['a splitstream; read it with a SplitstreamReader', 'SplitStream'],
  ['a composefs image', '\xd0\x78\x62\x9a'],
  ['a program', '\x7fELF'],
  ['a program', 'MZ'],
  ['a WebAssembly module', '\0asm'],
  ['a PDF', '%PDF'],
  ['a git bundle', '# v2 git bundle'],
  ['a SQLite database', 'SQLite format 3\0'],
  ['an EROFS image', '\xe2\xe1\xf5\xe0', 0x400],
  ['an ext2, ext3 or ext4 image', '\x53\xef', 0x438],
  ['an ISO image', 'CD001', 0x8001],
  ['a Btrfs image', '_BHRfS_M', 0x10040],
  ['a disk image with partitions', 'EFI PART', 0x200],
  ['a disk image with partitions', '\x55\xaa', 0x1fe],
]

/** With this many bytes everything that can be told is told, but for Btrfs. */
export const tellingSize = 0x9000

const compressions: readonly Signature[] = [
  ['gzip', '\x1f\x8b'],
  ['zstd', '\x28\xb5\x2f\xfd'],
  ['xz', '\xfd7zXZ\0'],
  ['bzip2', 'BZh'],
]

/** What begins like this; undefined where nothing is known that does. */
export function describeStart(start: Buffer): string | undefined {
  const found = find(signatures, start)
  if (found !== undefined) return found
  const text = start.toString('latin1', 0, 512)
  if (/^(?:\xef\xbb\xbf)?\s*<(?:!doctype html|html|head|\?xml)/i.test(text)) {
    return 'a web page or XML: perhaps the error that a server answered with'
  }
  if (/^\s*\{\s*"errors"/.test(text)) return 'the error that a registry answered with'
  if (/^\s*\{.*"(?:schemaVersion|mediaType)"/s.test(text)) return 'the manifest of an image, without the image'
  if (/^\s*[{[]/.test(text)) return 'JSON'
  if (/^\/ [0-9]+ [0-7]+ /.test(text)) return 'a dumpfile'
  return undefined
}

/** The next step for someone whose input begins like this and is no tar. */
export function notTarHint(start: Buffer): string {
  const compression = find(compressions, start)
  if (compression !== undefined) {
    return `it is compressed with ${compression}; put a Decompressor before the TarDecoder`
  }
  const what = describeStart(start)
  if (what !== undefined) return `it is ${what}`
  return beginsWithText(start)
    ? 'it begins with text; did a program mix messages into its output? (skopeo: use copy -q)'
    : 'it is something else, or damaged from the first byte on'
}

/** Whether people can read its beginning. */
export function beginsWithText(start: Buffer): boolean {
  return /^[\t\n\r -~]{16}/.test(start.toString('latin1', 0, 16))
}

function find(list: readonly Signature[], start: Buffer): string | undefined {
  return list.find(([, bytes, offset = 0]) => start.toString('latin1', offset, offset + bytes.length) === bytes)?.[0]
}
