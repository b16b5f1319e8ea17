import { describe, expect, test } from 'vitest'
import { imageObjects, readImage, writeImage } from '../../../src/erofs/index.ts'
import { ComposefsError } from '../../../src/errors.ts'
import { fromLatin1 } from '../../../src/tree/index.ts'
import { type Fields, ImageFields } from './image-fields.ts'
import { addDirectory, addLeaf, external, inline, simpleTree, symlink, tree, whiteout, xattrs } from './trees.ts'

/** A tree with something of everything. */
function everything() {
  const fileSystem = simpleTree()
  addDirectory(fileSystem, 'd', { xattrs: xattrs({ 'user.a': 'b' }) })
  addDirectory(fileSystem, 'd/e')
  addLeaf(fileSystem, 'd/big', inline(Buffer.alloc(5000, 1)))
  addLeaf(fileSystem, 'd/f', external(70000, 3), { xattrs: xattrs({ 'user.a': 'b' }) })
  addLeaf(fileSystem, 'd/long', symlink('t'.repeat(4090)))
  addLeaf(fileSystem, 'd/gone', whiteout)
  addDirectory(fileSystem, 'wide')
  for (let i = 0; i < 300; i++) addLeaf(fileSystem, `wide/${i}`, { type: 'fifo' })
  return fileSystem
}

type Edit = (image: Buffer, fields: ImageFields) => void

/** The error of reading an image of version 1 after an edit. */
function failure(edit: Edit, image = writeImage(everything())): ComposefsError {
  edit(image, new ImageFields(image))
  try {
    readImage(image)
  } catch (error) {
    if (error instanceof ComposefsError) {
      expect(error.message).toMatch(/ — ./)
      return error
    }
    throw error
  }
  throw new Error('the damage was not noticed')
}

/** Offset of the entry of a name in a directory. */
function direntAt(fields: ImageFields, directory: Fields, name: string): number {
  const { layout, tailAt, union, size } = directory
  const begin = layout === 2 && size < 4096 ? tailAt : union * 4096
  const at = begin + 12 * fields.entries(directory).findIndex((entry) => entry.name === name)
  expect(at).toBeGreaterThanOrEqual(begin)
  return at
}

describe('headers', () => {
  test.each<[string, Edit, string]>([
    ['no magic number', (image) => image.writeUInt32LE(1, 0), 'ERR_EROFS_INVALID'],
    ['another header', (image) => image.writeUInt32LE(2, 4), 'ERR_EROFS_VERSION'],
    ['an unknown flag', (image) => image.writeUInt32LE(2, 8), 'ERR_EROFS_VERSION'],
    ['a later version', (image) => image.writeUInt32LE(3, 12), 'ERR_EROFS_VERSION'],
    ['no superblock', (image) => image.fill(0, 1024, 1152), 'ERR_EROFS_INVALID'],
    ['other blocks', (image) => image.writeUInt8(9, 1036), 'ERR_EROFS_VERSION'],
    ['a checksum', (image) => image.writeUInt32LE(7, 1032), 'ERR_EROFS_VERSION'],
    ['compression', (image) => image.writeUInt32LE(1, 1104), 'ERR_EROFS_VERSION'],
    ['several devices', (image) => image.writeUInt16LE(1, 1110), 'ERR_EROFS_VERSION'],
    ['an inode table elsewhere', (image) => image.writeUInt32LE(1, 1064), 'ERR_EROFS_VERSION'],
    ['a wrong size', (image) => image.writeUInt32LE(5, 1060), 'ERR_EROFS_INVALID'],
    ['a wrong number of inodes', (image) => image.writeUInt32LE(5, 1040), 'ERR_EROFS_INVALID'],
    ['an endless number of inodes', (image) => image.writeUInt32LE(5, 1044), 'ERR_EROFS_INVALID'],
    ['xattrs behind the end', (image) => image.writeUInt32LE(0xffffffff, 1068), 'ERR_EROFS_INVALID'],
    ['a root inside the headers', (image) => image.writeUInt16LE(3, 1038), 'ERR_EROFS_INVALID'],
    ['a root behind the end', (image) => image.writeUInt16LE(65535, 1038), 'ERR_EROFS_INVALID'],
    [
      'a root that is no directory',
      (image, fields) => image.writeUInt16LE(fields.at('/00').nid, 1038),
      'ERR_EROFS_INVALID',
    ],
  ])('%s', (_, edit, code) => {
    expect(failure(edit).code).toBe(code)
  })

  test.each([0, 1, 1023, 1151, 4096])('an image of only %i bytes', (size) => {
    const image = writeImage(everything()).subarray(0, size)
    for (const read of [readImage, imageObjects]) {
      expect(() => read(image)).toThrow(expect.objectContaining({ code: 'ERR_EROFS_INVALID' }))
    }
  })
})

