/**
 * One 512-byte tar header, to and from fields.
 *
 * Sources: POSIX.1-2017 (pax, "ustar Interchange Format"), the GNU tar manual ("Basic Tar Format"), and for what
 * layers in the wild look like: spec tar-layer, sections 1 and 5.
 *
 * @packageDocumentation
 */
import { type ByteString, type BytesLike, bytesOf, fromLatin1, printable } from '../bytes.ts'
import { ComposefsError } from '../errors.ts'
import type { Seconds } from '../tree/stat.ts'
import { readNumber, readOctal, writeNumber } from './tar-number.ts'

/** Everything in a tar comes in blocks of this many bytes. */
export const blockSize = 512

/**
 * Which rules a header follows, told by its magic: `ustar\0`, whatever version follows (Maven, Ant and JRuby write
 * blanks or NULs there), or GNU's `ustar  \0`. Any other magic is V7: no name prefix, no device numbers, and no
 * extension types.
 */
export type TarFormat = 'ustar' | 'gnu' | 'v7'

/** The fields of one header, as they stand there. Owner names are not read: images hold numbers. */
export interface TarHeader {
  readonly format: TarFormat
  /** Up to 100 bytes; see {@link headerPath}. */
  readonly name: ByteString
  /** Up to 155 bytes, of star's own headers up to 131; ustar only, otherwise empty. */
  readonly prefix: ByteString
  /** The type flag as a byte: 0x30 is `0`. */
  readonly typeflag: number
  /** All bits of the field, which may hold more than permissions. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly size: number
  readonly mtime: Seconds
  /** Up to 100 bytes. */
  readonly linkName: ByteString
  /** Read for devices of ustar and GNU headers only, otherwise 0. */
  readonly deviceMajor: number
  readonly deviceMinor: number
  /**
   * Bytes of body that really follow. As {@link parseHeader} sees it that is `size`; TarDecoder corrects it where a PAX
   * record says otherwise, and where a link or directory states a size but has no body.
   */
  bodySize: number
}

/** Type flags of headers, as bytes. */
export const typeflags = {
  nul: 0,
  file: 0x30,
  hardlink: 0x31,
  symlink: 0x32,
  characterDevice: 0x33,
  blockDevice: 0x34,
  directory: 0x35,
  fifo: 0x36,
  contiguous: 0x37,
  gnuLongLink: 0x4b,
  gnuLongName: 0x4c,
  gnuSparse: 0x53,
  paxGlobal: 0x67,
  paxLocal: 0x78,
} as const

const none = fromLatin1('')

/**
 * Reads one header block. Checks its checksum (sum of unsigned bytes; sums of signed bytes, which some old writers
 * made, pass too).
 *
 * @param offset Where the block stands in the archive, for messages.
 * @throws {@link ComposefsError} `ERR_TAR_CHECKSUM`; `ERR_TAR_NUMBER` for a field that holds no number, a negative size
 * or id, a size above 2^53 - 1, an id above 2^32 - 1, a time outside of 64 bits.
 *
 * @example
 * ```ts
 * import { encodeHeader, headerPath, parseHeader } from 'composefs-streams/streams'
 *
 * const header = parseHeader(encodeHeader({ name: 'usr/', typeflag: 0x35, mode: 0o755 }))
 * headerPath(header) // 'usr/'
 * ```
 */
export function parseHeader(block: Buffer, offset = 0): TarHeader {
  if (!hasValidChecksum(block)) {
    throw new ComposefsError('ERR_TAR_CHECKSUM', 'a tar header does not match its checksum', {
      stage: 'TarDecoder',
      offset,
      expected: readOctal(block, 148, 156),
      actual: checksum(block),
      hint: 'the archive is damaged there, or was cut and joined; make or fetch it again',
    })
  }
  const format = formatOf(block)
  const name = readText(block, 0, 100)
  const typeflag = block[156]!
  const hasDevice = format !== 'v7' && (typeflag === typeflags.characterDevice || typeflag === typeflags.blockDevice)
  const number = (field: keyof typeof fieldLimits, start: number, end: number, max: number): number => {
    const value = readNumber(block, start, end)
    if (typeof value === 'number' && value >= 0 && value <= max) return value
    throw badNumber(block, field, start, end, name, offset)
  }
  const size = number('size', 124, 136, Number.MAX_SAFE_INTEGER)
  const mtime = readNumber(block, 136, 148)
  if (Number.isNaN(mtime) || (typeof mtime === 'bigint' && BigInt.asIntN(64, mtime) !== mtime)) {
    throw badNumber(block, 'mtime', 136, 148, name, offset)
  }
  return {
    format,
    name,
    prefix: format === 'ustar' && block[345] !== 0 ? readText(block, 345, prefixEnd(block)) : none,
    typeflag,
    mode: number('mode', 100, 108, Number.MAX_SAFE_INTEGER),
    uid: number('uid', 108, 116, 0xffffffff),
    gid: number('gid', 116, 124, 0xffffffff),
    size,
    mtime,
    linkName: block[157] === 0 ? none : readText(block, 157, 257),
    deviceMajor: hasDevice ? number('device major', 329, 337, 0xfff) : 0,
    deviceMinor: hasDevice ? number('device minor', 337, 345, 0xfffff) : 0,
    bodySize: size,
  }
}

