import { describe, expect, test } from 'vitest'
import { type ErofsVersion, readImage, writeImage } from '../../../src/erofs/index.ts'
import { Directory, type FileSystem, fromLatin1, Leaf, type WalkItem } from '../../../src/tree/index.ts'
import {
  addDirectory,
  addLeaf,
  external,
  fifo,
  id,
  inline,
  simpleTree,
  symlink,
  tree,
  whiteout,
  xattrs,
} from './trees.ts'

const versions = [0, 1, 2] as const

/** Everything that a tree says, for comparison. */
function listing(fileSystem: FileSystem): unknown[] {
  return [...fileSystem.walk()].map((item: WalkItem) => {
    if (item.kind === 'link') return [item.path, item.target]
    const { inode, nlink } = item
    const stat = { ...inode.stat, xattrs: [...inode.stat.xattrs] }
    return [item.path, nlink, stat, inode instanceof Leaf ? inode.content : 'directory']
  })
}

/** Reads the image of a tree and expects the same tree, and the same image again. */
function roundTrip(fileSystem: FileSystem, version: ErofsVersion): FileSystem {
  const image = writeImage(fileSystem, { version, raise: false })
  const read = readImage(image)
  expect(read.version).toBe(version)
  expect(writeImage(read.fileSystem, { version, raise: false }).equals(image)).toBe(true)
  expect(listing(read.fileSystem)).toEqual(listing(fileSystem))
  return read.fileSystem
}

describe.each(versions)('version %i: what is read is what was written:', (version) => {
  test('nothing but a root', () => {
    roundTrip(tree({ mode: 0o7123, uid: 4, gid: 5, mtime: version === 2 ? 6 : -6 }), version)
  })

  test('every type', () => {
    roundTrip(simpleTree(), version)
  })

  test('owners, times and links', () => {
    const fileSystem = tree()
    for (const [i, mtime] of [-(2n ** 63n), 2n ** 62n, -5, 2 ** 40].entries()) {
      addLeaf(fileSystem, `f${i}x`, fifo, { mtime, mtimeNsec: version === 2 ? 0 : i, uid: 65536 * i, gid: 2 ** 32 - 1 })
    }
    fileSystem.insert('link', fileSystem.get('f0x')!)
    roundTrip(fileSystem, version)
  })

  test('external files', () => {
    const fileSystem = tree()
    addLeaf(fileSystem, 'sha512', { type: 'external', size: 2 ** 53, id: id(9, 64) })
    addLeaf(fileSystem, 'no-path', { type: 'external', size: 1, id: id(1), path: null })
    addLeaf(fileSystem, 'path', { type: 'external', size: 1, id: id(1), path: fromLatin1('/x') })
    addLeaf(fileSystem, 'no-digest', { type: 'external', size: 1, id: undefined, path: fromLatin1('x/y') })
    addLeaf(fileSystem, 'sparse', { type: 'external', size: 4097, id: undefined })
    roundTrip(fileSystem, version)
  })

  test('large directories, long names and targets', () => {
    const fileSystem = tree()
    addDirectory(fileSystem, 'd')
    for (let i = 0; i < 300; i++) addLeaf(fileSystem, `d/${i}${'n'.repeat(i % 250)}`, symlink('t'.repeat(1 + 3 * i)))
    roundTrip(fileSystem, version)
  })

  test('xattrs, those of overlayfs too', () => {
    const own = {
      'trusted.overlay.metacopy': 'x',
      'trusted.overlay.overlay.opaque': 'x',
      'lustre.l': '',
      other: '\xff\0',
    }
    const fileSystem = tree({ xattrs: xattrs({ 'trusted.overlay.opaque': 'n', 'security.selinux': 's' }) })
    addLeaf(fileSystem, 'a', external(5), { xattrs: xattrs(own) })
    addLeaf(fileSystem, 'b', symlink('x'), { xattrs: xattrs({ ...own, 'user.overlay.whiteout': '' }) })
    addDirectory(fileSystem, 'c', { xattrs: xattrs({ 'user.overlay.whiteouts': '', 'trusted.overlay.whiteouts': '' }) })
    roundTrip(fileSystem, version)
  })

  test('whiteouts', () => {
    const fileSystem = tree()
    addLeaf(fileSystem, 'a0', whiteout, { mode: 0o600 })
    addDirectory(fileSystem, 'd', { xattrs: xattrs({ 'user.a': 'b' }) })
    addLeaf(fileSystem, 'd/gone', whiteout, { xattrs: xattrs({ 'user.a': 'b' }) })
    roundTrip(fileSystem, version)
  })

  test('files that look like whiteouts', () => {
    const marks = { 'trusted.overlay.whiteout': '', 'user.overlay.whiteout': '' }
    const fileSystem = tree()
    addDirectory(fileSystem, 'd')
    addLeaf(fileSystem, 'd/f', inline(''), { xattrs: xattrs(marks) })
    addDirectory(fileSystem, 'e', { xattrs: xattrs({ 'trusted.overlay.whiteouts': '', 'user.overlay.whiteouts': '' }) })
    addLeaf(fileSystem, 'e/f', inline('x'), { xattrs: xattrs(marks) })
    roundTrip(fileSystem, version)
  })
})

