import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { native } from '../../../src/native/libc.ts'
import { Repository, resetRepository } from '../../../src/repository/index.ts'
import { tree } from '../../support/files.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

const options = { algorithm: 'sha256', insecure: true } as const

/** A repository with a named stream and a named image. */
async function used(): Promise<string> {
  const path = join(temporaryDirectory(), 'repository')
  const repository = await Repository.init(path, options)
  const id = repository.objects.put(Buffer.from('contents'))
  await repository.transaction((transaction) =>
    transaction.linkStream('content', id).linkImage(id).setRef('streams', 'a/b', 'content').setRef('images', 'c', id),
  )
  await repository.close()
  return path
}

describe('a reset', () => {
  test('removes streams, images and metadata, and keeps the objects', async () => {
    const path = await used()
    const objects = Object.entries(tree(path)).filter(([name]) => name.startsWith('objects/'))
    await resetRepository(path, { ...options, erofsVersion: 2 })
    expect(Object.entries(tree(path)).filter(([name]) => name !== 'meta.json')).toEqual(objects)
    const repository = await Repository.open(path)
    expect(repository.formats.default).toBe(2)
    await repository.close()
  })

  test('makes a repository where there is nothing', async () => {
    const directory = temporaryDirectory()
    await resetRepository(join(directory, 'new'), options)
    await resetRepository(`${directory}/new/`, options)
    mkdirSync(join(directory, 'empty'))
    await resetRepository(join(directory, 'empty'), options)
    for (const name of ['new', 'empty']) expect(Object.keys(tree(join(directory, name)))).toEqual(['meta.json'])
  })

  test.each<[string, (path: string) => void]>([
    ['damaged metadata', (path) => writeFileSync(join(path, 'meta.json'), '{"version":')],
    ['no metadata', (path) => rmSync(join(path, 'meta.json'))],
    ['broken links', (path) => symlinkSync('nowhere', join(path, 'streams/refs/broken'))],
  ])('mends %s', async (_what, damage) => {
    const path = await used()
    damage(path)
    await resetRepository(path, options)
    expect(existsSync(join(path, 'streams'))).toBe(false)
    await (await Repository.open(path)).close()
  })
})

describe('nothing is removed', () => {
  test.each<[string, (path: string) => void, string]>([
    ['of a directory that is no repository', () => {}, 'ERR_REPOSITORY_MISSING'],
    [
      'beside a meta.json of something else',
      (path) => writeFileSync(join(path, 'meta.json'), '{"title":"photographs"}'),
      'ERR_REPOSITORY_MISSING',
    ],
    [
      'beside objects of something else',
      (path) => mkdirSync(join(path, `objects/ab/${'c'.repeat(38)}`), { recursive: true }),
      'ERR_REPOSITORY_MISSING',
    ],
  ])('%s', async (_what, add, code) => {
    const path = temporaryDirectory()
    for (const name of ['images', 'streams']) {
      mkdirSync(join(path, name))
      writeFileSync(join(path, name, 'file'), 'precious')
    }
    add(path)
    const before = tree(path)
    await expect(resetRepository(path, options)).rejects.toMatchObject({ code })
    expect(tree(path)).toEqual(before)
  })

  test.each<[string, (path: string) => void, string]>([
    ['a file among the images', (path) => writeFileSync(join(path, 'images/file'), ''), 'ERR_REPOSITORY_CORRUPT'],
    ['a file among the refs', (path) => writeFileSync(join(path, 'streams/refs/a/file'), ''), 'ERR_REPOSITORY_CORRUPT'],
    ['a directory of streams', (path) => mkdirSync(join(path, 'streams/more')), 'ERR_REPOSITORY_CORRUPT'],
    [
      'a symlink in the place of the images',
      (path) => {
        rmSync(join(path, 'images'), { recursive: true })
        symlinkSync('streams', join(path, 'images'))
      },
      'ERR_REPOSITORY_CORRUPT',
    ],
  ])('of a repository with %s', async (_what, add, code) => {
    const path = await used()
    add(path)
    const before = tree(path)
    await expect(resetRepository(path, options)).rejects.toMatchObject({ code })
    expect(tree(path)).toEqual(before)
  })

  test('where the new configuration cannot be', async () => {
    const path = await used()
    const before = tree(path)
    const metadata = readFileSync(join(path, 'meta.json'))
    await expect(resetRepository(path, { algorithm: 'sha512', insecure: true })).rejects.toMatchObject({
      code: 'ERR_REPOSITORY_EXISTS',
    })
    // On a file system with fs-verity this one works.
    const secure = await resetRepository(path, { algorithm: 'sha256' }).catch((error: unknown) => error)
    if (secure === undefined) return
    expect(secure).toMatchObject({ code: expect.stringMatching(/^ERR_(REPOSITORY_VERITY|NATIVE_MISSING)$/) })
    expect(tree(path)).toEqual(before)
    expect(readFileSync(join(path, 'meta.json'))).toEqual(metadata)
  })

  test.skipIf(process.getuid?.() === 0)('where permissions forbid half of it', async () => {
    const path = await used()
    chmodSync(join(path, 'images/refs'), 0o500)
    const before = tree(path)
    await expect(resetRepository(path, options)).rejects.toMatchObject({ code: 'ERR_REPOSITORY_READONLY' })
    expect(tree(path)).toEqual(before)
  })

  test.skipIf(native() === undefined)('while others have it open', async () => {
    const path = await used()
    const before = tree(path)
    const user = await Repository.open(path)
    const abort = new AbortController()
    const given = resetRepository(path, { ...options, signal: abort.signal })
    await setImmediate()
    abort.abort(new Error('enough'))
    await expect(given).rejects.toThrow('enough')
    expect(tree(path)).toEqual(before)
    let done = false
    const waiting = resetRepository(path, options).then(() => {
      done = true
    })
    await setImmediate()
    expect([done, tree(path)]).toEqual([false, before])
    await user.close()
    await waiting
    expect(existsSync(join(path, 'streams'))).toBe(false)
  })
})
