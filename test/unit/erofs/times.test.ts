import { expect, test } from 'vitest'
import { readImage, writeImage } from '../../../src/erofs/index.ts'
import type { Seconds } from '../../../src/tree/index.ts'
import { addLeaf, inline, tree, written } from './trees.ts'

const times: [name: string, mtime: Seconds, mtimeNsec: number][] = [
  ['early', 5, 1],
  ['late', 5, 999_999_999],
  ['before-1970', -2, 500_000_000],
  ['oldest', -2, 499_999_999],
  ['far', 2n ** 62n, 7],
]

function manyTimes() {
  const fileSystem = tree({ mtime: 5, mtimeNsec: 1 })
  for (const [name, mtime, mtimeNsec] of times) addLeaf(fileSystem, name, inline('x'), { mtime, mtimeNsec })
  return fileSystem
}

test.each([0, 1] as const)('version %i keeps nanoseconds; the smallest time is that of the image', (version) => {
  const image = writeImage(manyTimes(), { version })
  const fields = written(manyTimes(), { version })
  expect([fields.buildTime, fields.buildTimeNsec]).toEqual([-2n, 499_999_999])
  for (const [name, mtime, mtimeNsec] of times) {
    const inode = fields.at(`/${name}`)
    // Only what has exactly the time of the image can do without its own.
    expect(inode.extended, name).toBe(name !== 'oldest')
    if (inode.extended) expect([inode.mtime, inode.mtimeNsec], name).toEqual([BigInt(mtime), mtimeNsec])
  }
  const { fileSystem } = readImage(image)
  for (const [name, mtime, mtimeNsec] of times) {
    expect(fileSystem.get(name)?.stat, name).toMatchObject({ mtime, mtimeNsec })
  }
  expect(writeImage(fileSystem, { version })).toEqual(image)
})

test('version 2 has whole seconds only', () => {
  const fields = written(manyTimes(), { version: 2 })
  for (const [name, mtime] of times) {
    expect([fields.at(`/${name}`).mtime, fields.at(`/${name}`).mtimeNsec]).toEqual([BigInt(mtime), 0])
  }
  const { fileSystem } = readImage(writeImage(manyTimes(), { version: 2 }))
  for (const [name, mtime] of times) expect(fileSystem.get(name)?.stat).toMatchObject({ mtime, mtimeNsec: 0 })
})
