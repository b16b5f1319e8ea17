import { Readable } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { bytesOf, fromLatin1 } from '../../../src/bytes.ts'
import { ObjectId } from '../../../src/fsverity/object-id.ts'
import { readDumpfile } from '../../../src/streams/dumpfile-reader.ts'
import {
  DumpfileWriter,
  DumpfileWriterMachine,
  dumpfileLine,
  dumpfileText,
  homeItems,
} from '../../../src/streams/dumpfile-writer.ts'
import type { Content, Entry, StoredRecord } from '../../../src/streams/records.ts'
import { FileSystem } from '../../../src/tree/filesystem.ts'
import { Directory, Leaf, type LeafContent } from '../../../src/tree/inode.ts'
import { defaultDirectoryStat, type Stat } from '../../../src/tree/stat.ts'
import { Xattrs } from '../../../src/tree/xattrs.ts'

const hex = '1e2eaa4202d750a41174ee454970b92c1bc2f925b1e35076d8c7d5f56362ba64'
const object = `${hex.slice(0, 2)}/${hex.slice(2)}`
const id = ObjectId.fromHex(hex)
const stat: Stat = { ...defaultDirectoryStat, mode: 0o644 }

/** The fields after the time of the only file of a tree, and its size. */
function fields(content: LeafContent): string {
  const fileSystem = new FileSystem(defaultDirectoryStat)
  fileSystem.insert('/f', new Leaf(stat, content))
  const line = dumpfileText(fileSystem).toString('latin1').split('\n')[1]!.split(' ')
  return [line[1], line[2], line[6], ...line.slice(8)].join(' ')
}

describe('lines of a tree', () => {
  test.each<[LeafContent, string]>([
    [{ type: 'inline', bytes: Buffer.alloc(0) }, '0 100644 0 - - -'],
    [{ type: 'inline', bytes: Buffer.from('-') }, '1 100644 0 - \\x2d -'],
    [{ type: 'inline', bytes: Buffer.from('a =\0\xff', 'latin1') }, '5 100644 0 - a\\x20=\\x00\\xff -'],
    [{ type: 'external', size: 9, id }, `9 100644 0 ${object} - ${hex}`],
    [{ type: 'external', size: 9, id, path: null }, `9 100644 0 - - ${hex}`],
    [{ type: 'external', size: 9, id, path: fromLatin1('a b') }, `9 100644 0 a\\x20b - ${hex}`],
    [{ type: 'external', size: 9, id: undefined, path: fromLatin1('-') }, '9 100644 0 \\x2d - -'],
    [{ type: 'external', size: 9, id: undefined }, '9 100644 0 - - -'],
    [{ type: 'symlink', target: fromLatin1('../a=b') }, '6 120644 0 ../a=b - -'],
    [{ type: 'character-device', rdev: 259 }, '0 20644 259 - - -'],
    [{ type: 'block-device', rdev: 4294967295, size: 7 }, '7 60644 4294967295 - - -'],
    [{ type: 'fifo' }, '0 10644 0 - - -'],
    [{ type: 'socket', size: 3 }, '3 140644 0 - - -'],
  ])('%j', (content, expected) => expect(fields(content)).toBe(expected))

  test('sha512 has its own object path', () => {
    const long = ObjectId.fromHex(hex + hex)
    expect(fields({ type: 'external', size: 9, id: long })).toBe(`9 100644 0 ${object}${hex} - ${hex}${hex}`)
  })

  test('metadata, xattrs, and modes of 12 bits', () => {
    const xattrs = Xattrs.of([
      [bytesOf('user.b=c'), Buffer.from('x=y \n')],
      [bytesOf('user.a'), Buffer.alloc(0)],
      [bytesOf('user.dash'), Buffer.from('-')],
    ])
    const root = new Directory({ mode: 0o41777, uid: 1, gid: 2, mtime: -10, mtimeNsec: 50, xattrs })
    expect(dumpfileText(new FileSystem(root)).toString('latin1')).toBe(
      '/ 0 41777 2 1 2 0 -10.50 - - - user.a= user.b\\x3dc=x\\x3dy\\x20\\n user.dash=-\n',
    )
  })

  test('times beyond exact numbers', () => {
    const root = new Directory({ ...stat, mtime: -9223372036854775808n })
    expect(dumpfileText(new FileSystem(root)).toString()).toContain(' -9223372036854775808.0 ')
  })

  test('depth first, in the order of the bytes, with link counts', () => {
    const fileSystem = new FileSystem(defaultDirectoryStat)
    for (const path of ['/b', '/b/c', '/a', '/\xff', '/a.b'])
      fileSystem.insert(path, new Directory(defaultDirectoryStat))
    const leaf = new Leaf(stat, { type: 'fifo' })
    fileSystem.insert('/b/c/\xe9 ', leaf)
    fileSystem.insert('/b/x', leaf)
    const lines = dumpfileText(fileSystem).toString('latin1').split('\n')
    expect(lines.map((line) => line.split(' ').slice(0, 4).join(' '))).toEqual([
      '/ 0 40755 6',
      '/a 0 40755 2',
      '/a.b 0 40755 2',
      '/b 0 40755 3',
      '/b/c 0 40755 2',
      '/b/c/\\xc3\\xa9\\x20 0 10644 2',
      '/b/x 0 @120000 -',
      '/\\xc3\\xbf 0 40755 2',
      '',
    ])
    expect(lines[6]).toBe('/b/x 0 @120000 - - - - 0.0 /b/c/\\xc3\\xa9\\x20 - -')
  })

  test('a single line has no newline', () => {
    const [item] = new FileSystem(defaultDirectoryStat).walk()
    expect(dumpfileLine(item!)).toBe('/ 0 40755 2 0 0 0 0.0 - - -')
  })
})

