import { existsSync, linkSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { treeOfDirectory, versionRule, writeTree } from '../../../src/cli/mkfs.ts'
import { freshDirectory } from '../../support/disk.ts'

test('the version rules of mkcomposefs', () => {
  expect(versionRule()).toEqual({ version: 0, raise: true })
  expect(versionRule(undefined, 1)).toEqual({ version: 0, raise: true })
  expect(versionRule(0, 1)).toEqual({ version: 0, raise: true })
  // Given one of them, the other is 0.
  expect(versionRule(0)).toEqual({ version: 0, raise: false })
  expect(versionRule(undefined, 0)).toEqual({ version: 0, raise: false })
  expect(versionRule(1)).toMatchObject({ version: 1 })
  expect(versionRule(1, 0)).toMatchObject({ version: 1 })
  for (const [min, max] of [[2], [-1], [0, 2], [undefined, 2], [undefined, -1], [Number.NaN]]) {
    expect(() => versionRule(min, max)).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
  }
})

test('contents above 64 bytes go to the store, readable by all; without any there is no store', async () => {
  const root = freshDirectory()
  writeFileSync(join(root, 'small'), Buffer.alloc(64))
  const digestStore = join(root, '../a/b')
  const options = { algorithm: 'sha256', digestStore, skipXattrs: true } as const
  await treeOfDirectory(root, options)
  expect(existsSync(join(root, '../a'))).toBe(false)
  writeFileSync(join(root, 'large'), Buffer.alloc(65), { mode: 0o600 })
  const umask = process.umask(0o077)
  try {
    await treeOfDirectory(root, options)
  } finally {
    process.umask(umask)
  }
  const object = join(digestStore, '2d/98e93d22d214e78052ae99e8a15efdb456e1a14295d3cb161b559eb35311a7')
  expect(statSync(object).mode & 0o777).toBe(0o644)
  expect(statSync(digestStore).mode & 0o777).toBe(0o700)
})

test('names of one file are files of their own unless hardlinks are wanted', async () => {
  const root = freshDirectory()
  writeFileSync(join(root, 'a'), 'x')
  linkSync(join(root, 'a'), join(root, 'b'))
  const counts = async (hardlinks: boolean) => {
    const fileSystem = await treeOfDirectory(root, { algorithm: 'sha256', skipXattrs: true, hardlinks })
    return [...fileSystem.linkCounts().values()]
  }
  expect(await counts(false)).toEqual([1, 1])
  expect(await counts(true)).toEqual([2])
})

test('a symlink is followed for the sake of a slash behind it, and only then', async () => {
  const root = freshDirectory()
  mkdirSync(join(root, 'd/inside'), { recursive: true })
  symlinkSync('d', join(root, 'link'))
  const options = { algorithm: 'sha256', skipXattrs: true, useEpoch: true } as const
  const fileSystem = await treeOfDirectory(`${join(root, 'link')}/`, options)
  expect(fileSystem.get('/inside')?.stat.mtime).toBe(0)
  await expect(treeOfDirectory(join(root, 'link'), options)).rejects.toMatchObject({ code: 'ERR_NOT_DIRECTORY' })
  const both = treeOfDirectory(root, { ...options, userXattrs: true })
  await expect(both).rejects.toMatchObject({ code: 'ERR_ARGUMENT' })
})

test('an image takes the place of the one before once it is whole', async () => {
  const root = freshDirectory()
  const [image, kept] = [join(root, '../image'), join(root, '../kept')]
  const tree = await treeOfDirectory(root, { algorithm: 'sha256', skipXattrs: true })
  writeFileSync(image, 'old')
  linkSync(image, kept)
  await writeTree(tree, { image, format: { version: 1 }, digest: undefined })
  expect(statSync(image).size).toBeGreaterThan(4000)
  expect(readFileSync(kept, 'utf8')).toBe('old')
})