describe('inodes', () => {
  test.each<[string, string, (image: Buffer, inode: Fields) => void, RegExp]>([
    ['unknown layout', '/fifo', (image, { at }) => image.writeUInt16LE(6, at), /layout 3/],
    ['unknown format bits', '/fifo', (image, { at }) => image.writeUInt16LE(16, at), /layout 8/],
    ['no type', '/fifo', (image, { at }) => image.writeUInt16LE(0o644, at + 4), /file type/],
    ['data on a FIFO', '/fifo', (image, { at }) => image.writeUInt32LE(1, at + 8), /cannot have data/],
    ['a size beyond the image', '/d/big', (image, { at }) => image.writeUInt32LE(2 ** 31, at + 8), /bytes/],
    ['blocks beyond the image', '/d/big', (image, { at }) => image.writeUInt32LE(2 ** 31, at + 16), /data lie/],
    ['blocks in the inodes', '/d/big', (image, { at }) => image.writeUInt32LE(1, at + 16), /data lie/],
    [
      'contents above the limit',
      '/d/big',
      (image, { at }) => image.writeUInt32LE(5001, at + 8),
      /5001 bytes in the image/,
    ],
    ['a target without bytes', '/symlink', (image, { at }) => image.writeUInt32LE(0, at + 8), /target of 0 bytes/],
    ['a target with NUL', '/symlink', (image, { tailAt }) => image.writeUInt8(0, tailAt), /NUL/],
    ['chunks of a directory', '/d/e', (image, { at }) => image.writeUInt16LE(8, at), /chunks/],
    ['chunks of an unknown size', '/d/f', (image, { at }) => image.writeUInt32LE(32, at + 16), /size/],
    ['chunks in the image', '/d/f', (image, { tailAt }) => image.writeUInt32LE(1, tailAt), /contents are in the image/],
    ['too many xattrs', '/d', (image, { at }) => image.writeUInt16LE(65535, at + 2), /behind the image|overlaps|block/],
    ['too many references', '/d', (image, { at }) => image.writeUInt8(255, at + 32 + 4), /references/],
    ['a reference behind the end', '/d', (image, { at }) => image.writeUInt32LE(2 ** 31, at + 32 + 12), /xattr/],
    ['links of a directory', '/d', (image, { at }) => image.writeUInt16LE(9, at + 6), /9 links/],
    ['an odd metacopy', '/d/f', (image, { at }) => image.writeUInt8(7, image.indexOf('metacopy', at) + 8), /object/],
  ])('%s', (_, path, edit, message) => {
    const error = failure((image, fields) => edit(image, fields.at(path)))
    expect(error.code).toBe('ERR_EROFS_INVALID')
    expect(error.message).toMatch(message)
    expect(error.message).toMatch(/inode \d+/)
  })

  test('link counts of leaves, in version 2', () => {
    const image = writeImage(simpleTree(), { version: 2 })
    expect(failure((_, fields) => image.writeUInt32LE(2, fields.at('/fifo').at + 44), image).message).toMatch(
      /1 names and 2 links/,
    )
  })

  test('a whiteout with two links, where it is a device', () => {
    const fileSystem = tree()
    addLeaf(fileSystem, 'w', whiteout)
    const image = writeImage(fileSystem, { version: 2 })
    expect(failure((_, fields) => image.writeUInt32LE(2, fields.at('/w').at + 44), image).message).toMatch(/whiteout/)
  })
})

