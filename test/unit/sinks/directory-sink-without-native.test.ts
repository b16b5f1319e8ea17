import { lstatSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { checkoutTree } from '../../../src/sinks/index.ts'
import { bytesOf, fromLatin1, Leaf } from '../../../src/tree/index.ts'
import { ownStat, places, treeWith } from '../../support/checkout-tree.ts'

beforeAll(() => {
  vi.stubEnv('COMPOSEFS_NATIVE', '0')
})
afterAll(() => {
  vi.unstubAllEnvs()
})

test('without koffi what takes it is listed, and all else is there', async () => {
  const { objects, target } = places()
  const bytes = Buffer.alloc(2000, 'x')
  const file = new Leaf(ownStat, { type: 'external', size: 2000, id: objects.put(bytes) })
  const fifo = new Leaf(ownStat, { type: 'fifo' })
  const files = treeWith({
    '/a/file': file,
    '/b/file': file,
    '/device': { type: 'character-device', rdev: 0x103 },
    '/fifo': fifo,
    '/fifo2': fifo,
    '/link': { type: 'symlink', target: bytesOf('x') },
  })
  files.root.entries.set(fromLatin1('\xff'), new Leaf({ ...ownStat, mtimeNsec: 0 }, { type: 'inline', bytes }))
  const { notRestored } = await checkoutTree(files, objects, target)
  expect(readFileSync(Buffer.from(`${target}/\xff`, 'latin1')).equals(bytes)).toBe(true)
  expect(lstatSync(join(target, 'a/file')).ino).toBe(lstatSync(join(target, 'b/file')).ino)
  expect(readdirSync(target, 'latin1').sort()).toEqual(['a', 'b', 'link', '\xff'])
  expect(notRestored.filter(({ what }) => what !== 'mtime' && what !== 'mode')).toEqual([
    { path: '/device', what: 'inode', wanted: 'character-device 1:3', reason: 'koffi is not installed' },
    { path: '/fifo', what: 'inode', wanted: 'fifo', reason: 'koffi is not installed' },
    { path: '/fifo2', what: 'inode', wanted: 'hardlink of /fifo', reason: 'its inode is missing' },
  ])
  // A double has room for the microseconds of today.
  const times = notRestored.filter(({ what }) => what === 'mtime')
  expect(times.map(({ path }) => path)).toEqual(['/a/file', '/a', '/b', '/link', '/'])
  expect(times[0]).toMatchObject({
    actual: expect.stringMatching(/^1600000000\.12345[67]/),
    reason: 'koffi is not installed',
  })
})
