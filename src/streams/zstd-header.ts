/**
 * The header of a zstd frame.
 *
 * @packageDocumentation
 */
import { ComposefsError } from '../errors.ts'

/** Header of one frame (spec: RFC 8878, section 3.1.1.1). */
export interface ZstdFrameHeader {
  /** Where the frame begins in the stream. */
  readonly offset: number
  /** Memory that decoding needs, in bytes. */
  readonly windowSize: number
  /** Bytes of content, where the frame states it. Above 2^53 it is not exact, and cannot be right anyway. */
  readonly contentSize: number | undefined
  readonly hasChecksum: boolean
  /** The most bytes that one block may hold. */
  readonly maxBlock: number
}

/** Default of `maxWindow`. */
export const defaultMaxWindow: number = 128 * 1024 * 1024

/** The most bytes of content that a block can have in any frame. */
export const largestBlock: number = 128 * 1024

const stage = 'ZstdFrameWalker'

const contentSizeBytes = (descriptor: number): number => {
  const flag = descriptor >> 6
  return flag === 0 ? (descriptor >> 5) & 1 : 1 << flag
}
const dictionaryBytes = (descriptor: number): number => [0, 1, 2, 4][descriptor & 3]!
const isSingleSegment = (descriptor: number): boolean => (descriptor & 0x20) !== 0

/** Bytes of the whole header, magic included, told by its descriptor (the fifth byte). */
export function zstdHeaderSize(descriptor: number): number {
  return 5 + (isSingleSegment(descriptor) ? 0 : 1) + dictionaryBytes(descriptor) + contentSizeBytes(descriptor)
}

/**
 * Reads a whole header.
 *
 * @throws {@link ComposefsError} `ERR_COMPRESSION_DATA`, `ERR_COMPRESSION_UNSUPPORTED` where a dictionary is needed,
 * `ERR_LIMIT` for a window above `maxWindow`.
 */
export function parseZstdHeader(bytes: Buffer, offset: number, maxWindow: number): ZstdFrameHeader {
  const descriptor = bytes[4]!
  if ((descriptor & 8) !== 0) {
    throw new ComposefsError('ERR_COMPRESSION_DATA', 'a zstd frame header uses a reserved bit', { stage, offset })
  }
  const dictionaryAt = isSingleSegment(descriptor) ? 5 : 6
  const contentSizeAt = dictionaryAt + dictionaryBytes(descriptor)
  if (bytes.subarray(dictionaryAt, contentSizeAt).some((byte) => byte !== 0)) {
    throw new ComposefsError('ERR_COMPRESSION_UNSUPPORTED', 'a zstd frame needs a dictionary', {
      stage,
      offset,
      hint: 'compress it again without a dictionary',
    })
  }
  const contentSize = readContentSize(bytes.subarray(contentSizeAt))
  let windowSize = contentSize ?? 0
  if (!isSingleSegment(descriptor)) {
    const base = 2 ** (10 + (bytes[5]! >> 3))
    windowSize = base + (base / 8) * (bytes[5]! & 7)
  }
  if (windowSize > maxWindow) {
    throw new ComposefsError('ERR_LIMIT', 'a zstd frame needs too much memory to decode', {
      stage,
      offset,
      expected: `a window of at most ${maxWindow} bytes`,
      actual: windowSize,
      hint: 'raise maxWindow if the input can be trusted',
    })
  }
  const hasChecksum = (descriptor & 4) !== 0
  return { offset, windowSize, contentSize, hasChecksum, maxBlock: Math.min(windowSize, largestBlock) }
}

function readContentSize(bytes: Buffer): number | undefined {
  switch (bytes.length) {
    case 0:
      return undefined
    case 1:
      return bytes[0]!
    case 2:
      return bytes.readUInt16LE() + 256
    case 4:
      return bytes.readUInt32LE()
    default:
      return Number(bytes.readBigUInt64LE())
  }
}