describe('directories', () => {
  test.each<[string, string, string, (image: Buffer, at: number, fields: ImageFields) => void, RegExp]>([
    ['"." elsewhere', '/d', '.', (image, at) => image.writeUInt32LE(36, at), /"\."/],
    ['".." elsewhere', '/d/e', '..', (image, at) => image.writeUInt32LE(36, at), /"\.\."/],
    ['"." of another type', '/d', '.', (image, at) => image.writeUInt8(1, at + 10), /"\."/],
    ['a nid of 64 bits', '/d', 'f', (image, at) => image.writeUInt32LE(1, at + 4), /outside the image/],
    ['a nid inside another inode', '/d', 'f', (image, at, f) => image.writeUInt32LE(f.at('/d').nid + 1, at), /inode/],
    ['itself once more', '/d', 'e', (image, at, f) => image.writeUInt32LE(f.at('/d').nid, at), /two names/],
    ['the root once more', '/d', 'e', (image, at) => image.writeUInt32LE(36, at), /two names/],
    ['another directory', '/d', 'e', (image, at, f) => image.writeUInt32LE(f.at('/wide').nid, at), /two names/],
    ['another type', '/d', 'f', (image, at) => image.writeUInt8(3, at + 10), /type/],
    ['a file as a directory', '/d', 'f', (image, at) => image.writeUInt8(2, at + 10), /type/],
    ['a directory as a file', '/d', 'e', (image, at) => image.writeUInt8(1, at + 10), /something else/],
    ['names out of order', '/d', 'e', (image, at) => image.writeUInt8(0x7a, nameOf(image, at, 3)), /order/],
    ['a slash', '/d', 'e', (image, at) => image.writeUInt8(0x2f, nameOf(image, at, 3)), /name/],
    ['a name beyond the block', '/d', 'f', (image, at) => image.writeUInt16LE(5000, at + 8), /name/],
    [
      'a name of no bytes',
      '/d',
      'f',
      (image, at) => image.writeUInt16LE(image.readUInt16LE(at + 8 - 12), at + 8),
      /name/,
    ],
    ['no entries', '/d', '.', (image, at) => image.writeUInt16LE(0, at + 8), /block/],
    ['half an entry', '/d', '.', (image, at) => image.writeUInt16LE(13, at + 8), /block/],
    ['entries behind the end', '/d', '.', (image, at) => image.writeUInt16LE(12 * 400, at + 8), /block/],
  ])('%s', (_, path, name, edit, message) => {
    const error = failure((image, fields) => edit(image, direntAt(fields, fields.at(path), name), fields))
    expect(error.code).toBe('ERR_EROFS_INVALID')
    expect(error.message).toMatch(message)
  })

  /** Where the name of the entry at `at`, the one with this index in its directory, stands. */
  function nameOf(image: Buffer, at: number, index: number): number {
    return at - 12 * index + image.readUInt16LE(at + 8)
  }

  test('without "."', () => {
    const error = failure((image, fields) => {
      // `.` becomes `!`, which sorts first as well.
      const at = direntAt(fields, fields.at('/d/e'), '.')
      image.writeUInt8(0x21, nameOf(image, at, 0))
    })
    expect(error.message).toMatch(/"\."/)
  })
})

test('inodes cannot share data: images do not grow when they are read', () => {
  const fileSystem = tree()
  for (const name of ['x', 'y']) addLeaf(fileSystem, name, inline(Buffer.alloc(4096, name)))
  const error = failure((image, fields) => {
    image.writeUInt32LE(fields.at('/x').union, fields.at('/y').at + 16)
  }, writeImage(fileSystem))
  expect(error.message).toMatch(/those of another/)
})

test('two inodes at one place are hardlinks, overlapping ones are damage', () => {
  const fileSystem = tree()
  for (const name of ['x', 'y']) addLeaf(fileSystem, name, inline('12345'), { mtime: 1 })
  const image = writeImage(fileSystem)
  const fields = new ImageFields(image)
  // The tail of x, read as an inode of its own.
  const error = failure(() => {
    image.copy(image, fields.at('/x').at + 32, fields.at('/y').at, fields.at('/y').at + 32)
    image.writeUInt32LE(fields.at('/x').nid + 1, direntAt(fields, fields.at('/'), 'y'))
  }, image)
  expect(error.message).toMatch(/overlaps/)
})

test('hidden entries of a root are the stubs, and nothing else', () => {
  const { fileSystem } = readImage(writeImage(everything()))
  expect([...fileSystem.root.entries.keys()]).toEqual(
    ['blkdev', 'chrdev', 'd', 'fifo', 'regular-external', 'regular-inline', 'socket', 'symlink', 'wide'].map(
      fromLatin1,
    ),
  )
})

test('stubs that share one inode, as no writer makes them', () => {
  const image = writeImage(simpleTree())
  const fields = new ImageFields(image)
  const root = fields.at('/')
  image.writeUInt32LE(fields.at('/00').nid, direntAt(fields, root, '01'))
  expect(failure(() => {}, image).message).toMatch(/inodes/)
  image.writeUInt32LE(fields.inodes - 1, 1024 + 16)
  expect(readImage(image).fileSystem.root.entries.size).toBe(7)
})
