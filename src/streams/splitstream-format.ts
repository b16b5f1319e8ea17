/**
 * Header and info section of splitstream files (spec: splitstream, sections 1.1 to 1.3 and 1.9).
 *
 * @packageDocumentation
 */
import { ComposefsError } from '../errors.ts'
import { type Algorithm, algorithmNumber } from '../fsverity/object-id.ts'

/** What a splitstream holds: eight ASCII characters as a little-endian number. */
export const contentTypes = {
  /** `ocilayer`: the tar of a layer. */
  layer: 0x726579616c69636fn,
  /** `ociconfg`: the config JSON of an image. */
  config: 0x67666e6f6369636fn,
  /** `ocimanif`: the manifest JSON of an image. */
  manifest: 0x66696e616d69636fn,
  /** `oci_blob`: anything else, such as a layer of an artifact. */
  blob: 0x626f6c625f69636fn,
} as const

/** A splitstream as it is stored: a Buffer, or something that reads only what it is asked for. */
export type SplitstreamFile = Pick<Buffer, 'length'> & { subarray(start: number, end: number): Buffer }

/** Bytes `start` to `end` (exclusive) of the file. */
export interface Range {
  readonly start: number
  readonly end: number
}

/** What header and info section say. */
export interface SplitstreamInfo {
  readonly algorithm: Algorithm
  /** One of {@link contentTypes}, or any other number. */
  readonly contentType: bigint
  /** Bytes of the reassembled file. */
  readonly streamSize: number
  readonly streamRefs: Range
  readonly objectRefs: Range
  readonly namedRefs: Range
  readonly stream: Range
}

/** Bytes of the sections that {@link encodeSplitstreamInfo} puts one behind the other. */
export interface SectionSizes {
  readonly streamRefs: number
  readonly objectRefs: number
  readonly namedRefs: number
  readonly stream: number
}

/** What a reader can be told to insist on. */
export interface SplitstreamExpectations {
  /** Hash of the repository. Default: any. */
  readonly algorithm?: Algorithm
  /** Kind of content. Default: any. */
  readonly contentType?: bigint
}

const magic = 'SplitStream'
const headerSize = 32
const infoSize = 80
const logBlockSize = 12
const stage = 'SplitstreamReader'

/** Header and info, 112 bytes; the sections follow directly, in the order of {@link SectionSizes}. */
export function encodeSplitstreamInfo(
  info: Pick<SplitstreamInfo, 'algorithm' | 'contentType' | 'streamSize'>,
  sizes: SectionSizes,
): Buffer {
  const bytes = Buffer.alloc(headerSize + infoSize)
  bytes.write(magic, 'latin1')
  bytes[14] = algorithmNumber[info.algorithm]
  bytes[15] = logBlockSize
  writeRange(bytes, 16, headerSize, infoSize)
  const objectRefs = bytes.length + sizes.streamRefs
  const namedRefs = objectRefs + sizes.objectRefs
  writeRange(bytes, 32, bytes.length, sizes.streamRefs)
  writeRange(bytes, 48, objectRefs, sizes.objectRefs)
  // In the info the stream comes before the names, in the file behind them.
  writeRange(bytes, 64, namedRefs + sizes.namedRefs, sizes.stream)
  writeRange(bytes, 80, namedRefs, sizes.namedRefs)
  bytes.writeBigUInt64LE(info.contentType, 96)
  bytes.writeBigUInt64LE(BigInt(info.streamSize), 104)
  return bytes
}

/**
 * Reads header and info of a whole file, also with the header as it was written before March 2026.
 *
 * @throws {@link ComposefsError} `ERR_SPLITSTREAM_INVALID`, `ERR_SPLITSTREAM_OLD`, `ERR_SPLITSTREAM_ALGORITHM`,
 * `ERR_SPLITSTREAM_CONTENT_TYPE`.
 */
export function parseSplitstreamInfo(file: SplitstreamFile, expected: SplitstreamExpectations = {}): SplitstreamInfo {
  const { algorithm, range } = parseHeader(
    file.subarray(0, Math.min(headerSize, file.length)),
    file.length,
    expected.algorithm,
  )
  if (range.end - range.start < infoSize) {
    throw invalidSplitstream('the info section of a splitstream is too short', range.start, {
      expected: `at least ${infoSize} bytes`,
      actual: range.end - range.start,
    })
  }
  const info = file.subarray(range.start, range.start + infoSize)
  const contentType = info.readBigUInt64LE(64)
  if (expected.contentType !== undefined && expected.contentType !== contentType) {
    throw new ComposefsError('ERR_SPLITSTREAM_CONTENT_TYPE', 'the splitstream holds another kind of content', {
      stage,
      expected: describeContentType(expected.contentType),
      actual: describeContentType(contentType),
      hint: 'the name that led here belongs to another stream',
    })
  }
  const rangeAt = (at: number): Range => readRange(info, at, range.start + at, file.length)
  const streamSize = info.readBigUInt64LE(72)
  if (streamSize > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw invalidSplitstream('a splitstream states an impossible size', range.start + 72, { actual: `${streamSize}` })
  }
  return {
    algorithm,
    contentType,
    streamSize: Number(streamSize),
    streamRefs: rangeAt(0),
    objectRefs: rangeAt(16),
    stream: rangeAt(32),
    namedRefs: rangeAt(48),
  }
}

