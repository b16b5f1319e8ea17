import { describe, expect, test } from 'vitest'
import { bytesOf, fromLatin1 } from '../../../src/bytes.ts'
import { ObjectId } from '../../../src/fsverity/index.ts'
import {
  components,
  Directory,
  diffTrees,
  FileSystem,
  fullMode,
  join,
  Leaf,
  type LeafContent,
  makedev,
  seconds,
  defaultDirectoryStat as stat,
  Xattrs,
} from '../../../src/tree/index.ts'

const leaf = (text = '') => new Leaf({ ...stat, mode: 0o644 }, { type: 'inline', bytes: Buffer.from(text) })

describe('FileSystem', () => {
  test('finds by text, by bytes, by components', () => {
    const fileSystem = new FileSystem(stat)
    const directory = new Directory(stat)
    const inode = leaf()
    fileSystem.insert('/é', directory)
    fileSystem.insert(Buffer.from([0xc3, 0xa9, 0x2f, 0xff]), inode)
    expect(fileSystem.get('é')).toBe(directory)
    expect(fileSystem.get(Buffer.from('//é/./'))).toBe(directory)
    expect(fileSystem.get(Buffer.from([0xc3, 0xa9, 0x2f, 0xff]))).toBe(inode)
    expect(fileSystem.lookup([bytesOf('é'), fromLatin1('\xff')])).toBe(inode)
    expect(fileSystem.get('/')).toBe(fileSystem.root)
    expect(fileSystem.lookup([])).toBe(fileSystem.root)
    expect(fileSystem.get('no')).toBeUndefined()
    expect(fileSystem.get('no/no')).toBeUndefined()
    expect(fileSystem.lookup([bytesOf('é'), fromLatin1('\xff'), bytesOf('below')])).toBeUndefined()
    expect(() => fileSystem.get('../é')).toThrow(expect.objectContaining({ code: 'ERR_PATH_INVALID' }))
  })

  test('takes a directory as its root', () => {
    const root = new Directory(stat)
    expect(new FileSystem(root).root).toBe(root)
  })

  test('insert takes any inode, replaces, and refuses what has no place', () => {
    const fileSystem = new FileSystem(stat)
    fileSystem.insert('a', leaf('1'))
    const directory = new Directory(stat)
    fileSystem.insert('a', directory)
    fileSystem.insert('a/b', leaf('2'))
    expect(fileSystem.get('a')).toBe(directory)
    const refused = (code: string, path?: string) => expect.objectContaining({ code, ...(path && { path }) })
    expect(() => fileSystem.insert('/', leaf())).toThrow(refused('ERR_PATH_INVALID'))
    expect(() => fileSystem.insert('c/d', leaf())).toThrow(refused('ERR_PARENT_MISSING', '/c/d'))
    expect(() => fileSystem.insert('a/b/c', leaf())).toThrow(refused('ERR_PARENT_NOT_DIRECTORY', '/a/b/c'))
    expect(() => fileSystem.insert('n'.repeat(256), leaf())).toThrow(refused('ERR_NAME_TOO_LONG'))
    fileSystem.insert('a', leaf('3'))
    expect(fileSystem.get('a/b')).toBeUndefined()
  })

  test('walks depth first, by bytes, links after their inode', () => {
    const fileSystem = new FileSystem(stat)
    const shared = leaf('x')
    fileSystem.insert('\u00ff', leaf())
    fileSystem.insert(Buffer.from([0x80]), shared)
    fileSystem.insert('b', new Directory(stat))
    fileSystem.insert('b/z', shared)
    fileSystem.insert('b/a', new Directory(stat))
    fileSystem.insert('b.', leaf())
    fileSystem.insert('B', shared)
    const walked = [...fileSystem.walk()].map((item) =>
      item.kind === 'inode' ? [item.path, item.nlink] : [item.path, `-> ${item.target}`],
    )
    expect(walked).toEqual([
      ['/', 3],
      ['/B', 3],
      ['/b', 3],
      ['/b/a', 2],
      ['/b/z', '-> /B'],
      ['/b.', 1],
      ['/\x80', '-> /B'],
      ['/\xc3\xbf', 1],
    ])
    expect(fileSystem.linkCounts().get(shared)).toBe(3)
  })

  test('a dumpfile’s own link count is told as it is', () => {
    const fileSystem = new FileSystem(stat)
    fileSystem.insert('a', new Leaf(stat, { type: 'fifo' }, 7))
    expect([...fileSystem.walk()][1]).toMatchObject({ nlink: 7 })
  })

  test('walks trees deeper than the call stack', () => {
    const fileSystem = new FileSystem(stat)
    let directory = fileSystem.root
    for (let i = 0; i < 20_000; i++) {
      const next = new Directory(stat)
      directory.entries.set(bytesOf('d'), next)
      directory = next
    }
    let count = 0
    for (const { kind } of fileSystem.walk()) if (kind === 'inode') count++
    expect(count).toBe(20_001)
    expect(fileSystem.linkCounts().size).toBe(0)
  })
})

