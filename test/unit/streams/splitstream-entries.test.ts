import { Readable } from 'node:stream'
import { describe, expect, test } from 'vitest'
import type { ErrorCode } from '../../../src/errors.ts'
import { readSplitstreamEntries, SplitstreamEntries } from '../../../src/streams/splitstream-entries.ts'
import { contentTypes } from '../../../src/streams/splitstream-format.ts'
import { parseSplitstream, SplitstreamReader } from '../../../src/streams/splitstream-reader.ts'
import { cut } from '../../support/chunks.ts'
import { failure, id, inline, odd, word } from '../../support/splitstream.ts'
import { endBlocks, entry, header, pax } from '../../support/tar.ts'

type Part = Buffer | 'object'

/** A layer of these parts: bytes of the tar, and what is an object of `sizes` bytes in its place. */
function layer(parts: readonly Part[], streamSize: number, pieces: readonly number[] = [1e9]): Buffer {
  const chunks = parts.flatMap((part) => (part === 'object' ? [word(0)] : cut(part, [...pieces]).map(inline)))
  const stream = Buffer.concat(chunks)
  return odd({ contentType: contentTypes.layer, objectRefs: [id(1)], stream, streamSize })
}

/** A file whose body is an object. */
const head = (size: number, name = 'f') => header({ name, size })
const paddingOf = (size: number) => Buffer.alloc((512 - (size % 512)) % 512)
const external = (size: number, name?: string): Part[] => [head(size, name), 'object', paddingOf(size)]
const blocks = (size: number) => 512 + Math.ceil(size / 512) * 512

function entriesOf(file: Buffer): string[] {
  return [...readSplitstreamEntries(file)].map(({ entry, content }) => {
    const stored = content.type === 'external' ? `${content.id.hex.slice(0, 2)} ${content.size}` : content.type
    return `${entry.path} ${entry.type} ${stored === 'inline' && content.type === 'inline' ? content.bytes : stored}`
  })
}

