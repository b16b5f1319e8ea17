import { describe, expect, test } from 'vitest'
import { writeImage } from '../../../src/erofs/index.ts'
import type { ErrorCode } from '../../../src/errors.ts'
import { fromLatin1, type LeafContent, type Stat } from '../../../src/tree/index.ts'
import { addDirectory, addLeaf, external, fifo, id, inline, simpleTree, symlink, tree, whiteout } from './trees.ts'

const refused = (code: ErrorCode, path: string) =>
  expect.objectContaining({ name: 'ComposefsError', code, path, hint: expect.any(String) })

describe('what no image can hold', () => {
  test.each<[string, LeafContent, Partial<Stat>, ErrorCode]>([
    ['an empty target', symlink(''), {}, 'ERR_SYMLINK_TARGET'],
    ['a target of 4096 bytes', symlink('t'.repeat(4096)), {}, 'ERR_SYMLINK_TARGET'],
    ['a target with NUL', symlink('a\0b'), {}, 'ERR_SYMLINK_TARGET'],
    ['a target that is no byte string', symlink('€'), {}, 'ERR_SYMLINK_TARGET'],
    ['a uid of 33 bits', fifo, { uid: 2 ** 32 }, 'ERR_EROFS_LIMIT'],
    ['a negative gid', fifo, { gid: -1 }, 'ERR_EROFS_LIMIT'],
    ['a uid that is no number', fifo, { uid: Number.NaN }, 'ERR_EROFS_LIMIT'],
    ['nanoseconds of 33 bits', fifo, { mtimeNsec: 2 ** 32 }, 'ERR_EROFS_LIMIT'],
    ['a time of 65 bits', fifo, { mtime: 2n ** 63n }, 'ERR_EROFS_LIMIT'],
    ['a fraction of a second', fifo, { mtime: 0.5 }, 'ERR_EROFS_LIMIT'],
    ['a device number of 33 bits', { type: 'block-device', rdev: 2 ** 32 }, {}, 'ERR_EROFS_LIMIT'],
    ['a negative size', external(-1), {}, 'ERR_EROFS_LIMIT'],
    ['a file above 2^53 bytes', external(2 ** 53 + 2), {}, 'ERR_EROFS_LIMIT'],
    [
      'an object path of 4096 bytes',
      { type: 'external', size: 1, id: id(1), path: fromLatin1('p'.repeat(4096)) },
      {},
      'ERR_EROFS_LIMIT',
    ],
  ])('%s', (_, content, stat, code) => {
    const fileSystem = tree()
    addDirectory(fileSystem, 'd')
    addLeaf(fileSystem, 'd/f', content, stat)
    for (const version of [0, 1, 2] as const) {
      expect(() => writeImage(fileSystem, { version })).toThrow(refused(code, '/d/f'))
    }
  })

  test('contents above the limit of the version', () => {
    for (const [version, size] of [
      [1, 5001],
      [2, 513],
    ] as const) {
      const fileSystem = tree()
      addLeaf(fileSystem, 'f', inline(Buffer.alloc(size)))
      expect(() => writeImage(fileSystem, { version })).toThrow(refused('ERR_EROFS_LIMIT', '/f'))
    }
  })

  test('in version 2 a target that no block holds', () => {
    const fileSystem = tree()
    addLeaf(fileSystem, 'l', symlink('t'.repeat(4090)))
    expect(writeImage(fileSystem, { version: 1 }).length).toBeGreaterThan(0)
    expect(() => writeImage(fileSystem, { version: 2 })).toThrow(refused('ERR_EROFS_LIMIT', '/l'))
  })

  test.each(['', '.', '..', 'a/b', 'a\0b', 'n'.repeat(256), 'smile \u263a'])('the name %j', (name) => {
    const fileSystem = tree()
    addDirectory(fileSystem, 'd').entries.set(fromLatin1(name), simpleTree().get('fifo')!)
    const code = name.length > 255 ? 'ERR_NAME_TOO_LONG' : 'ERR_PATH_INVALID'
    expect(() => writeImage(fileSystem)).toThrow(expect.objectContaining({ name: 'ComposefsError', code }))
  })

  test('a directory with two names, also below itself', () => {
    const twice = tree()
    twice.insert('b', addDirectory(twice, 'a'))
    expect(() => writeImage(twice)).toThrow(refused('ERR_HARDLINK_TARGET', '/b'))
    const loop = tree()
    addDirectory(loop, 'a').entries.set(fromLatin1('up'), loop.root)
    expect(() => writeImage(loop)).toThrow(refused('ERR_HARDLINK_TARGET', '/a/up'))
  })
})

test('a tree deeper than the call stack', () => {
  const fileSystem = tree()
  let directory = fileSystem.root
  for (let i = 0; i < 20_000; i++) {
    const inner = addDirectory(tree(), 'd')
    directory.entries.set(fromLatin1('d'), inner)
    directory = inner
  }
  for (const version of [1, 2] as const) expect(writeImage(fileSystem, { version }).length).toBeGreaterThan(1_500_000)
})

test('the tree stays as it is: one version does not change the next', () => {
  const make = () => {
    const fileSystem = simpleTree()
    addLeaf(fileSystem, 'gone', whiteout)
    fileSystem.insert('link', fileSystem.get('fifo')!)
    return fileSystem
  }
  const fileSystem = make()
  const names = [...fileSystem.root.entries.keys()]
  for (const version of [1, 0, 2, 1] as const) {
    expect(writeImage(fileSystem, { version })).toEqual(writeImage(make(), { version }))
  }
  expect([...fileSystem.root.entries.keys()]).toEqual(names)
})
