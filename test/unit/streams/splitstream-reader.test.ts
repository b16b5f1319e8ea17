import { Readable } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { contentTypes } from '../../../src/streams/splitstream-format.ts'
import {
  parseSplitstream,
  SplitstreamReader,
  SplitstreamReaderMachine,
} from '../../../src/streams/splitstream-reader.ts'
import { encodeZstd } from '../../../src/streams/zstd-encoder.ts'
import { cut } from '../../support/chunks.ts'
import { chunkTexts, failure, id, inline, odd, rawFrame, word } from '../../support/splitstream.ts'

const ids = [id(1), id(2), id(3)]
const stream = Buffer.concat([inline('one'), word(1), inline('two'), inline('three'), word(0), word(0)])
const texts = ['one', id(2).hex, 'twothree', id(1).hex, id(1).hex]

describe('parseSplitstream', () => {
  test.each([
    ['as it is written', {}],
    ['with the old header', { oldHeader: true }],
    ['with its sections anywhere', { scattered: true }],
  ])('reads a file %s', (_, how) => {
    const file = odd({
      contentType: contentTypes.blob,
      streamRefs: [id(4), id(5)],
      objectRefs: ids,
      names: '1:b\x000:a\0',
      stream,
      streamSize: 11,
      ...how,
    })
    const read = parseSplitstream(file)
    expect(read).toMatchObject({ algorithm: 'sha256', contentType: contentTypes.blob, streamSize: 11 })
    expect(read.streamRefs).toEqual([id(4), id(5)])
    expect(read.objectRefs).toEqual(ids)
    expect([...read.namedRefs]).toEqual([
      ['b', id(5)],
      ['a', id(4)],
    ])
    expect(chunkTexts(read.chunks())).toEqual(texts)
    expect(chunkTexts(read.chunks())).toEqual(texts)
  })

  test('reads ids of sha512', () => {
    const refs = [id(1, 'sha512'), id(2, 'sha512')]
    const file = odd({ algorithm: 'sha512', objectRefs: refs, streamRefs: refs, names: '1:x\0', stream: word(1) })
    const read = parseSplitstream(file, { algorithm: 'sha512' })
    expect([...read.namedRefs]).toEqual([['x', refs[1]]])
    expect(chunkTexts(read.chunks())).toEqual([refs[1]!.hex])
  })

  test('of a name that comes twice the last one wins, and a name may hold anything but NUL', () => {
    const names = Buffer.from('0:x\x001:x\x00+1:ü:2\x000:\0')
    const { namedRefs } = parseSplitstream(odd({ streamRefs: [id(1), id(2)], names }))
    expect([...namedRefs]).toEqual([
      ['x', id(2)],
      ['ü:2', id(2)],
      ['', id(1)],
    ])
  })

  test.each([1, 3, 7, 8, 9, 11, 12, 20])('frames may end anywhere, in counts and in bytes (every %i bytes)', (size) => {
    const packedStream = Buffer.concat(cut(stream, [size]).map(rawFrame))
    const file = odd({ objectRefs: ids, stream, packedStream, streamSize: 11 })
    expect(chunkTexts(parseSplitstream(file).chunks())).toEqual(texts)
  })

  test('frames may be compressed, empty, or there to be skipped', () => {
    const skippable = Buffer.concat([Buffer.from('502a4d1804000000', 'hex'), Buffer.from('skip')])
    const packedStream = Buffer.concat([skippable, rawFrame(Buffer.alloc(0)), encodeZstd(stream), skippable])
    const file = odd({ objectRefs: ids, packedStream, streamSize: 11 })
    expect(chunkTexts(parseSplitstream(file).chunks())).toEqual(texts)
  })

  test.each<[string, Parameters<typeof odd>[0], string]>([
    ['half an id of an object', { packedStream: rawFrame(stream) }, 'an array of object ids does not hold whole ids'],
    ['names that end early', { streamRefs: ids, names: '0:a\x001:b' }, 'the names of a splitstream are cut off'],
    ['names that are no UTF-8', { streamRefs: ids, names: '0:\xff\0' }, 'the names of a splitstream are not UTF-8'],
    ...['3:a', 'a', ':a', '-1:a', ' 1:a', '1e0:a', '0x1:a', '99999999999999999999:a'].map(
      (name): [string, Parameters<typeof odd>[0], string] => [
        `the name ${name}`,
        { streamRefs: ids, names: `${name}\0` },
        'a named reference of a splitstream leads nowhere',
      ],
    ),
    ['names without a frame', { packedNames: Buffer.alloc(0) }, 'a compressed section of a splitstream is empty'],
    [
      'damaged names',
      { packedNames: Buffer.from('28b52ffd00', 'hex') },
      'a compressed section of a splitstream is damaged',
    ],
  ])('refuses %s at once', (what, fields, message) => {
    const file = odd({ objectRefs: ids, ...fields })
    // Takes a byte from the ids of the objects.
    if (what.startsWith('half')) file.writeBigUInt64LE(file.readBigUInt64LE(56) - 1n, 56)
    expect(failure(() => parseSplitstream(file))).toMatchObject({
      code: 'ERR_SPLITSTREAM_INVALID',
      message: expect.stringContaining(message),
      hint: expect.any(String),
    })
  })

  test.each<[string, Parameters<typeof odd>[0], string]>([
    ['an index that there is no object for', { stream: word(3) }, 'refers to an object that it does not list'],
    ['the largest index', { stream: word(2n ** 63n - 1n) }, 'refers to an object that it does not list'],
    [
      'more inline bytes than there are in all',
      { stream: inline('four'), streamSize: 3 },
      'more inline bytes than it says',
    ],
    [
      'more of them in several chunks',
      { stream: Buffer.concat([inline('ab'), word(0), inline('cd')]), streamSize: 3 },
      'more inline bytes than it says',
    ],
    ['the largest count', { stream: word(-(2n ** 63n)), streamSize: 2n ** 53n - 1n }, 'more inline bytes than it says'],
    ['half a count', { stream: word(0).subarray(0, 5), streamSize: 0 }, 'cut off'],
    ['half a chunk', { stream: inline('four').subarray(0, 10), streamSize: 4 }, 'cut off'],
    ['a count whose bytes are missing', { stream: word(-4), streamSize: 4 }, 'cut off'],
    ['no frame', { packedStream: Buffer.alloc(0), streamSize: 0 }, 'is empty'],
    ['half a frame', { packedStream: rawFrame(stream).subarray(0, -1), streamSize: 11 }, 'is damaged'],
    ['no frame, but bytes', { packedStream: Buffer.alloc(20, 1), streamSize: 11 }, 'is damaged'],
    [
      'bytes behind the frame',
      { packedStream: Buffer.concat([rawFrame(stream), word(1)]), streamSize: 11 },
      'is damaged',
    ],
  ])('refuses %s when its chunks are asked for', (_, fields, message) => {
    const read = parseSplitstream(odd({ objectRefs: ids, ...fields }))
    expect(failure(() => [...read.chunks()])).toMatchObject({
      code: 'ERR_SPLITSTREAM_INVALID',
      message: expect.stringContaining(message),
      hint: expect.any(String),
    })
  })

  test('names are bounded, before they are put together', () => {
    const names = `0:${'x'.repeat(1000)}\0`
    const file = odd({ streamRefs: ids, names })
    expect(parseSplitstream(file, { maxNames: names.length }).namedRefs.size).toBe(1)
    const error = failure(() => parseSplitstream(file, { maxNames: names.length - 1 }))
    expect(error).toMatchObject({ code: 'ERR_LIMIT', hint: expect.stringContaining('maxNames') })
    const bomb = odd({ streamRefs: ids, packedNames: encodeZstd(Buffer.alloc(17 * 1024 * 1024)) })
    expect(failure(() => parseSplitstream(bomb))).toMatchObject({ code: 'ERR_LIMIT' })
  })
})