describe('readSplitstreamEntries', () => {
  test.each([[1e9], [512], [1], [7, 600]])('gives entries with their contents (pieces of %s)', (...pieces) => {
    const small = entry({ name: 'small' }, 'x'.repeat(64))
    const directory = entry({ name: 'dir/', type: '5' })
    const link = entry({ name: 'link', type: '2', linkName: 'small' })
    const empty = entry({ name: 'empty' })
    const parts = [small, ...external(65, 'large'), directory, link, ...external(1024, 'even'), empty, endBlocks]
    const size = 1024 + blocks(65) + 512 + 512 + blocks(1024) + 512 + 1024
    expect(entriesOf(layer(parts, size, pieces))).toEqual([
      `small file ${'x'.repeat(64)}`,
      'large file 01 65',
      'dir/ directory none',
      'link symlink none',
      'even file 01 1024',
      'empty file ',
    ])
  })

  test('the size may be that of a PAX header, and the path too', () => {
    const extended = pax({ size: '5000', path: 'y'.repeat(200) })
    const parts = [extended, head(0), 'object', paddingOf(5000), endBlocks] as const
    expect(entriesOf(layer(parts, extended.length + blocks(5000) + 1024))).toEqual([`${'y'.repeat(200)} file 01 5000`])
  })

  test('end blocks may be missing, and what follows them is passed over', () => {
    expect(entriesOf(layer(external(100), blocks(100)))).toEqual(['f file 01 100'])
    const rest = Buffer.alloc(3000, 'rest')
    expect(entriesOf(layer([...external(100), endBlocks, rest], blocks(100) + 1024 + 3000))).toEqual(['f file 01 100'])
    expect(entriesOf(layer([], 0))).toEqual([])
  })

  test('a directory by its name alone may have a body', () => {
    const old = header({ name: 'dir/', type: '\0', size: 100, magic: '\0'.repeat(8) })
    expect(entriesOf(layer([old, 'object', paddingOf(100), endBlocks], blocks(100) + 1024))).toEqual([
      'dir/ directory none',
    ])
  })

  test.each<[string, readonly Part[], number, ErrorCode]>([
    ['an object of 64 bytes', external(64), blocks(64), 'ERR_SPLITSTREAM_SMALL_EXTERNAL'],
    ['an object of 1 byte', external(1), blocks(1), 'ERR_SPLITSTREAM_SMALL_EXTERNAL'],
    ['an object for an empty file', [head(0), 'object'], 512, 'ERR_SPLITSTREAM_SMALL_EXTERNAL'],
    ['65 bytes inline', [entry({}, 'x'.repeat(65))], 1024, 'ERR_SPLITSTREAM_LARGE_INLINE'],
    ['a large file inline', [entry({}, 'x'.repeat(5000))], blocks(5000), 'ERR_SPLITSTREAM_LARGE_INLINE'],
    [
      'a file that is inline in part',
      [head(100), Buffer.alloc(10), 'object', paddingOf(100)],
      blocks(100),
      'ERR_SPLITSTREAM_LARGE_INLINE',
    ],
    ['an object at the start', ['object', ...external(100)], blocks(100), 'ERR_SPLITSTREAM_INVALID'],
    ['an object in a header', [head(100).subarray(0, 100), 'object'], 100, 'ERR_SPLITSTREAM_INVALID'],
    ['an object after an object', [...external(1024), 'object'], blocks(1024), 'ERR_SPLITSTREAM_INVALID'],
    ['an object in the padding', [head(100), 'object', 'object'], 612, 'ERR_SPLITSTREAM_INVALID'],
    ['an object for a directory', [header({ name: 'd/', type: '5' }), 'object'], 512, 'ERR_SPLITSTREAM_INVALID'],
    [
      'an object for a PAX header',
      [header({ name: 'pax', type: 'x', size: 100 }), 'object', paddingOf(100)],
      blocks(100),
      'ERR_SPLITSTREAM_INVALID',
    ],
    [
      'an object behind the end',
      [...external(100), endBlocks, 'object'],
      blocks(100) + 1024,
      'ERR_SPLITSTREAM_INVALID',
    ],
    ['padding that is missing', [head(100), 'object'], 612, 'ERR_TAR_TRUNCATED'],
    ['half a header', [Buffer.alloc(100, 'x')], 100, 'ERR_TAR_TRUNCATED'],
    ['fewer bytes than it says', [...external(100), endBlocks], blocks(100) + 1025, 'ERR_SPLITSTREAM_INVALID'],
    ['more bytes than it says', [...external(100), endBlocks], blocks(100) + 1023, 'ERR_SPLITSTREAM_INVALID'],
  ])('refuses %s', (_, parts, size, code) => {
    const error = failure(() => entriesOf(layer(parts, size)))
    expect(error).toMatchObject({ name: 'ComposefsError', code, hint: expect.any(String) })
  })

  test('a broken rule is told with the file and its size', () => {
    const small = failure(() =>
      entriesOf(layer([entry({ name: 'before' }), ...external(64, 'name')], 512 + blocks(64))),
    )
    expect(small).toMatchObject({ path: 'name', offset: 512, expected: 'more than 64 bytes', actual: 64 })
    const large = failure(() => entriesOf(layer([entry({ name: 'name' }, 'x'.repeat(65))], 1024)))
    expect(large).toMatchObject({ path: 'name', offset: 0, expected: 'at most 64 bytes', actual: 65 })
  })

  test('takes layers alone, unless told otherwise, and keeps the limits it is given', () => {
    const other = odd({ contentType: contentTypes.blob, stream: inline(endBlocks) })
    expect(failure(() => [...readSplitstreamEntries(other)])).toMatchObject({ code: 'ERR_SPLITSTREAM_CONTENT_TYPE' })
    expect([...readSplitstreamEntries(other, { contentType: contentTypes.blob })]).toEqual([])
    expect([...readSplitstreamEntries(parseSplitstream(other))]).toEqual([])
    const long = pax({ path: 'y'.repeat(2000) })
    const file = layer([long, ...external(100)], long.length + blocks(100))
    expect(entriesOf(file)).toHaveLength(1)
    const limited = failure(() => [...readSplitstreamEntries(file, { maxExtensionSize: 1000 })])
    expect(limited).toMatchObject({ code: 'ERR_TAR_EXTENSION_SIZE' })
    expect(failure(() => [...readSplitstreamEntries(file, { maxExtensionHeaders: -1 })])).toMatchObject({
      code: 'ERR_ARGUMENT',
    })
  })
})

describe('SplitstreamEntries', () => {
  const file = layer([entry({ name: 'small' }, 'few'), ...external(100), endBlocks], 1024 + blocks(100) + 1024)

  test('reads what SplitstreamReader gives', async () => {
    const entries = await Readable.from([file]).pipe(new SplitstreamReader()).pipe(new SplitstreamEntries()).toArray()
    expect(entries).toEqual([...readSplitstreamEntries(file)])
  })

  test('small contents are copies', () => {
    const mine = Buffer.from(file)
    const entries = [...readSplitstreamEntries(mine)]
    mine.fill(0xee)
    expect(entries).toEqual([...readSplitstreamEntries(file)])
  })

  test('knows the size where it is told', async () => {
    const streamSize = 1024 + blocks(100) + 1024
    const read = (streamSize: number) =>
      Readable.from(parseSplitstream(file).chunks()).pipe(new SplitstreamEntries({ streamSize })).toArray()
    expect(await read(streamSize)).toHaveLength(2)
    await expect(read(streamSize + 1)).rejects.toMatchObject({ code: 'ERR_SPLITSTREAM_INVALID', actual: streamSize })
  })
})
