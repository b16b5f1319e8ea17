import { describe, expect, test } from 'vitest'
import { fromLatin1 } from '../../../src/tree/index.ts'
import { addDirectory, addLeaf, external, fifo, id, inline, tree, whiteout, written, xattrs } from './trees.ts'

const names = (list: readonly { readonly name: string }[]): string[] => list.map(({ name }) => name)

describe('external files', () => {
  const file = (content: Parameters<typeof addLeaf>[2]) => {
    const fileSystem = tree()
    addLeaf(fileSystem, 'f', content)
    return fileSystem
  }

  test('have the digest and the path of their object', () => {
    for (const version of [1, 2] as const) {
      const fields = written(file(external(9)), { version })
      expect(fields.at('/f').xattrs).toMatchObject([
        { name: 'trusted.overlay.metacopy', value: Buffer.from(`00240001${'5a'.repeat(32)}`, 'hex') },
        { name: 'trusted.overlay.redirect', value: Buffer.from(`/5a/${'5a'.repeat(31)}`) },
      ])
    }
  })

  test('with sha512', () => {
    const fields = written(file({ type: 'external', size: 9, id: id(0x5a, 64) }))
    expect(fields.xattr('/f', 'trusted.overlay.metacopy')).toBe(`\0\x44\0\x02${'Z'.repeat(64)}`)
    expect(fields.xattr('/f', 'trusted.overlay.redirect')).toBe(`/5a/${'5a'.repeat(63)}`)
  })

  test.each([
    ['another path', { id: id(1), path: fromLatin1('a/b') }, 36, '/a/b'],
    ['a path with a slash of its own', { id: id(1), path: fromLatin1('/x') }, 36, '//x'],
    ['no path', { id: id(1), path: null }, 36, undefined],
    ['no digest', { id: undefined, path: fromLatin1('abc') }, 0, '/abc'],
    ['neither', { id: undefined }, 0, undefined],
  ])('with %s', (_, content, metacopy, redirect) => {
    for (const version of [1, 2] as const) {
      const fields = written(file({ type: 'external', size: 9, ...content }), { version })
      expect(fields.xattr('/f', 'trusted.overlay.metacopy')).toHaveLength(metacopy)
      expect(fields.xattr('/f', 'trusted.overlay.redirect')).toBe(redirect)
    }
  })

  test('share what they have in common, however it is said', () => {
    const fileSystem = tree()
    addLeaf(fileSystem, 'a', external(9, 7))
    addLeaf(fileSystem, 'b', { type: 'external', size: 9, id: id(7), path: null })
    addLeaf(fileSystem, 'c', { type: 'external', size: 9, id: undefined, path: fromLatin1(id(7).path) })
    addLeaf(fileSystem, 'd', external(9, 8))
    for (const version of [1, 2] as const) {
      const fields = written(fileSystem, { version })
      const shared = (path: string) => fields.at(path).xattrs.map((xattr) => xattr.shared)
      expect([shared('a'), shared('b'), shared('c')]).toEqual([[true, true], [true], [true, false]])
      expect(shared('d')).toEqual([false, false])
      expect(fields.xattr('a', 'trusted.overlay.redirect')).toBe(`/${id(7).path}`)
      expect(fields.xattr('c', 'trusted.overlay.redirect')).toBe(`/${id(7).path}`)
    }
  })
})

test('xattrs of overlayfs are escaped, others are not', () => {
  const fileSystem = tree()
  const given = {
    'trusted.overlay.': '1',
    'trusted.overlay.opaque': '2',
    'trusted.overlay.overlay.opaque': '3',
    'trusted.overlayX': '4',
    'user.overlay.opaque': '5',
  }
  addLeaf(fileSystem, 'f', fifo, { xattrs: xattrs(given) })
  for (const version of [1, 2] as const) {
    expect(names(written(fileSystem, { version }).at('/f').xattrs)).toEqual([
      'trusted.overlay.overlay.',
      'trusted.overlay.overlay.opaque',
      'trusted.overlay.overlay.overlay.opaque',
      'trusted.overlayX',
      'user.overlay.opaque',
    ])
  }
})

