import {
  closeSync,
  lstatSync,
  mkdirSync,
  openSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { writeImage } from '../../../src/erofs/index.ts'
import type { ObjectId } from '../../../src/fsverity/index.ts'
import { importArchive, openImage, untagImage } from '../../../src/oci/index.ts'
import { type GarbageOptions, type GarbageWarning, Repository } from '../../../src/repository/index.ts'
import { walkRepository } from '../../../src/repository/walk.ts'
import { contentTypes, encodeSplitstream, readDumpfile } from '../../../src/streams/index.ts'
import { liveObjects } from '../../support/cfsctl-model.ts'
import { tree } from '../../support/files.ts'
import { imageOf, ociArchive } from '../../support/image-archive.ts'
import { entry, tar } from '../../support/tar.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'
import { temporaryRepository } from '../../support/temporary-repository.ts'

const layerOf = (text: string) =>
  tar(entry({ name: 'usr/', type: '5', mode: 0o755 }), entry({ name: 'usr/file' }, text.repeat(100)))
const add = (repository: Repository, text: string, name: string) =>
  importArchive(repository, Readable.from([ociArchive(imageOf([layerOf(text)]))]), { name })

const ids = (repository: Repository) => [...repository.objects.ids()].map(({ hex }) => hex).sort()

/** Collects, and gives what was left alone too. */
async function collect(repository: Repository, options: GarbageOptions = {}) {
  const warnings: GarbageWarning[] = []
  const result = await repository.collectGarbage({ ...options, onWarning: (warning) => warnings.push(warning) })
  return { ...result, warnings }
}

const blob = (repository: Repository, refs: Iterable<readonly [string, ObjectId]>, text: string): ObjectId =>
  repository.objects.put(
    encodeSplitstream({
      algorithm: repository.algorithm,
      contentType: contentTypes.blob,
      namedRefs: new Map(refs),
      body: { type: 'inline', bytes: Buffer.from(text) },
    }),
  )

describe('what stays', () => {
  test('everything that a tag leads to, and nothing else; a second time there is nothing to remove', async () => {
    const repository = await temporaryRepository()
    await add(repository, 'first', 'first')
    const alone = ids(repository)
    await add(repository, 'second', 'second')
    untagImage(repository, 'second')
    const before = ids(repository)
    const { objects, keptObjects, streams, images, warnings } = await collect(repository)
    expect(ids(repository)).toEqual(alone)
    expect(alone).toEqual([...liveObjects(repository)].sort())
    expect(objects.count).toBe(before.length - alone.length)
    expect(objects.bytes).toBeGreaterThan(0)
    expect({ keptObjects, streams, images, warnings }).toEqual({
      keptObjects: alone.length,
      streams: 3,
      images: 1,
      warnings: [],
    })
    for (const [, id] of openImage(repository, 'first').config!.document.namedRefs) {
      expect(repository.objects.isIntact(id)).toBe(true)
    }
    expect(await collect(repository)).toMatchObject({ objects: { count: 0, bytes: 0 }, streams: 0, directories: 0 })
  })

  test('what is stored anew after a collection is there', async () => {
    const repository = await temporaryRepository()
    await add(repository, 'first', 'first')
    const id = repository.objects.put(Buffer.from('again'))
    await collect(repository)
    expect(repository.objects.has(id)).toBe(false)
    repository.objects.put(Buffer.from('again'))
    expect(repository.objects.isIntact(id)).toBe(true)
  })

  test('what only named refs of splitstreams lead to, linked or not, and the contents of images', async () => {
    const repository = await temporaryRepository()
    const inner = repository.objects.put(Buffer.from('contents of a file'))
    const dump = `/ 4096 40755 2 0 0 0 0.0 - - -\n/f 18 100644 1 0 0 0 0.0 ${inner.path} - ${inner.hex}\n`
    const image = repository.objects.put(writeImage(readDumpfile(Buffer.from(dump)), { version: 1 }))
    const middle = blob(repository, [['composefs.image.v1', image]], 'middle')
    const outer = blob(repository, [['other', middle]], 'outer')
    const garbage = repository.objects.put(Buffer.from('garbage'))
    await repository.transaction((transaction) =>
      transaction.linkStream('something', outer).setRef('streams', 'kept', 'something'),
    )
    await collect(repository)
    for (const id of [inner, image, middle, outer]) expect(repository.objects.has(id), id.hex).toBe(true)
    expect(repository.objects.has(garbage)).toBe(false)
    expect(Object.keys(tree(repository.path))).toContain('streams/something')
  })

  test('what the caller names', async () => {
    const repository = await temporaryRepository()
    const [image] = await add(repository, 'first', 'first')
    untagImage(repository, 'first')
    const before = ids(repository)
    await collect(repository, { roots: [`oci-manifest-${image!.manifestDigest}`] })
    expect(ids(repository)).toEqual(before)
  })
})

describe('nothing is removed', () => {
  test.each<[string, GarbageOptions, string]>([
    ['where nothing has a name', {}, 'ERR_REPOSITORY_UNNAMED'],
    ['where a root does not exist', { roots: ['oci-manifest-of-nothing'] }, 'ERR_NOT_FOUND'],
  ])('%s', async (_, options, code) => {
    const repository = await temporaryRepository()
    const id = repository.objects.put(Buffer.from('garbage'))
    await expect(repository.collectGarbage(options)).rejects.toMatchObject({ code })
    expect(repository.objects.has(id)).toBe(true)
    await repository.collectGarbage({ all: true })
    expect(repository.objects.has(id)).toBe(false)
  })

  test('where a splitstream that is needed cannot be read, and it is named', async () => {
    const repository = await temporaryRepository()
    await add(repository, 'first', 'first')
    const garbage = repository.objects.put(Buffer.from('garbage'))
    const { id } = openImage(repository, 'first').config!.document
    writeFileSync(repository.objects.pathOf(id), 'damaged')
    const before = ids(repository)
    await expect(repository.collectGarbage()).rejects.toMatchObject({
      code: 'ERR_REPOSITORY_CORRUPT',
      path: `objects/${id.path}`,
    })
    expect(ids(repository)).toEqual(before)
    expect(repository.objects.has(garbage)).toBe(true)
  })

  test('in a dry run, which counts the same', async () => {
    const repository = await temporaryRepository()
    await add(repository, 'first', 'first')
    await add(repository, 'second', 'second')
    untagImage(repository, 'second')
    writeFileSync(`${repository.path}/objects/.tmp-object-x`, 'left')
    const before = ids(repository)
    const foreseen = await collect(repository, { dryRun: true })
    expect(ids(repository)).toEqual(before)
    expect({ ...(await collect(repository)), dryRun: true }).toEqual(foreseen)
    expect(foreseen.temporaries).toEqual({ count: 1, bytes: 4 })
  })

  test('while others have the repository open', async () => {
    const repository = await temporaryRepository()
    await add(repository, 'first', 'first')
    const other = await Repository.open(repository.path)
    const id = other.objects.put(Buffer.from('not linked yet'))
    const waiting = new AbortController()
    const collecting = repository.collectGarbage({
      signal: waiting.signal,
      onLock: () => waiting.abort(new Error('enough')),
    })
    await expect(collecting).rejects.toThrow('enough')
    expect(other.objects.has(id)).toBe(true)
    await other.close()
    await repository.collectGarbage()
    expect(repository.objects.has(id)).toBe(false)
  })
})

test('dangling names, strays and links that lead elsewhere are left alone and told', async () => {
  const repository = await temporaryRepository()
  await add(repository, 'first', 'first')
  const { path } = repository
  mkdirSync(`${path}/streams/refs/deep/er`, { recursive: true })
  symlinkSync('../../../nothing', `${path}/streams/refs/deep/er/dangling`)
  symlinkSync('/etc/passwd', `${path}/images/elsewhere`)
  writeFileSync(`${path}/objects/00-stray`, '')
  mkdirSync(`${path}/objects/ff`, { recursive: true })
  writeFileSync(`${path}/objects/ff/stray`, '')
  writeFileSync(`${path}/notes`, '')
  const { warnings } = await collect(repository)
  expect(warnings.map(({ path, reason }) => `${reason} ${path}`).sort()).toEqual([
    'dangling-ref streams/refs/deep/er/dangling',
    'foreign-link images/elsewhere',
    'stray notes',
    'stray objects/00-stray',
    'stray objects/ff/stray',
  ])
  for (const name of ['streams/refs/deep/er/dangling', 'images/elsewhere', 'objects/ff/stray', 'notes']) {
    expect(lstatSync(join(path, name), { throwIfNoEntry: false }), name).toBeDefined()
  }
})

test('what killed writers left goes, that of programs without a lock once it is old; empty directories too', async () => {
  const repository = await temporaryRepository()
  await add(repository, 'first', 'first')
  const { path } = repository
  mkdirSync(`${path}/objects/ff`, { recursive: true })
  mkdirSync(`${path}/streams/refs/empty/deeper`, { recursive: true })
  writeFileSync(`${path}/.meta-abcdefghijkl`, '12')
  symlinkSync('x', `${path}/.symlink-abcdefghijkl`)
  writeFileSync(`${path}/objects/.tmp-object-abc`, '123')
  writeFileSync(`${path}/objects/ff/.tmpAbCdEf`, '1234')
  const young = await collect(repository)
  expect(young).toMatchObject({ temporaries: { count: 3 }, directories: 2, warnings: [] })
  expect(lstatSync(`${path}/objects/ff/.tmpAbCdEf`).size).toBe(4)
  utimesSync(`${path}/objects/ff/.tmpAbCdEf`, 1, 1)
  // Its own times can be set back, that of its last change cannot.
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 3_600_000 })
  onTestFinished(() => void vi.useRealTimers())
  expect(await collect(repository, { olderThan: 3_500_000 })).toMatchObject({
    temporaries: { count: 1, bytes: 4 },
    directories: 1,
  })
})

