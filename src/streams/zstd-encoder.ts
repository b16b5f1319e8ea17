/**
 * Bytes to one zstd frame, compressed where a compressor is at hand.
 *
 * @packageDocumentation
 */
import { zstdBackend } from './zstd-backend.ts'
import { largestBlock } from './zstd-header.ts'

/** Zeros are looked for in steps of this many bytes, so that runs of twice as many are always found. */
const step = 1024
const zeros: Buffer = Buffer.alloc(largestBlock)
const rawBlock = 0
const runBlock = 1

/**
 * One frame at level 3, without a checksum: by Node's own zstd (22.15 and later) or by `zstd-napi`. Without either the
 * frame is valid too, but holds the bytes as they are, long runs of zeros aside.
 *
 * The same bytes give the same frame as long as the compressor stays the same.
 *
 * @example
 * ```ts
 * import { encodeZstd } from 'composefs-streams/streams'
 *
 * const frame = encodeZstd(Buffer.from('hello'))
 * ```
 */
export function encodeZstd(bytes: Buffer): Buffer {
  return zstdBackend().compress?.(bytes) ?? storeZstd(bytes)
}

/** One valid frame without compression (spec: RFC 8878, section 3.1.1): raw blocks, and a few bytes a run of zeros. */
export function storeZstd(bytes: Buffer): Buffer {
  // Single segment, content size in four bytes: the window is the content.
  const header = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0, 0, 0, 0])
  header.writeUInt32LE(bytes.length, 5)
  const parts: Buffer[] = [header]
  let last = header
  const block = (type: number, size: number, payload: Buffer): void => {
    last = Buffer.allocUnsafe(3)
    last.writeUIntLE((size << 3) | (type << 1), 0, 3)
    parts.push(last, payload)
  }
  if (bytes.length === 0) block(rawBlock, 0, bytes)
  for (let at = 0; at < bytes.length; ) {
    const limit = Math.min(at + largestBlock, bytes.length)
    const zerosEnd = endOfZeros(bytes, at, limit)
    if (zerosEnd - at >= step) {
      block(runBlock, zerosEnd - at, zeros.subarray(0, 1))
      at = zerosEnd
      continue
    }
    let end = Math.min(at + step, limit)
    while (end < limit && !isZero(bytes, end, Math.min(end + step, limit))) end = Math.min(end + step, limit)
    block(rawBlock, end - at, bytes.subarray(at, end))
    at = end
  }
  last[0]! |= 1
  return Buffer.concat(parts)
}

function isZero(bytes: Buffer, start: number, end: number): boolean {
  return bytes.compare(zeros, 0, end - start, start, end) === 0
}

/** Compares ever smaller parts, so that only native code looks at single bytes. */
function endOfZeros(bytes: Buffer, from: number, limit: number): number {
  let at = from
  for (let size = largestBlock; size > 0; size = Math.floor(size / 2)) {
    while (at + size <= limit && isZero(bytes, at, at + size)) at += size
  }
  return at
}