describe('SplitstreamReader', () => {
  const file = odd({ objectRefs: ids, stream })

  test.each([1, 31, 112, 1000])(
    'reads a file that comes in pieces of %i bytes, and keeps no view of them',
    async (size) => {
      const reader = new SplitstreamReader()
      const reading = reader.toArray()
      for (const piece of cut(Buffer.from(file), [size])) {
        reader.write(piece)
        piece.fill(0xee)
      }
      reader.end()
      expect(chunkTexts(await reading)).toEqual(texts)
    },
  )

  test('hands out its chunks no faster than they are taken', async () => {
    const many = odd({
      objectRefs: ids,
      stream: Buffer.concat(Array.from({ length: 10_000 }, () => word(1))),
      streamSize: 0,
    })
    const reader = Readable.from([many]).pipe(new SplitstreamReader())
    let count = 0
    for await (const _ of reader) {
      expect(reader.readableLength).toBeLessThanOrEqual(reader.readableHighWaterMark)
      count++
    }
    expect(count).toBe(10_000)
  })

  test('fails with what is wrong about the file, after the chunks before it', async () => {
    const broken = odd({ objectRefs: ids, stream: Buffer.concat([word(1), word(7)]), streamSize: 0 })
    const reader = Readable.from([broken]).pipe(new SplitstreamReader())
    const read: unknown[] = []
    const reading = (async () => {
      for await (const chunk of reader) read.push(chunk)
    })()
    await expect(reading).rejects.toMatchObject({ code: 'ERR_SPLITSTREAM_INVALID' })
    const none = Readable.from([Buffer.alloc(0)]).pipe(new SplitstreamReader())
    await expect(none.toArray()).rejects.toMatchObject({ code: 'ERR_SPLITSTREAM_INVALID' })
  })

  test('takes no larger file than allowed', () => {
    const machine = new SplitstreamReaderMachine({ maxFileSize: file.length })
    machine.push(file)
    expect(chunkTexts(machine.chunks())).toEqual(texts)
    const small = new SplitstreamReaderMachine({ maxFileSize: file.length - 1 })
    small.push(file.subarray(0, 100))
    const error = failure(() => small.push(file.subarray(100)))
    expect(error).toMatchObject({ code: 'ERR_LIMIT', hint: expect.stringContaining('maxFileSize') })
  })
})
