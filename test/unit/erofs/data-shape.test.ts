import { describe, expect, test } from 'vitest'
import type { FileSystem } from '../../../src/tree/index.ts'
import { addDirectory, addLeaf, external, fifo, id, inline, symlink, tree, written, xattrs } from './trees.ts'

const contents = (length: number): Buffer => Buffer.from(Array.from({ length }, (_, i) => i % 251))

describe('contents in the image, versions 0 and 1', () => {
  test.each([
    [0, 0, 0, 0],
    [1, 2, 0, 1],
    [2048, 2, 0, 2048],
    [2049, 0, 1, 0],
    [4096, 0, 1, 0],
    [4097, 2, 1, 1],
    [5000, 2, 1, 904],
  ])('%i bytes', (size, layout, blocks, tail) => {
    const fileSystem = tree()
    const bytes = contents(size)
    addLeaf(fileSystem, 'f', inline(bytes))
    const fields = written(fileSystem)
    const inode = fields.at('/f')
    expect(inode).toMatchObject({ layout, size })
    const block = fields.image.subarray(inode.union * 4096, (inode.union + blocks) * 4096)
    expect(
      Buffer.concat([block.subarray(0, size - tail), fields.image.subarray(inode.tailAt, inode.tailAt + tail)]),
    ).toEqual(bytes)
    if (blocks === 0) expect(inode.union).toBe(0)
  })
})

test('version 2 keeps contents behind the inode', () => {
  const fileSystem = tree()
  addLeaf(fileSystem, 'f', inline(contents(512)))
  addLeaf(fileSystem, 'empty', inline(''))
  const fields = written(fileSystem, { version: 2 })
  const { tailAt, layout } = fields.at('/f')
  expect(layout).toBe(2)
  expect(fields.image.subarray(tailAt, tailAt + 512)).toEqual(contents(512))
  expect(fields.at('/empty')).toMatchObject({ layout: 0, size: 0 })
})

describe('chunks', () => {
  const sizes: [size: number, format: number, count: number][] = [
    [1, 0, 1],
    [4096, 0, 1],
    [4097, 1, 1],
    [8192, 1, 1],
    [8193, 2, 1],
    [65536, 4, 1],
    [2 ** 20, 8, 1],
    [2 ** 20 + 1, 9, 1],
    [2 ** 32, 20, 1],
    [2 ** 43, 31, 1],
    [2 ** 43 + 1, 31, 2],
    [2 ** 43 * 1000, 31, 1000],
  ]
  test.each(sizes)('of a file of %i bytes, versions 0 and 1', (size, format, count) => {
    const fileSystem = tree()
    addLeaf(fileSystem, 'f', external(size))
    const fields = written(fileSystem)
    const { layout, union, tailAt } = fields.at('/f')
    expect([layout, union]).toEqual([4, format])
    expect(fields.image.subarray(tailAt, tailAt + 4 * count).every((byte) => byte === 0xff)).toBe(true)
    expect(fields.image[tailAt + 4 * count]).not.toBe(0xff)
  })

  test('more than 1016 of them go into a block', () => {
    const fileSystem = tree()
    addLeaf(fileSystem, 'f', external(2 ** 53), { xattrs: xattrs({ 'user.x': 'y'.repeat(80) }) })
    const fields = written(fileSystem)
    const { at, union, layout } = fields.at('/f')
    expect([at % 4096, union, layout]).toEqual([0, 31, 4])
    // The address of the block is not stored.
    expect(fields.image.subarray(-4096).every((byte) => byte === 0xff)).toBe(true)
  })

  test('version 2: one of 8 TiB for any size, its index only beside a digest', () => {
    const fileSystem = tree()
    addLeaf(fileSystem, 'empty', external(0))
    addLeaf(fileSystem, 'huge', external(2 ** 53))
    addLeaf(fileSystem, 'sparse', { type: 'external', size: 5, id: undefined })
    const fields = written(fileSystem, { version: 2 })
    for (const path of ['empty', 'huge', 'sparse']) expect(fields.at(path)).toMatchObject({ layout: 4, union: 31 })
    expect(fields.image.readUInt32LE(fields.at('huge').tailAt)).toBe(0xffffffff)
    expect(fields.at('huge').at).toBe(
      fields.at('empty').at + Math.ceil((fields.at('empty').tailAt + 4 - fields.at('empty').at) / 32) * 32,
    )
    const { tailAt } = fields.at('sparse')
    expect(fields.image.subarray(tailAt, tailAt + 4).includes(0xff)).toBe(false)
  })

  test('versions 0 and 1: an external file of size 0 is an empty file', () => {
    const fileSystem = tree()
    addLeaf(fileSystem, 'empty', { type: 'external', size: 0, id: id(1) })
    expect(written(fileSystem).at('/empty')).toMatchObject({ layout: 0, union: 0, xattrs: [] })
  })
})