/** Fields of a header, all but a name and a type with defaults of 0 or nothing. */
type Fields<Name> = { readonly name: Name; readonly typeflag: number } & Partial<
  Omit<{ readonly [key in keyof TarHeader]: TarHeader[key] extends ByteString ? Name : TarHeader[key] }, 'bodySize'>
>

/** What {@link encodeHeader} takes: names as UTF-8 text or as Buffers; what is left out is 0 or empty. */
export type HeaderFields = Fields<BytesLike>

/**
 * Writes one header block, checksum included; `ustar` unless `format` says otherwise. Numbers too large for octal text,
 * and negative ones, become base-256. The names of a {@link TarHeader} are byte strings: give `toBuffer` of them.
 *
 * @throws {@link ComposefsError} `ERR_ARGUMENT` where a name or a number does not fit into its field.
 */
export function encodeHeader(fields: HeaderFields): Buffer {
  const { name, prefix = '', linkName = '' } = fields
  return headerBlock({ ...fields, name: bytesOf(name), prefix: bytesOf(prefix), linkName: bytesOf(linkName) })
}

/** {@link encodeHeader} for names that are byte strings. */
export function headerBlock(fields: Fields<ByteString>): Buffer {
  const block = Buffer.alloc(blockSize)
  const { format = 'ustar' } = fields
  const text = (field: string, value: ByteString, start: number, end: number) => {
    if (value.length > end - start) throw tooLarge(field, value.length)
    block.write(value, start, 'latin1')
  }
  const number = (field: string, value: Seconds, start: number, end: number) => {
    if (!writeNumber(block, start, end, value)) throw tooLarge(field, value)
  }
  text('name', fields.name, 0, 100)
  number('mode', fields.mode ?? 0, 100, 108)
  number('uid', fields.uid ?? 0, 108, 116)
  number('gid', fields.gid ?? 0, 116, 124)
  number('size', fields.size ?? 0, 124, 136)
  number('mtime', fields.mtime ?? 0, 136, 148)
  block[156] = fields.typeflag
  text('linkName', fields.linkName ?? none, 157, 257)
  if (format !== 'v7') {
    block.write(format === 'ustar' ? 'ustar\x0000' : 'ustar  \0', 257, 'latin1')
    number('deviceMajor', fields.deviceMajor ?? 0, 329, 337)
    number('deviceMinor', fields.deviceMinor ?? 0, 337, 345)
  }
  if (format === 'ustar') text('prefix', fields.prefix ?? none, 345, 500)
  block.write(`${checksum(block).toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
  return block
}

/** The path that the header itself gives: prefix, a slash and name, or name alone. */
export function headerPath(header: TarHeader): ByteString {
  return header.prefix === '' ? header.name : fromLatin1(`${header.prefix}/${header.name}`)
}

/** What a header extends, if it is no entry: `x` the next entry, `L` and `K` its name and link target, `g` nothing. */
export function extensionOf(header: TarHeader): 'x' | 'L' | 'K' | 'g' | undefined {
  switch (header.typeflag) {
    case typeflags.paxGlobal:
      return 'g'
    case typeflags.paxLocal:
      return header.format === 'v7' ? undefined : 'x'
    case typeflags.gnuLongName:
      return header.format === 'v7' ? undefined : 'L'
    case typeflags.gnuLongLink:
      return header.format === 'v7' ? undefined : 'K'
  }
  return undefined
}

/** Whether the block could be a header: its checksum is right. */
export function hasValidChecksum(block: Buffer): boolean {
  const expected = readOctal(block, 148, 156)
  const unsigned = checksum(block)
  if (expected === unsigned) return true
  let negative = 0
  for (let i = 0; i < blockSize; i++) if (block[i]! >= 0x80 && (i < 148 || i >= 156)) negative++
  return expected === unsigned - 256 * negative
}

/** Whether all 512 bytes are zero. */
export function isZeroBlock(block: Buffer): boolean {
  return block[0] === 0 && block.equals(zeroBlock)
}

const zeroBlock = Buffer.alloc(blockSize)

/** Bytes between the end of a body and the next block. */
export function paddingOf(size: number): number {
  return (blockSize - (size % blockSize)) % blockSize
}

/** Sum of all bytes, the checksum field itself counted as eight blanks. */
function checksum(block: Buffer): number {
  let sum = 8 * 0x20
  // Four at a time: this is where the decoder spends its time, and it takes half as long.
  for (let i = 0; i < blockSize; i += 4) sum += block[i]! + block[i + 1]! + block[i + 2]! + block[i + 3]!
  for (let i = 148; i < 156; i++) sum -= block[i]!
  return sum
}

function formatOf(block: Buffer): TarFormat {
  // Byte by byte, since this is asked of every header, and a string would cost more than all the rest.
  if (block[257] !== 0x75 || block[258] !== 0x73 || block[259] !== 0x74 || block[260] !== 0x61 || block[261] !== 0x72) {
    return 'v7'
  }
  if (block[262] === 0) return 'ustar'
  return block[262] === 0x20 && block[263] === 0x20 && block[264] === 0 ? 'gnu' : 'v7'
}

/** star ends its header with `tar\0`, and puts two times where the last 24 bytes of the prefix would be. */
function prefixEnd(block: Buffer): number {
  return block[508] === 0x74 && block.toString('latin1', 508, 512) === 'tar\0' ? 476 : 500
}

function readText(block: Buffer, start: number, end: number): ByteString {
  let stop = start
  while (stop < end && block[stop] !== 0) stop++
  return fromLatin1(block.toString('latin1', start, stop))
}

const maxSeconds = 2n ** 63n - 1n
/** What a field may hold at most, and what to do where it holds more. */
const fieldLimits = {
  mode: { max: Number.MAX_SAFE_INTEGER, hint: undefined },
  uid: {
    max: 0xffffffff,
    hint: 'images hold owners of 32 bits; make the archive again with other owners (GNU tar: --owner-map, --owner)',
  },
  gid: {
    max: 0xffffffff,
    hint: 'images hold groups of 32 bits; make the archive again with other groups (GNU tar: --group-map, --group)',
  },
  size: { max: Number.MAX_SAFE_INTEGER, hint: undefined },
  mtime: {
    max: maxSeconds,
    hint: 'images hold times of 64 bits; make the archive again with other times (GNU tar: --mtime, --clamp-mtime)',
  },
  'device major': { max: 0xfff, hint: 'Linux has no such device; make the archive again without it' },
  'device minor': { max: 0xfffff, hint: 'Linux has no such device; make the archive again without it' },
} as const

/** A field that holds no number, or one that is out of range. */
function badNumber(
  block: Buffer,
  field: keyof typeof fieldLimits,
  start: number,
  end: number,
  name: ByteString,
  offset: number,
): ComposefsError {
  const value = readNumber(block, start, end)
  const { max, hint } = fieldLimits[field]
  const where = { stage: 'TarDecoder', path: printable(name), offset: offset + start }
  if (Number.isNaN(value)) {
    const text = printable(fromLatin1(block.toString('latin1', start, end)))
    return new ComposefsError('ERR_TAR_NUMBER', `the ${field} field of a tar header, "${text}", holds no number`, {
      ...where,
      hint: 'make the archive again with a tar program that writes the ustar, pax or gnu format',
    })
  }
  return new ComposefsError('ERR_TAR_NUMBER', `the ${field} of an entry is out of range`, {
    ...where,
    expected: `${field === 'mtime' ? -maxSeconds - 1n : 0} to ${max}`,
    actual: String(value),
    hint: hint ?? 'the archive is damaged there, or was written by a faulty program; make it again',
  })
}

function tooLarge(field: string, value: Seconds): Error {
  return new ComposefsError('ERR_ARGUMENT', `${field} does not fit into a tar header: ${value}`)
}
