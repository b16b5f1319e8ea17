import { describe, expect, test } from 'vitest'
import { fromLatin1, makedev, type Stat } from '../../../src/tree/index.ts'
import { addDirectory, addLeaf, external, fifo, inline, simpleTree, symlink, tree, written } from './trees.ts'

describe('versions 0 and 1: an inode takes 32 bytes where', () => {
  test.each<[string, Partial<Stat>, boolean]>([
    ['owners fit', { uid: 65535, gid: 65535 }, false],
    ['but not with a larger uid', { uid: 65536 }, true],
    ['or gid', { gid: 65536 }, true],
    ['its time is the earliest of all', { mtime: 0, mtimeNsec: 0 }, false],
    ['but not one nanosecond later', { mtimeNsec: 1 }, true],
    ['or a second', { mtime: 1 }, true],
  ])('%s', (_, fields, extended) => {
    const fileSystem = tree()
    addLeaf(fileSystem, 'f', inline('x'), fields)
    const inode = written(fileSystem).at('/f')
    expect(inode.extended).toBe(extended)
    expect(inode).toMatchObject({ uid: 0, gid: 0, mtimeNsec: 0, ...fields, mtime: BigInt(fields.mtime ?? 0) })
  })

  test('its link count fits', () => {
    for (const [nlink, extended] of [
      [65535, false],
      [65536, true],
    ] as const) {
      const fileSystem = tree()
      addLeaf(fileSystem, 'f', fifo).nlink = nlink
      expect(written(fileSystem).at('/f')).toMatchObject({ nlink, extended })
    }
  })

  test('its size fits', () => {
    const fileSystem = tree()
    addLeaf(fileSystem, 'small', external(2 ** 32 - 1))
    addLeaf(fileSystem, 'large', external(2 ** 32))
    const fields = written(fileSystem)
    expect(fields.at('/small')).toMatchObject({ extended: false, size: 2 ** 32 - 1 })
    expect(fields.at('/large')).toMatchObject({ extended: true, size: 2 ** 32 })
  })

  test('a size that is not stored fits too', () => {
    const fileSystem = tree()
    addLeaf(fileSystem, 'short', { type: 'fifo', size: 2 ** 32 - 1 })
    addLeaf(fileSystem, 'long', { type: 'socket', size: 2 ** 32 })
    addLeaf(fileSystem, 'whiteout', { type: 'character-device', rdev: 0, size: 2 ** 32 })
    const fields = written(fileSystem)
    expect(fields.at('/short')).toMatchObject({ extended: false, size: 0 })
    expect(fields.at('/long')).toMatchObject({ extended: true, size: 0 })
    expect(fields.at('/whiteout')).toMatchObject({ extended: false, size: 0 })
  })

  test('the earliest time counts stubs and directories, and is signed', () => {
    const fileSystem = tree({ mtime: 5, mtimeNsec: 3 })
    addDirectory(fileSystem, 'd', { mtime: -1, mtimeNsec: 7 })
    addLeaf(fileSystem, 'd/f', fifo, { mtime: -1, mtimeNsec: 8 })
    const fields = written(fileSystem)
    expect([fields.buildTime, fields.buildTimeNsec]).toEqual([-1n, 7])
    expect(fields.at('/d').extended).toBe(false)
    expect(fields.at('/d/f')).toMatchObject({ extended: true, mtime: -1n, mtimeNsec: 8 })
    expect(fields.at('/00')).toMatchObject({ extended: true, mtime: 5n, mtimeNsec: 3 })
  })
})

test('times of 64 bits', () => {
  const fileSystem = tree()
  for (const [name, mtime] of [
    ['min', -(2n ** 63n)],
    ['max', 2n ** 63n - 1n],
    ['normal', 5n],
    ['minus', -(2 ** 33) - 1],
  ] as const) {
    addLeaf(fileSystem, name, fifo, { mtime })
  }
  const fields = written(fileSystem)
  expect(fields.at('/min')).toMatchObject({ extended: false, mtime: -(2n ** 63n) })
  expect(fields.at('/max').mtime).toBe(2n ** 63n - 1n)
  expect(fields.at('/normal').mtime).toBe(5n)
  expect(fields.at('/minus').mtime).toBe(-(2n ** 33n) - 1n)
})

test('version 2: always 64 bytes, whole seconds, the nid as inode number, and counted names', () => {
  const fileSystem = tree()
  const leaf = addLeaf(fileSystem, 'f', fifo, { mtime: 8, mtimeNsec: 9 })
  leaf.nlink = 7
  fileSystem.insert('g', leaf)
  const fields = written(fileSystem, { version: 2 })
  const inode = fields.at('/f')
  expect(inode).toMatchObject({ extended: true, mtime: 8n, mtimeNsec: 0, nlink: 2, ino: inode.nid })
  expect(fields.at('/g').nid).toBe(inode.nid)
})