describe('long symlinks', () => {
  test('versions 0 and 1: into a block when inode and target fill one', () => {
    for (const [length, layout] of [
      [4096 - 32 - 1, 2],
      [4096 - 32, 0],
    ] as const) {
      const fileSystem = tree()
      addLeaf(fileSystem, 'l', symlink('t'.repeat(length)))
      const fields = written(fileSystem)
      const inode = fields.at('/l')
      expect(inode).toMatchObject({ layout, size: length })
      const at = layout === 2 ? inode.tailAt : inode.union * 4096
      expect(fields.image.toString('latin1', at, at + length)).toBe('t'.repeat(length))
      // The inode begins a block in both cases: it is judged by the size with its target.
      expect(inode.at % 4096).toBe(0)
    }
  })

  test('version 2: behind the inode as long as a block holds it', () => {
    const fileSystem = tree()
    addLeaf(fileSystem, 'l', symlink('t'.repeat(4000)))
    const { tailAt } = written(fileSystem, { version: 2 }).at('/l')
    expect((tailAt % 4096) + 4000).toBeLessThanOrEqual(4096)
  })
})

describe('directories', () => {
  /** A directory whose entries, `.` and `..` included, take so many bytes. */
  const directoryOf = (sum: number): FileSystem => {
    const fileSystem = tree()
    addDirectory(fileSystem, 'd')
    let left = sum - 13 - 14
    for (let i = 0; left > 0; i++) {
      const cost = left <= 12 + 255 ? left : Math.min(112, left - 20)
      addLeaf(fileSystem, `d/${String(i).padStart(cost - 12, '0')}`, fifo)
      left -= cost
    }
    return fileSystem
  }

  test.each([
    [27, 2, 27],
    [2048, 2, 2048],
    [2049, 0, 4096],
    [4096, 0, 4096],
    [4097, 2, undefined],
  ])('entries of %i bytes', (sum, layout, size) => {
    for (const version of [1, 2] as const) {
      const fields = written(directoryOf(sum), { version })
      const inode = fields.at('/d')
      expect(inode.layout).toBe(layout)
      if (size !== undefined) expect(inode.size).toBe(size)
      else expect(inode.size).toBeGreaterThan(4096)
      expect(inode.size % 4096 === 0 || inode.layout === 2).toBe(true)
      const names = fields.entries(inode).map(({ name }) => name)
      expect(names).toEqual([...names].sort())
      expect(names.length).toBe(new Set(names).size)
    }
  })

  test('count their directories as links', () => {
    const fileSystem = tree()
    addDirectory(fileSystem, 'd')
    for (const name of ['x', 'y']) addDirectory(fileSystem, `d/${name}`)
    addLeaf(fileSystem, 'd/z', fifo)
    expect(written(fileSystem).at('/d').nlink).toBe(4)
    expect(written(fileSystem).at('/').nlink).toBe(3)
  })
})

test('tails do not cross the end of a block', () => {
  for (const version of [1, 2] as const) {
    for (let padding = 0; padding < 130; padding += 3) {
      const fileSystem = tree()
      for (let i = 0; i < padding; i++) addLeaf(fileSystem, `a${i}`, fifo)
      addLeaf(fileSystem, 'b', inline(contents(500)))
      addDirectory(fileSystem, 'c')
      addLeaf(fileSystem, `c/${'n'.repeat(200)}`, fifo)
      const fields = written(fileSystem, { version })
      for (const path of ['/b', '/c']) {
        const { tailAt, size } = fields.at(path)
        expect(Math.floor(tailAt / 4096)).toBe(Math.floor((tailAt + size - 1) / 4096))
      }
    }
  }
})