/** `ERR_SPLITSTREAM_INVALID` at a byte of the file. */
export function invalidSplitstream(
  what: string,
  offset: number,
  details: { expected?: string | number; actual?: string | number; cause?: unknown } = {},
): ComposefsError {
  return new ComposefsError('ERR_SPLITSTREAM_INVALID', what, {
    stage,
    offset,
    ...details,
    hint: 'import or pull again what it belongs to: then it is replaced',
  })
}

function parseHeader(
  file: Buffer,
  fileSize: number,
  expected: Algorithm | undefined,
): { algorithm: Algorithm; range: Range } {
  const isOld = !hasMagic(file, 0) && hasMagic(file, 18)
  if (!isOld && !hasMagic(file, 0)) throw noMagic(file)
  if (file.length < headerSize) {
    throw invalidSplitstream('a splitstream ends inside of its header', file.length, { expected: headerSize })
  }
  const at = isOld
    ? { version: 29, algorithm: 30, blockSize: 31, info: 0 }
    : { version: 11, algorithm: 14, blockSize: 15, info: 16 }
  if (file[at.version] !== 0) {
    throw invalidSplitstream('a splitstream has an unknown version', at.version, {
      expected: 0,
      actual: file[at.version]!,
    })
  }
  const algorithm = file[at.algorithm] === 1 ? 'sha256' : file[at.algorithm] === 2 ? 'sha512' : undefined
  if (algorithm === undefined) {
    throw invalidSplitstream('a splitstream uses an unknown hash', at.algorithm, {
      expected: '1 or 2',
      actual: file[at.algorithm]!,
    })
  }
  if (expected !== undefined && expected !== algorithm) {
    throw new ComposefsError('ERR_SPLITSTREAM_ALGORITHM', 'the splitstream uses another hash', {
      stage,
      expected,
      actual: algorithm,
      hint: 'it belongs to another repository; import it again here',
    })
  }
  if (file[at.blockSize] !== logBlockSize) {
    throw invalidSplitstream('a splitstream uses an unknown block size', at.blockSize, {
      expected: logBlockSize,
      actual: file[at.blockSize]!,
    })
  }
  return { algorithm, range: readRange(file, at.info, at.info, fileSize) }
}

function hasMagic(file: Buffer, at: number): boolean {
  return file.toString('latin1', at, at + magic.length) === magic
}

function noMagic(file: Buffer): ComposefsError {
  if (file.length >= 4 && file.readUInt32LE() === 0xfd2fb528) {
    return new ComposefsError('ERR_SPLITSTREAM_OLD', 'the splitstream was written in the format of 2024', {
      stage,
      offset: 0,
      hint: 'import the image again; nothing converts these',
    })
  }
  return invalidSplitstream(
    file.length < headerSize ? 'these bytes are too few for a splitstream' : 'these bytes are no splitstream',
    0,
  )
}

/** Reads a range and checks it, so that a view of it has the right size. `offset` is where it stands in the file. */
function readRange(bytes: Buffer, at: number, offset: number, fileSize: number): Range {
  const start = bytes.readBigUInt64LE(at)
  const end = bytes.readBigUInt64LE(at + 8)
  if (end < start || end > BigInt(fileSize)) {
    throw invalidSplitstream(
      end < start
        ? 'a section of a splitstream ends before it begins'
        : 'a section of a splitstream ends behind the file',
      offset,
      { expected: `0 to ${fileSize}`, actual: `${start} to ${end}` },
    )
  }
  return { start: Number(start), end: Number(end) }
}

function writeRange(bytes: Buffer, at: number, start: number, size: number): void {
  bytes.writeBigUInt64LE(BigInt(start), at)
  bytes.writeBigUInt64LE(BigInt(start + size), at + 8)
}

function describeContentType(value: bigint): string {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(value)
  const text = bytes.toString('latin1')
  return /^[!-~]+$/.test(text) ? text : `0x${value.toString(16)}`
}
