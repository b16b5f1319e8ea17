import { describe, expect, test } from 'vitest'
import { type ZstdFrameOptions, ZstdFrameWalker } from '../../../src/streams/zstd-frames.ts'
import { chunkings, cut } from '../../support/chunks.ts'
import { frameHeader, skippable, storedFrame, zstdBlock, zstdFixture } from '../../support/compressed.ts'

interface Found {
  readonly offset: number
  readonly end: number
  readonly bytes: Buffer
  readonly bound: number
}

function walk(chunks: Iterable<Buffer>, options?: ZstdFrameOptions): Found[] {
  const walker = new ZstdFrameWalker(options)
  const found: Found[] = []
  let parts: Buffer[] = []
  let bound = 0
  for (const chunk of chunks) {
    const copy = Buffer.from(chunk)
    for (const event of walker.push(copy)) {
      if (event.kind === 'frame') [parts, bound] = [[], 0]
      parts.push(Buffer.from(event.bytes))
      if (event.kind === 'blocks') {
        expect(event.bound).toBeGreaterThanOrEqual(bound)
        bound = event.bound
      }
      if (event.kind === 'end') {
        found.push({ offset: event.header.offset, end: event.offset, bytes: Buffer.concat(parts), bound })
      }
    }
    copy.fill(0xee)
  }
  walker.finish()
  return found
}

const stored = storedFrame(Buffer.from(Array.from({ length: 2500 }, (_, i) => i % 251)), {
  checksum: true,
  contentSize: true,
})
const runs = storedFrame(Buffer.alloc(5000, 7), { block: 1500 })
const { frame: compressed, plain } = zstdFixture('streamed')
const empty = storedFrame(Buffer.alloc(0))

test.each([
  ['frame, skippable, frame', [stored, skippable('abc'), compressed]],
  [
    'skippable frames before, between and after',
    [skippable('x', 15), stored, skippable(''), skippable('yy', 3), runs, skippable('z')],
  ],
  ['empty frames', [empty, empty, stored, empty]],
  ['skippable frames alone', [skippable(''), skippable('abc')]],
  ['nothing', []],
])('finds the frames of: %s', (_, parts) => {
  let at = 0
  const expected: { offset: number; end: number; bytes: Buffer }[] = []
  for (const part of parts) {
    const isFrame = part.readUInt32LE() === 0xfd2fb528
    if (isFrame) expected.push({ offset: at, end: at + part.length, bytes: part })
    at += part.length
  }
  for (const eachBlock of [false, true]) {
    for (const chunks of chunkings(Buffer.concat(parts))) {
      const found = walk(chunks, { eachBlock })
      expect(found.map(({ offset, end, bytes }) => ({ offset, end, bytes }))).toEqual(expected)
    }
  }
})

test('bounds the content from above', () => {
  expect(walk([stored, runs, compressed, empty]).map(({ bound }) => bound)).toEqual([2500, 5000, expect.any(Number), 0])
  expect(walk([compressed])[0]!.bound).toBeGreaterThanOrEqual(plain.length)
})

test('cuts the blocks apart if told to', () => {
  const walker = new ZstdFrameWalker({ eachBlock: true })
  const blocks = [...walker.push(stored)].filter((event) => event.kind === 'blocks')
  expect(blocks.map(({ bytes }) => bytes.length)).toEqual([1003, 1003, 503])
})

test('says truncated for every cut inside a frame, magic or skippable frame', () => {
  const bytes = Buffer.concat([stored, skippable('abc'), runs])
  const ends = [stored.length, stored.length + 11, bytes.length]
  for (let size = 1; size < bytes.length; size++) {
    if (ends.includes(size)) expect(walk([bytes.subarray(0, size)])).toHaveLength(1)
    else {
      expect(() => walk(cut(bytes.subarray(0, size), [100]))).toThrowError(
        expect.objectContaining({ code: 'ERR_COMPRESSION_TRUNCATED', offset: size }),
      )
    }
  }
})

describe('refuses', () => {
  const failure = (bytes: Buffer, options?: ZstdFrameOptions): unknown => {
    const seen: unknown[] = []
    for (const chunks of chunkings(bytes)) {
      try {
        walk(chunks, options)
        seen.push(undefined)
      } catch (error) {
        seen.push(error)
      }
    }
    for (const error of seen) expect(error).toEqual(seen[0])
    return seen[0]
  }
  const withDescriptor = (descriptor: number): Buffer => {
    const bytes = Buffer.concat([stored.subarray(0, 4), Buffer.from([descriptor]), Buffer.alloc(20, 1)])
    return bytes
  }

  test.each([['garbage'], ['g'], ['\0\0\0'], ['\x28\xb5\x2f\xfe'], ['\x4f\x2a\x4d\x18']])(
    '%j after a frame',
    (text) => {
      expect(failure(Buffer.concat([stored, Buffer.from(text, 'latin1')]))).toMatchObject({
        code: 'ERR_COMPRESSION_DATA',
        offset: stored.length,
      })
    },
  )

  test('a reserved bit of the header', () => {
    expect(failure(withDescriptor(8))).toMatchObject({ code: 'ERR_COMPRESSION_DATA', offset: 0 })
  })

  test('a dictionary, but not the number zero for none', () => {
    expect(failure(withDescriptor(1))).toMatchObject({ code: 'ERR_COMPRESSION_UNSUPPORTED', offset: 0 })
    const none = Buffer.concat([stored.subarray(0, 4), Buffer.from([1, 0, 0]), zstdBlock(0, true, Buffer.from('x'))])
    expect(walk([none])).toHaveLength(1)
  })

  test('a window above the limit, said by the window or by the content size', () => {
    const block = zstdBlock(0, true, Buffer.from('x'))
    const large = Buffer.concat([frameHeader({ window: [28, 0] }), block])
    expect(failure(large)).toMatchObject({ code: 'ERR_LIMIT', actual: 2 ** 28 })
    expect(walk([large], { maxWindow: 2 ** 28 })).toHaveLength(1)
    expect(walk([Buffer.concat([frameHeader({ window: [27, 0] }), block])])).toHaveLength(1)
    expect(failure(Buffer.concat([frameHeader({ window: [27, 1] }), block]))).toMatchObject({ actual: 2 ** 27 * 1.125 })
    const single = Buffer.from('28b52ffde0ffffffffffffffff', 'hex')
    expect(failure(Buffer.concat([single, block]))).toMatchObject({ code: 'ERR_LIMIT' })
  })

  test('a block of the reserved type, or larger than allowed', () => {
    const header = frameHeader({ window: [10, 0] })
    const error = { code: 'ERR_COMPRESSION_DATA', offset: header.length }
    expect(failure(Buffer.concat([header, zstdBlock(3, true, Buffer.from('x'))]))).toMatchObject(error)
    expect(failure(Buffer.concat([header, zstdBlock(0, true, Buffer.alloc(1025))]))).toMatchObject(error)
    expect(failure(Buffer.concat([header, zstdBlock(1, true, Buffer.alloc(1), 1025)]))).toMatchObject(error)
    expect(failure(Buffer.concat([header, zstdBlock(2, true, Buffer.alloc(1), 131_073)]))).toMatchObject(error)
    expect(walk([Buffer.concat([header, zstdBlock(0, true, Buffer.alloc(1024))])])).toHaveLength(1)
  })
})
