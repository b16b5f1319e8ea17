import { existsSync, readdirSync, renameSync, rmSync, unlinkSync, writeFileSync } from 'node:fs'
import { beforeEach, describe, expect, test, vi } from 'vitest'
import type * as Native from '../../../src/native/libc.ts'
import { Repository } from '../../../src/repository/index.ts'
import { FakeVerity } from '../../support/fake-verity.ts'
import { filesBelow } from '../../support/files.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

const mock = vi.hoisted(() => ({ kernel: undefined as FakeVerity | undefined }))

vi.mock('../../../src/native/libc.ts', async (original) => {
  const module = await original<typeof Native>()
  return { ...module, native: () => mock.kernel?.libc, requireNative: () => mock.kernel?.libc }
})

const { native } = await vi.importActual<typeof Native>('../../../src/native/libc.ts')
const libc = native()
if (libc === undefined) console.warn('skipped: koffi does not load here')

const mebibyte = 1024 * 1024

describe.skipIf(libc === undefined)('a repository on a file system with fs-verity', () => {
  let kernel: FakeVerity
  let path: string

  beforeEach(() => {
    kernel = new FakeVerity(libc!)
    mock.kernel = kernel
    path = `${temporaryDirectory()}/repository`
  })

  test('requires it unless told otherwise, and every object gets it', async () => {
    const made = await Repository.init(path)
    expect(made).toMatchObject({ verityRequired: true, isNew: true, algorithm: 'sha512' })
    await made.close()
    const repository = await Repository.open(path)
    expect(repository).toMatchObject({ verityRequired: true, isNew: false })
    kernel.busy = 3
    const small = repository.objects.put(Buffer.from('small'))
    const sink = repository.objects.create(3 * mebibyte)
    await sink.write(Buffer.alloc(3 * mebibyte))
    const large = await sink.finish()
    // The kernel vouches for both: nothing is hashed here.
    repository.objects.verify(small)
    repository.objects.verify(large)
    expect(repository.readObject(small).toString()).toBe('small')
    await repository.close()
  })

  test.each([true, 'auto'] as const)('insecure: %j', async (insecure) => {
    const repository = await Repository.init(path, { insecure })
    expect(repository.verityRequired).toBe(insecure === 'auto')
    repository.objects.put(Buffer.from('x'))
    await repository.close()
  })

  test('an object without fs-verity is damaged where it is required, and storing it again helps', async () => {
    const repository = await Repository.init(path)
    const id = repository.objects.put(Buffer.from('contents'))
    const file = repository.objects.pathOf(id)
    writeFileSync(`${path}/copy`, 'contents')
    renameSync(`${path}/copy`, file)
    expect(() => repository.readObject(id)).toThrow(
      expect.objectContaining({ code: 'ERR_REPOSITORY_CORRUPT', expected: id.hex, actual: 'missing' }),
    )
    await repository.close()
    const again = await Repository.open(path)
    again.objects.put(Buffer.from('contents'))
    expect(again.stats.replacedObjects).toBe(1)
    expect(again.readObject(id).toString()).toBe('contents')
    await again.close()
    const insecure = await Repository.open(path, { insecure: true })
    expect(insecure.verityRequired).toBe(false)
    await insecure.close()
  })

  test.each([false, true])('what the kernel vouches for is not compared (insecure: %s)', async (insecure) => {
    const made = await Repository.init(path, { insecure })
    const id = made.objects.put(Buffer.from('contents'))
    await made.close()
    // The kernel allows no such thing. Here it shows who was asked.
    writeFileSync(`${path}/objects/${id.path}`, 'CONTENTS')
    const repository = await Repository.open(path, { verifyObjects: true })
    expect(repository.verityRequired).toBe(!insecure)
    repository.objects.put(Buffer.from('contents'))
    expect(repository.stats).toMatchObject({ presentObjects: 1, replacedObjects: 0 })
    await repository.close()
  })

  test('what the kernel measures differently is not published', async () => {
    const repository = await Repository.init(path)
    kernel.wrong = true
    expect(() => repository.objects.put(Buffer.from('contents'))).toThrow(
      expect.objectContaining({ code: 'ERR_REPOSITORY_CORRUPT' }),
    )
    expect(filesBelow(`${path}/objects`)).toEqual([])
    await repository.close()
  })

  test('a file system that loses it afterwards fails what requires it', async () => {
    const repository = await Repository.init(path)
    kernel.supported = false
    expect(() => repository.objects.put(Buffer.from('contents'))).toThrow(
      expect.objectContaining({ code: 'ERR_REPOSITORY_VERITY' }),
    )
    await repository.close()
  })

  test('a file that stays open for writing elsewhere is an error in the end', async () => {
    const repository = await Repository.init(path)
    kernel.busy = Number.POSITIVE_INFINITY
    expect(() => repository.objects.put(Buffer.from('contents'))).toThrow(
      expect.objectContaining({ code: 'ERR_REPOSITORY_VERITY', message: expect.stringContaining('open for writing') }),
    )
    await repository.close()
  })

  test('metadata measured with another hash is no valid metadata', async () => {
    const repository = await Repository.init(path, { algorithm: 'sha512' })
    await repository.close()
    const text = '{ "version": 1, "algorithm": "fsverity-sha512-12" }'
    unlinkSync(`${path}/meta.json`)
    await (await Repository.init(path, { algorithm: 'sha256' })).close()
    await expect(Repository.open(path, { algorithm: 'sha512' })).rejects.toMatchObject({
      code: 'ERR_ALGORITHM_MISMATCH',
    })
    unlinkSync(`${path}/meta.json`)
    writeFileSync(`${path}/meta.json`, text)
    const plain = await Repository.open(path)
    expect(plain.verityRequired).toBe(false)
    await plain.close()
  })

  test('an old repository whose objects have it keeps it when it is brought up to date', async () => {
    const old = await Repository.init(path, { algorithm: 'sha256', erofsVersion: 2 })
    old.objects.put(Buffer.from('contents'))
    await old.close()
    unlinkSync(`${path}/meta.json`)
    const repository = await Repository.open(path)
    expect(repository).toMatchObject({ verityRequired: true, formats: { default: 2, extra: [] } })
    expect(existsSync(`${path}/meta.json`)).toBe(false)
    repository.objects.put(Buffer.from('more'))
    await repository.close()
    const again = await Repository.open(path)
    expect(again.verityRequired).toBe(true)
    await again.close()
  })
})

describe.skipIf(libc === undefined)('a repository on a file system without fs-verity', () => {
  test('cannot require it: nothing is left of the attempt', async () => {
    const kernel = new FakeVerity(libc!)
    kernel.supported = false
    mock.kernel = kernel
    const directory = temporaryDirectory()
    await expect(Repository.init(`${directory}/a/b/repository`)).rejects.toMatchObject({
      code: 'ERR_REPOSITORY_VERITY',
      hint: expect.stringContaining('--insecure'),
    })
    expect(readdirSync(directory)).toEqual([])
    for (const insecure of [true, 'auto'] as const) {
      const repository = await Repository.init(`${directory}/repository`, { insecure })
      expect(repository.verityRequired).toBe(false)
      repository.objects.put(Buffer.from('x'))
      await repository.close()
      rmSync(`${directory}/repository`, { recursive: true })
    }
  })
})