test('a directory that is a symlink is not entered', async () => {
  const repository = await temporaryRepository()
  await add(repository, 'first', 'first')
  const outside = temporaryDirectory()
  const name = '0'.repeat(62)
  writeFileSync(`${outside}/${name}`, 'not ours')
  rmSync(`${repository.path}/objects/ee`, { recursive: true, force: true })
  symlinkSync(outside, `${repository.path}/objects/ee`)
  const { warnings } = await collect(repository)
  expect(warnings).toEqual([{ path: 'objects/ee', reason: 'stray' }])
  expect(lstatSync(`${outside}/${name}`).isFile()).toBe(true)
  unlinkSync(`${repository.path}/objects/ee`)
})

test('the walk gives every entry once, links before objects', async () => {
  const repository = await temporaryRepository()
  await add(repository, 'first', 'first')
  const fd = openSync(repository.path, 'r')
  const walked = [...walkRepository(fd)].map(({ path }) => path as string)
  closeSync(fd)
  expect(new Set(walked).size).toBe(walked.length)
  const rooms = /^(?:objects|streams|images)(?:\/refs)?$/
  const all = Object.keys(tree(repository.path)).map((name) => name.replace(/\/$/, ''))
  expect([...walked].sort()).toEqual(all.filter((name) => !rooms.test(name)).sort())
  const last = walked.findLastIndex((path) => /^(?:streams|images)\//.test(path))
  expect(walked.findIndex((path) => path.startsWith('objects/'))).toBeGreaterThan(last)
})
