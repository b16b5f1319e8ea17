import { expect, test } from 'vitest'
import { imageObjects, writeImage } from '../../../src/erofs/index.ts'
import { fromLatin1 } from '../../../src/tree/index.ts'
import { addDirectory, addLeaf, external, id, simpleTree, symlink, tree, xattrs } from './trees.ts'

test('every object once, sorted', () => {
  const fileSystem = tree()
  addDirectory(fileSystem, 'd')
  addLeaf(fileSystem, 'd/c', external(5, 3))
  addLeaf(fileSystem, 'b', external(5, 2))
  addLeaf(fileSystem, 'a', external(6, 3))
  addLeaf(fileSystem, 'without-path', { type: 'external', size: 5, id: id(1), path: null })
  addLeaf(fileSystem, 'without-digest', { type: 'external', size: 5, id: undefined, path: fromLatin1(id(4).path) })
  addLeaf(fileSystem, 'verified', { type: 'external', size: 5, id: id(5), path: fromLatin1(id(6).path) })
  addLeaf(fileSystem, 'other-path', { type: 'external', size: 5, id: undefined, path: fromLatin1('x') })
  addLeaf(fileSystem, 'sparse', { type: 'external', size: 5, id: undefined })
  // Only its own: overlayfs never looks at these.
  addLeaf(fileSystem, 'link', symlink('x'), { xattrs: xattrs({ 'trusted.overlay.redirect': `/${id(9).path}` }) })
  fileSystem.insert('hardlink', fileSystem.get('b')!)
  for (const version of [0, 1, 2] as const) {
    const found = imageObjects(writeImage(fileSystem, { version })).map(({ hex }) => hex)
    expect(found).toEqual([1, 2, 3, 4, 5].map((byte) => id(byte).hex))
  }
})

test('none', () => {
  expect(imageObjects(writeImage(tree()))).toEqual([])
})

test('with sha512', () => {
  const fileSystem = simpleTree()
  addLeaf(fileSystem, 'regular-external', { type: 'external', size: 5, id: id(7, 64) })
  expect(String(imageObjects(writeImage(fileSystem)))).toBe(`sha512:${'07'.repeat(64)}`)
})