describe('paths', () => {
  test('components leave out what does not count', () => {
    expect(components(fromLatin1('/a//b/./c/'))).toEqual(['a', 'b', 'c'])
    for (const path of ['', '/', '.', './', '/././/']) expect(components(fromLatin1(path))).toEqual([])
    expect(components(fromLatin1('.../..a/a..'))).toEqual(['...', '..a', 'a..'])
    expect(components(fromLatin1('n'.repeat(255)))).toHaveLength(1)
  })

  test.each([
    ['a/..', 'ERR_PATH_INVALID'],
    ['..', 'ERR_PATH_INVALID'],
    ['a\0b', 'ERR_PATH_INVALID'],
    ['n'.repeat(256), 'ERR_NAME_TOO_LONG'],
  ])('%j is refused', (path, code) => {
    expect(() => components(fromLatin1(path))).toThrow(expect.objectContaining({ code }))
  })

  test('join', () => {
    expect(join(bytesOf('/'), bytesOf('a'))).toBe('/a')
    expect(join(bytesOf('/a'), bytesOf('b'))).toBe('/a/b')
  })
})

describe('Xattrs', () => {
  const of = (entries: Record<string, string>) =>
    Xattrs.of(Object.entries(entries).map(([name, value]) => [fromLatin1(name), Buffer.from(value)] as const))

  test('are sorted by bytes, the later of two holds', () => {
    const xattrs = Xattrs.of([
      [fromLatin1('user.\xff'), Buffer.from('1')],
      [fromLatin1('user.b'), Buffer.from('2')],
      [fromLatin1('user.B'), Buffer.from('3')],
      [fromLatin1('user.b'), Buffer.from('4')],
    ])
    expect([...xattrs].map(([name, value]) => [name, value.toString()])).toEqual([
      ['user.B', '3'],
      ['user.b', '4'],
      ['user.\xff', '1'],
    ])
    expect(xattrs.size).toBe(3)
    expect(Xattrs.of([])).toBe(Xattrs.empty)
  })

  test('are values', () => {
    const one = of({ 'user.a': '1', 'user.b': '' })
    const two = one.with(fromLatin1('user.a'), Buffer.from('2')).with(fromLatin1('user.c'), Buffer.from('3'))
    expect(one.get(fromLatin1('user.a'))?.toString()).toBe('1')
    expect(two.equals(of({ 'user.c': '3', 'user.b': '', 'user.a': '2' }))).toBe(true)
    expect(two.has(fromLatin1('user.b'))).toBe(true)
    expect(two.has(fromLatin1('user.d'))).toBe(false)
    expect(two.get(fromLatin1('user.d'))).toBeUndefined()
    expect(one.equals(two)).toBe(false)
    expect(one.equals(of({ 'user.a': '1', 'user.c': '' }))).toBe(false)
    expect(one.equals(of({ 'user.a': 'x', 'user.b': '' }))).toBe(false)
  })

  test('a filter that keeps all gives the same map, one that keeps none the empty one', () => {
    const xattrs = of({ 'user.a': '1', 'trusted.a': '2' })
    expect(xattrs.filter(() => true)).toBe(xattrs)
    expect(xattrs.filter(() => false)).toBe(Xattrs.empty)
    expect([...xattrs.filter((name) => name.startsWith('user.'))]).toHaveLength(1)
  })
})

describe('inodes', () => {
  test.each<[LeafContent, number]>([
    [{ type: 'inline', bytes: Buffer.alloc(0) }, 0o100644],
    [{ type: 'external', size: 100, id: ObjectId.fromHex('0'.repeat(64)) }, 0o100644],
    [{ type: 'symlink', target: bytesOf('x') }, 0o120644],
    [{ type: 'character-device', rdev: 1 }, 0o020644],
    [{ type: 'block-device', rdev: 1 }, 0o060644],
    [{ type: 'fifo' }, 0o010644],
    [{ type: 'socket' }, 0o140644],
  ])('full mode of $type', (content, mode) => {
    expect(fullMode(new Leaf({ ...stat, mode: 0o644 }, content))).toBe(mode)
  })

  test('full mode of a directory', () => {
    expect(fullMode(new Directory({ ...stat, mode: 0o1777 }))).toBe(0o041777)
  })

  test('only the character device 0:0 is a whiteout', () => {
    expect(new Leaf(stat, { type: 'character-device', rdev: 0 }).isWhiteout).toBe(true)
    expect(new Leaf(stat, { type: 'character-device', rdev: 1 }).isWhiteout).toBe(false)
    expect(new Leaf(stat, { type: 'block-device', rdev: 0 }).isWhiteout).toBe(false)
    expect(leaf().isWhiteout).toBe(false)
  })

  test('device numbers are encoded as the kernel does', () => {
    expect(makedev(1, 3)).toBe(259)
    expect(makedev(4095, 1048575)).toBe(0xffffffff)
    expect(makedev(8, 256)).toBe(0x100800)
  })

  test('seconds are numbers where these are exact', () => {
    expect(seconds(5n)).toBe(5)
    expect(seconds(-5n)).toBe(-5)
    expect(seconds(2n ** 53n - 1n)).toBe(2 ** 53 - 1)
    expect(seconds(2n ** 53n)).toBe(2n ** 53n)
    expect(seconds(-(2n ** 63n))).toBe(-(2n ** 63n))
  })
})

test('directories of any size can be compared', () => {
  const many = new FileSystem(stat)
  const inode = leaf()
  for (let i = 0; i < 150_000; i++) many.root.entries.set(fromLatin1(`${i}`), inode)
  let count = 0
  for (const _ of diffTrees(many, new FileSystem(stat))) count++
  expect(count).toBe(150_000)
})