describe('versions 0 and 1', () => {
  test('link counts that a dumpfile gave, and sizes that are not stored', () => {
    const fileSystem = tree()
    addLeaf(fileSystem, 'x', fifo).nlink = 70000
    addLeaf(fileSystem, 'y', { type: 'socket', size: 2 ** 32 })
    roundTrip(fileSystem, 1)
  })

  test('contents and targets in blocks', () => {
    const fileSystem = tree()
    for (const size of [2048, 2049, 4096, 4097, 5000]) addLeaf(fileSystem, `f${size}`, inline(Buffer.alloc(size, 'ab')))
    addLeaf(fileSystem, 'l', symlink('t'.repeat(4095)))
    roundTrip(fileSystem, 1)
  })

  test('the home of a hardlink, where it is not the first name', () => {
    const fileSystem = tree()
    addDirectory(fileSystem, 'a')
    addDirectory(fileSystem, 'a/b')
    const leaf = addLeaf(fileSystem, 'a/b/x', fifo)
    const home = addDirectory(fileSystem, 'c')
    // Without this the two homes would give the same image.
    addLeaf(fileSystem, 'c/y', fifo)
    fileSystem.insert('c/x', leaf)
    for (const parent of [undefined, home]) {
      leaf.home = parent && { parent, name: fromLatin1('x') }
      const read = roundTrip(fileSystem, 1).get('c/x') as Leaf
      expect(read.home?.name).toBe(parent && 'x')
    }
  })

  test('a hardlinked whiteout is one where its own directory is marked', () => {
    const fileSystem = tree()
    addDirectory(fileSystem, 'a')
    const leaf = addLeaf(fileSystem, 'a/x', whiteout)
    addDirectory(fileSystem, 'b')
    fileSystem.insert('b/y', leaf)
    roundTrip(fileSystem, 1)
  })

  test('a file with more than 1016 chunks', () => {
    const fileSystem = tree()
    addLeaf(fileSystem, 'f', external(2 ** 53))
    roundTrip(fileSystem, 1)
  })
})

test('version 2 drops fractions of seconds', () => {
  const { fileSystem } = readImage(writeImage(tree({ mtimeNsec: 5 }), { version: 2 }))
  expect(fileSystem.root.stat.mtimeNsec).toBe(0)
})

test('a tree deeper than the call stack', () => {
  const fileSystem = tree()
  let directory = fileSystem.root
  for (let i = 0; i < 20_000; i++) {
    const inner = new Directory(directory.stat)
    directory.entries.set(fromLatin1('d'), inner)
    directory = inner
  }
  directory.entries.set(fromLatin1('x'), simpleTree().get('fifo')!)
  fileSystem.insert('y', directory.entries.get(fromLatin1('x'))!)
  const image = writeImage(fileSystem)
  expect(writeImage(readImage(image).fileSystem).equals(image)).toBe(true)
})

test('inodes share their set of xattrs where they refer to the same', () => {
  const fileSystem = tree()
  for (const name of ['x', 'y'])
    addLeaf(fileSystem, name, external(5, name.charCodeAt(0)), { xattrs: xattrs({ 'user.a': 'b' }) })
  const { root } = readImage(writeImage(fileSystem)).fileSystem
  expect(root.entries.get(fromLatin1('x'))!.stat.xattrs).toBe(root.entries.get(fromLatin1('y'))!.stat.xattrs)
})

test('limits of contents and targets, by version and by option', () => {
  const fileSystem = tree()
  addLeaf(fileSystem, 'l', symlink('t'.repeat(1025)))
  const image = writeImage(fileSystem, { version: 2 })
  expect(() => readImage(image)).toThrow(expect.objectContaining({ code: 'ERR_EROFS_INVALID' }))
  expect(writeImage(readImage(image, { maxTarget: 1025 }).fileSystem, { version: 2 }).equals(image)).toBe(true)
  const other = tree()
  addLeaf(other, 'f', inline(Buffer.alloc(512)))
  const second = writeImage(other, { version: 2 })
  expect(readImage(second).fileSystem.get('f')).toBeDefined()
  expect(() => readImage(second, { maxInline: 511 })).toThrow(expect.objectContaining({ code: 'ERR_EROFS_INVALID' }))
})