describe('hardlinks whose own name is not the first', () => {
  const text = `/ 0 40755 3 0 0 0 0.0 - - -
/a 0 @120000 - - - - 0.0 /d/own - -
/d 0 40755 2 0 0 0 0.0 - - -
/d/a 0 @120000 - - - - 0.0 /d/own - -
/d/own 0 10644 9 0 0 0 0.0 - - -
/d/z 0 @120000 - - - - 0.0 /d/own - -
/e 0 10644 2 0 0 0 0.0 - - -
/f 0 @120000 - - - - 0.0 /e - -
/g 0 10644 1 0 0 0 0.0 - - -
`
  const fileSystem = readDumpfile(Buffer.from(text))

  test('keep it', () => expect(dumpfileText(fileSystem).toString()).toBe(text))

  test('or lose it', () => {
    const lines = dumpfileText(fileSystem, { firstNames: true }).toString().split('\n')
    expect(lines.slice(1, 5)).toEqual([
      '/a 0 10644 9 0 0 0 0.0 - - -',
      '/d 0 40755 2 0 0 0 0.0 - - -',
      '/d/a 0 @120000 - - - - 0.0 /a - -',
      '/d/own 0 @120000 - - - - 0.0 /a - -',
    ])
  })

  test('a home that holds something else by now does not count', () => {
    const changed = readDumpfile(Buffer.from(text))
    changed.insert('/d/own', new Leaf(stat, { type: 'socket' }))
    expect([...homeItems(changed)]).toEqual([...changed.walk()])
    expect(dumpfileText(changed).toString()).toContain('/a 0 10644 9 0')
  })
})

describe('entries of a layer', () => {
  const entry: Entry = {
    ...{ path: fromLatin1('usr/x'), type: 'file', typeflag: 48, mode: 0o644, uid: 1, gid: 2, mtime: 3, mtimeNsec: 4 },
    ...{ size: 0, rdev: 0, linkTarget: fromLatin1(''), xattrs: Xattrs.empty, offset: 0 },
  } as const
  const none: Content = { type: 'none' }
  const line = (change: Partial<Entry>, content: Content = none) =>
    dumpfileLine({ kind: 'entry', entry: { ...entry, ...change }, content })

  test.each<[string, Partial<Entry>, Content]>([
    ['/usr/x 3 100644 1 1 2 0 3.4 - abc -', {}, { type: 'inline', bytes: Buffer.from('abc') }],
    [`/usr/x 70 100644 1 1 2 0 3.4 ${object} - ${hex}`, {}, { type: 'external', id, size: 70 }],
    ['/usr/x 0 42755 1 1 2 0 3.4 - - -', { type: 'directory', mode: 0o142755 }, none],
    ['/usr/x 5 120644 1 1 2 0 3.4 ../a/ - -', { type: 'symlink', linkTarget: fromLatin1('../a/') }, none],
    ['/usr/x 0 20644 1 1 2 259 3.4 - - -', { type: 'character-device', rdev: 259 }, none],
    ['/usr/x 0 60644 1 1 2 259 3.4 - - -', { type: 'block-device', rdev: 259 }, none],
    ['/usr/x 0 10644 1 1 2 0 3.4 - - -', { type: 'fifo' }, none],
    ['/usr/x 0 140644 1 1 2 0 3.4 - - -', { type: 'socket' }, none],
    ['/usr/x 0 @120000 - - - - 0.0 /a//b - -', { type: 'hardlink', linkTarget: fromLatin1('a//b/') }, none],
  ])('%s', (expected, change, content) => expect(line(change, content)).toBe(expected))

  test.each([
    ['./t/f', '/./t/f'],
    ['/t/f', '/t/f'],
    ['//t/g', '//t/g'],
    ['d//', '/d'],
    ['./', '/.'],
    ['/', '-'],
    ['a/../b', '/a/../b'],
    ['-', '/-'],
    ['a b', '/a\\x20b'],
  ])('the path %s is written %s', (path, expected) => {
    expect(line({ path: fromLatin1(path) }).split(' ')[0]).toBe(expected)
  })

  test('what no dumpfile can express is refused', () => {
    expect(() => line({ type: 'unsupported', typeflag: 90 })).toThrow(
      expect.objectContaining({ code: 'ERR_TAR_TYPE', path: 'usr/x' }),
    )
  })

  test('the other records of a layer are passed over', () => {
    const chunks: Buffer[] = []
    const machine = new DumpfileWriterMachine()
    const records: StoredRecord[] = [
      { kind: 'inline', bytes: Buffer.alloc(512) },
      { kind: 'external', id, size: 70 },
      { kind: 'entry', entry, content: none },
    ]
    for (const record of records) machine.push(record, (chunk) => chunks.push(chunk))
    machine.finish((chunk) => chunks.push(chunk))
    expect(Buffer.concat(chunks).toString()).toBe('/usr/x 0 100644 1 1 2 0 3.4 - - -\n')
  })
})

describe('as a stream', () => {
  const fileSystem = new FileSystem(defaultDirectoryStat)
  for (let i = 0; i < 5000; i++) fileSystem.insert(`/file-${i}`, new Leaf(stat, { type: 'fifo' }))

  test('the text comes in large chunks', async () => {
    const chunks: Buffer[] = await Readable.from(fileSystem.walk()).pipe(new DumpfileWriter()).toArray()
    expect(Buffer.concat(chunks).equals(dumpfileText(fileSystem))).toBe(true)
    expect(chunks.length).toBeGreaterThan(1)
    for (const chunk of chunks.slice(0, -1)) expect(chunk.length).toBeGreaterThanOrEqual(65536)
  })

  test('nothing gives nothing', async () => {
    expect(await Readable.from([]).pipe(new DumpfileWriter()).toArray()).toEqual([])
  })
})