test('modes, device numbers and types of directory entries', () => {
  const fileSystem = simpleTree()
  addLeaf(fileSystem, 'tty', { type: 'character-device', rdev: makedev(4, 300) }, { mode: 0o7777 })
  for (const version of [1, 2] as const) {
    const fields = written(fileSystem, { version })
    expect(fields.at('/tty')).toMatchObject({ mode: 0o027777, union: 0x10042c, direntType: 3 })
    const types = ['regular-inline', '', 'chrdev', 'blkdev', 'fifo', 'socket', 'symlink']
    for (const [i, name] of types.entries()) expect(fields.at(name).direntType).toBe(i + 1)
    expect(fields.at('/blkdev')).toMatchObject({ mode: 0o060000, union: 123, layout: 0, size: 0 })
    expect(fields.at('/symlink')).toMatchObject({ mode: 0o120000, union: 0, layout: 2, size: 7 })
  }
})

describe('order', () => {
  const nested = () => {
    const fileSystem = tree()
    addDirectory(fileSystem, 'a')
    addDirectory(fileSystem, 'a/b')
    addLeaf(fileSystem, 'a/b/deep', fifo)
    addDirectory(fileSystem, 'c')
    return fileSystem
  }

  test('breadth first in versions 0 and 1: the inode number says so', () => {
    const fields = written(nested())
    const a = fields.at('/a').ino
    // Root, then what stands between `a` and its children: the stubs that sort behind it, and `c`.
    expect(fields.at('/').ino).toBe(0)
    expect(fields.at('/00').ino).toBe(1)
    expect(fields.at('/c').ino).toBeGreaterThan(a)
    expect(fields.at('/a/b').ino).toBe(fields.inodes - 2)
    expect(fields.at('/a/b/deep').ino).toBe(fields.inodes - 1)
  })

  test('depth first in version 2', () => {
    const fields = written(nested(), { version: 2 })
    const order = ['/', '/a', '/a/b', '/a/b/deep', '/c'].map((path) => fields.at(path).nid)
    expect(order).toEqual([...order].sort((a, b) => a - b))
    expect(fields.inodes).toBe(5)
  })

  test('a hardlinked inode stands at its home', () => {
    const fileSystem = nested()
    const leaf = addLeaf(fileSystem, 'a/b/x', fifo)
    fileSystem.insert('c/x', leaf)
    const late = written(fileSystem)
    expect(late.at('/c/x').nid).toBe(late.at('/a/b/x').nid)
    expect(late.at('/c/x').ino).toBe(late.inodes - 1)
    const home = fileSystem.get('c')
    if (home?.kind !== 'directory') throw new Error('c is a directory')
    leaf.home = { parent: home, name: fromLatin1('x') }
    const early = written(fileSystem)
    expect(early.at('/c/x').ino).toBe(early.at('/a/b').ino + 1)
    // A home that no longer holds the leaf does not count, nor does one of another tree.
    leaf.home = { parent: home, name: fromLatin1('gone') }
    expect(written(fileSystem).image).toEqual(late.image)
    leaf.home = { parent: addDirectory(tree(), 'c'), name: fromLatin1('x') }
    expect(written(fileSystem).image).toEqual(late.image)
    expect(written(fileSystem, { version: 2 }).at('/c/x').nlink).toBe(2)
  })

  test('names sort by bytes, with . and .. among them', () => {
    const fileSystem = tree()
    const names = ['!x', '+', '-', '.-', '...', '..a', '.a', 'z', '\xe9', 'Z']
    for (const name of names) fileSystem.root.entries.set(fromLatin1(name), simpleTree().get('fifo')!)
    const fields = written(fileSystem, { version: 2 })
    expect(fields.entries(fields.at('/')).map(({ name }) => name)).toEqual([
      '!x',
      '+',
      '-',
      '.',
      '.-',
      '..',
      '...',
      '..a',
      '.a',
      'Z',
      'z',
      '\xe9',
    ])
  })
})

test('a symlink does not cross the end of a block, with its inode', () => {
  for (let padding = 0; padding < 130; padding++) {
    const fileSystem = tree()
    for (let i = 0; i < padding; i++) addLeaf(fileSystem, `a${i}`, fifo)
    addLeaf(fileSystem, 'b', symlink('t'.repeat(200)))
    const { at, tailAt, size } = written(fileSystem).at('/b')
    expect(Math.floor(at / 4096)).toBe(Math.floor((tailAt + size - 1) / 4096))
  }
})