describe('the root', () => {
  test('is opaque, whatever the tree says', () => {
    const fileSystem = tree({ xattrs: xattrs({ 'trusted.overlay.opaque': 'n' }) })
    const fields = written(fileSystem)
    expect(fields.xattr('/', 'trusted.overlay.opaque')).toBe('y')
    expect(fields.xattr('/', 'trusted.overlay.overlay.opaque')).toBe('n')
    expect(written(fileSystem, { version: 2 }).xattr('/', 'trusted.overlay.opaque')).toBeUndefined()
  })

  test('hides the objects behind 256 stubs, which look like it', () => {
    const root = { uid: 7, gid: 8, mtime: 9, mtimeNsec: 10 }
    const fileSystem = tree({ ...root, xattrs: xattrs({ 'security.selinux': 's', 'user.x': 'y' }) })
    addLeaf(fileSystem, 'a0', inline('mine'))
    addLeaf(fileSystem, 'AB', inline('no hex digits to the stubs'))
    const fields = written(fileSystem)
    expect(fields.inodes).toBe(1 + 256 + 1)
    expect(fields.at('/ff')).toMatchObject({ ...root, mtime: 9n, mode: 0o020644, union: 0, nlink: 1, direntType: 3 })
    expect(fields.at('/ff').xattrs).toMatchObject([{ name: 'security.selinux', shared: true }])
    expect(fields.at('/a0').mode).toBe(0o100000)
    expect(written(fileSystem, { version: 2 }).inodes).toBe(3)
  })
})

describe('whiteouts', () => {
  const fileSystem = () => {
    const result = tree()
    addDirectory(result, 'd', { xattrs: xattrs({ 'user.overlay.opaque': 'z', 'user.overlay.whiteouts': 'z' }) })
    addLeaf(result, 'd/gone', whiteout, {
      mode: 0o644,
      xattrs: xattrs({ 'user.overlay.whiteout': 'z', 'user.a': 'b' }),
    })
    return result
  }

  test('version 1: marked empty files in marked directories', () => {
    const fields = written(fileSystem())
    expect(fields.at('/d/gone')).toMatchObject({ mode: 0o100644, size: 0, layout: 0, union: 0, direntType: 1 })
    expect(names(fields.at('/d/gone').xattrs)).toEqual([
      'trusted.overlay.overlay.whiteout',
      'user.a',
      'user.overlay.whiteout',
    ])
    expect(fields.xattr('/d/gone', 'user.overlay.whiteout')).toBe('')
    expect(names(fields.at('/d').xattrs)).toEqual([
      'trusted.overlay.overlay.opaque',
      'trusted.overlay.overlay.whiteouts',
      'user.overlay.opaque',
      'user.overlay.whiteouts',
    ])
    expect(fields.xattr('/d', 'user.overlay.opaque')).toBe('x')
    expect(fields.xattr('/d', 'user.overlay.whiteouts')).toBe('')
    expect(fields.at('/').xattrs).toHaveLength(1)
  })

  test('version 0: without the marks for opaque', () => {
    const fields = written(fileSystem(), { version: 0, raise: false })
    expect(fields.version).toBe(0)
    expect(names(fields.at('/d').xattrs)).toEqual([
      'trusted.overlay.overlay.whiteouts',
      'user.overlay.opaque',
      'user.overlay.whiteouts',
    ])
    expect(fields.xattr('/d', 'user.overlay.opaque')).toBe('z')
  })

  test('raise version 0 to 1, but stubs do not', () => {
    expect(written(fileSystem(), { version: 0 }).image).toEqual(written(fileSystem(), { version: 1 }).image)
    expect(written(tree(), { version: 0 }).version).toBe(0)
  })

  test('version 2: devices', () => {
    const fields = written(fileSystem(), { version: 2 })
    expect(fields.at('/d/gone')).toMatchObject({ mode: 0o020644, union: 0, direntType: 3 })
    expect(fields.xattr('/d', 'user.overlay.opaque')).toBe('z')
  })

  test('also under the name of a stub', () => {
    const result = tree()
    addLeaf(result, '00', whiteout, { mode: 0o644 })
    const fields = written(result)
    expect(fields.at('/00').mode).toBe(0o100644)
    expect(fields.xattr('/', 'user.overlay.whiteouts')).toBe('')
  })

  test('with several names mark the directory of their own', () => {
    const result = fileSystem()
    addDirectory(result, 'e')
    result.insert('e/link', result.get('d/gone')!)
    const fields = written(result)
    expect(fields.at('/e/link').direntType).toBe(1)
    expect(fields.at('/e').xattrs).toEqual([])
    expect(fields.at('/d').xattrs).toHaveLength(4)
    expect(() => written(result, { version: 2 })).toThrow(expect.objectContaining({ code: 'ERR_EROFS_LIMIT' }))
  })
})
