import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test, vi } from 'vitest'
import { fsverityDigest } from '../../../src/fsverity/index.ts'
import { formatMetadata, type InitOptions, newMetadata, Repository } from '../../../src/repository/index.ts'
import { filesBelow, tree } from '../../support/files.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

const code = (name: string) => expect.objectContaining({ code: name })
const place = () => `${temporaryDirectory()}/repository`
const init = (path: string, options: InitOptions = {}) =>
  Repository.init(path, { algorithm: 'sha256', insecure: true, ...options })

async function initAndClose(path: string, options: InitOptions = {}): Promise<boolean> {
  const repository = await init(path, options)
  await repository.close()
  return repository.isNew
}

describe('init', () => {
  test('makes a directory with nothing but the metadata, and its parents', async () => {
    const directory = temporaryDirectory()
    const path = `${directory}/a/b/c`
    expect(await initAndClose(path)).toBe(true)
    expect(readdirSync(path)).toEqual(['meta.json'])
    expect(statSync(path).mode & 0o7777).toBe(0o700)
    expect(statSync(`${path}/meta.json`).mode & 0o7777).toBe(0o644 & ~process.umask())
    expect(readFileSync(`${path}/meta.json`, 'utf8')).toBe(formatMetadata(newMetadata('sha256', 1)))
  })

  test('again: nothing happens with the same configuration, another one is refused', async () => {
    const path = place()
    await initAndClose(path, { erofsVersion: 2 })
    const before = tree(path)
    expect(await initAndClose(path, { erofsVersion: 2, insecure: 'auto' })).toBe(false)
    await expect(init(path, { erofsVersion: 1 })).rejects.toMatchObject({
      code: 'ERR_REPOSITORY_EXISTS',
      actual: 'algorithm: sha256, erofs_version: V2',
      expected: 'algorithm: sha256, erofs_version: V1',
    })
    await expect(init(path, { algorithm: 'sha512', erofsVersion: 2 })).rejects.toThrow(code('ERR_REPOSITORY_EXISTS'))
    expect(tree(path)).toEqual(before)
  })

  test('two at once agree', async () => {
    const path = place()
    const made = await Promise.all([initAndClose(path), initAndClose(path), initAndClose(path)])
    expect(made.filter(Boolean)).toHaveLength(1)
  })

  test('an existing directory keeps what it has', async () => {
    const path = place()
    mkdirSync(path)
    writeFileSync(`${path}/note`, 'mine')
    expect(await initAndClose(path)).toBe(true)
    expect(readdirSync(path)).toEqual(['meta.json', 'note'])
  })

  test('objects of another hash are in the way, damaged metadata and files too', async () => {
    const path = place()
    const repository = await init(path)
    repository.objects.put(Buffer.from('x'))
    await repository.close()
    unlinkSync(`${path}/meta.json`)
    await expect(init(path, { algorithm: 'sha512' })).rejects.toThrow(code('ERR_REPOSITORY_EXISTS'))
    expect(await initAndClose(path)).toBe(true)
    writeFileSync(`${path}/meta.json`, '{')
    await expect(init(path)).rejects.toThrow(code('ERR_REPOSITORY_METADATA'))
    await expect(init(`${path}/meta.json`)).rejects.toThrow(code('ERR_REPOSITORY_EXISTS'))
    await expect(init(`${path}/meta.json/below`)).rejects.toThrow(code('ERR_REPOSITORY_EXISTS'))
  })
})

describe('open', () => {
  test('where there is nothing', async () => {
    const directory = temporaryDirectory()
    writeFileSync(`${directory}/file`, '')
    for (const path of ['absent', 'file', '.']) {
      await expect(Repository.open(join(directory, path))).rejects.toMatchObject({
        code: 'ERR_REPOSITORY_MISSING',
        hint: expect.stringContaining('init'),
      })
    }
  })

  test('with the wrong hash, or metadata that cannot be used', async () => {
    const path = place()
    await initAndClose(path)
    await expect(Repository.open(path, { algorithm: 'sha512' })).rejects.toMatchObject({
      code: 'ERR_ALGORITHM_MISMATCH',
      expected: 'sha512',
      actual: 'sha256',
    })
    writeFileSync(
      `${path}/meta.json`,
      '{"version":1,"algorithm":"fsverity-sha256-12","features":{"incompatible":["x"]}}',
    )
    await expect(Repository.open(path)).rejects.toThrow(code('ERR_REPOSITORY_METADATA'))
    writeFileSync(`${path}/meta.json`, Buffer.alloc(2 ** 20 + 1, 0x20))
    await expect(Repository.open(path)).rejects.toThrow(code('ERR_REPOSITORY_METADATA'))
  })

  test('failed attempts leave no descriptor open', async () => {
    const path = place()
    await initAndClose(path)
    const before = readdirSync('/proc/self/fd').length
    for (let i = 0; i < 30; i++) await Repository.open(path, { algorithm: 'sha512' }).catch(() => {})
    expect(readdirSync('/proc/self/fd').length).toBeLessThan(before + 10)
  })

  test('the image format is what the repository says, or the caller', async () => {
    const path = place()
    await initAndClose(path, { erofsVersion: 0 })
    const repository = await Repository.open(path)
    expect(repository.formats).toEqual({ default: 0, extra: [] })
    await repository.close()
    writeFileSync(
      `${path}/meta.json`,
      '{"version":1,"algorithm":"fsverity-sha256-12","erofs_formats":{"extra":[2],"default":1}}',
    )
    const both = await Repository.open(path)
    expect(both.formats).toEqual({ default: 1, extra: [2] })
    await both.close()
    const one = await Repository.open(path, { erofsVersion: 2 })
    expect(one.formats).toEqual({ default: 2, extra: [] })
    await one.close()
  })

  test('unknown read-only-compatible features: reading works, nothing may be written', async () => {
    const path = place()
    const writer = await init(path)
    const id = writer.objects.put(Buffer.from('contents'))
    await writer.transaction((transaction) => transaction.linkImage(id).setRef('images', 'name', id))
    await writer.close()
    const text = readFileSync(`${path}/meta.json`, 'utf8')
    writeFileSync(`${path}/meta.json`, text.replace('"v1_erofs"', '"v1_erofs", "from_the_future"'))
    const before = tree(path)
    const repository = await Repository.open(path)
    expect(repository.readObject(repository.resolveImage('name')).toString()).toBe('contents')
    const readOnly = expect.objectContaining({
      code: 'ERR_REPOSITORY_READONLY',
      message: expect.stringContaining('from_the_future'),
    })
    expect(() => repository.assertWritable()).toThrow(readOnly)
    expect(() => repository.objects.put(Buffer.from('more'))).toThrow(readOnly)
    expect(() => repository.objects.create(10)).toThrow(readOnly)
    expect(() => repository.removeRef('images', 'name')).toThrow(readOnly)
    await expect(repository.linkStream('x', id)).rejects.toThrow(readOnly)
    await expect(repository.linkImage(id)).rejects.toThrow(readOnly)
    await expect(repository.setRef('images', 'other', id)).rejects.toThrow(readOnly)
    await repository.close()
    expect(tree(path)).toEqual(before)
  })
})

describe('a repository from before there was metadata', () => {
  async function old(algorithm: 'sha256' | 'sha512' = 'sha256'): Promise<string> {
    const path = place()
    const repository = await init(path, { algorithm })
    const id = repository.objects.put(Buffer.from('contents'))
    await repository.linkStream('0'.repeat(64), id)
    await repository.close()
    unlinkSync(`${path}/meta.json`)
    return path
  }

  test.each(['sha256', 'sha512'] as const)(
    '%s: is read as it is, and brought up to date by the first write',
    async (algorithm) => {
      const path = await old(algorithm)
      const reader = await Repository.open(path)
      expect(reader).toMatchObject({ algorithm, formats: { default: 2, extra: [] }, verityRequired: false })
      expect(reader.readObject(reader.resolveStream('0'.repeat(64)).id).toString()).toBe('contents')
      await reader.close()
      expect(existsSync(`${path}/meta.json`)).toBe(false)
      const writer = await Repository.open(path)
      writer.objects.put(Buffer.from('more'))
      await writer.close()
      expect(readFileSync(`${path}/meta.json`, 'utf8')).toBe(formatMetadata(newMetadata(algorithm, 2)))
    },
  )

  test('is refused where that is not wanted, or where it has no objects', async () => {
    const path = await old()
    await expect(Repository.open(path, { upgrade: false })).rejects.toMatchObject({
      code: 'ERR_REPOSITORY_METADATA',
      hint: expect.stringContaining('upgrade'),
    })
    rmSync(`${path}/objects`, { recursive: true })
    mkdirSync(`${path}/objects/zz`, { recursive: true })
    await expect(Repository.open(path)).rejects.toThrow(code('ERR_REPOSITORY_MISSING'))
  })
})

describe('streams and images', () => {
  test('are found by id, by ref, and by the bare name of a ref', async () => {
    const repository = await init(place())
    const stream = repository.objects.put(Buffer.from('stream'))
    const image = repository.objects.put(Buffer.from('image'))
    expect(repository.hasStream('layer')).toBeUndefined()
    await repository.transaction((transaction) => {
      transaction
        .setRef('streams', 'oci/a%2Fb', 'layer')
        .setRef('images', 'deep/name', image)
        .setRef('images', 'name', image)
      transaction.linkStream('layer', stream).linkImage(image)
    })
    expect(repository.hasStream('layer')).toEqual(stream)
    expect(repository.resolveStream('layer')).toEqual({ contentId: 'layer', id: stream })
    expect(repository.resolveStream('refs/oci/a%2Fb')).toEqual({ contentId: 'layer', id: stream })
    expect(() => repository.resolveStream('oci/a%2Fb')).toThrow(code('ERR_ARGUMENT'))
    expect(() => repository.resolveStream('refs/none')).toThrow(code('ERR_NOT_FOUND'))
    expect(() => repository.resolveStream('refs/../layer')).toThrow(code('ERR_OCI_NAME'))
    for (const name of [image.hex, `sha256:${image.hex}`, 'name', 'refs/name', 'refs/deep/name']) {
      expect(repository.resolveImage(name)).toEqual(image)
    }
    for (const name of ['deep/name', 'none', 'refs/none', stream.hex]) {
      expect(() => repository.resolveImage(name)).toThrow(code('ERR_NOT_FOUND'))
    }
    expect(() => repository.resolveImage('0'.repeat(128))).toThrow(code('ERR_ALGORITHM_MISMATCH'))
    expect(() => repository.resolveImage('..')).toThrow(code('ERR_OCI_NAME'))
    expect(repository.listImages()).toEqual([
      { name: 'deep/name', id: image },
      { name: 'name', id: image },
    ])
    expect(repository.listImageIds()).toEqual([image])
    expect(repository.listStreams()).toEqual(['layer'])
    expect(repository.listRefs('streams', 'oci')).toEqual([{ name: 'a%2Fb', target: 'layer' }])
    repository.removeRef('images', 'name')
    expect(repository.listImages()).toHaveLength(1)
    await repository.close()
  })

  test('an image asked for by its id has that id', async () => {
    const repository = await init(place())
    const image = repository.objects.put(Buffer.from('image'))
    await repository.transaction((transaction) => transaction.linkImage(image).setRef('images', 'name', image))
    writeFileSync(repository.objects.pathOf(image), 'IMAGE')
    expect(() => repository.resolveImage(image.hex)).toThrow(code('ERR_REPOSITORY_CORRUPT'))
    expect(repository.resolveImage('name')).toEqual(image)
    expect(() => repository.resolveImage('name', { verify: true })).toThrow(code('ERR_REPOSITORY_CORRUPT'))
    await repository.close()
  })

  test('a stream whose object is gone is none; a link to elsewhere is damage', async () => {
    const repository = await init(place())
    const id = repository.objects.put(Buffer.from('stream'))
    await repository.linkStream('layer', id)
    unlinkSync(repository.objects.pathOf(id))
    expect(repository.hasStream('layer')).toBeUndefined()
    expect(() => repository.resolveStream('layer')).toThrow(code('ERR_NOT_FOUND'))
    symlinkSync('../meta.json', `${repository.path}/streams/other`)
    symlinkSync(`../objects/00/${'0'.repeat(126)}`, `${repository.path}/streams/sha512`)
    expect(() => repository.hasStream('other')).toThrow(code('ERR_REPOSITORY_CORRUPT'))
    expect(() => repository.hasStream('sha512')).toThrow(code('ERR_REPOSITORY_CORRUPT'))
    await repository.close()
  })
})

describe('transactions', () => {
  test('publish nothing when they fail', async () => {
    const repository = await init(place())
    const id = repository.objects.put(Buffer.from('stored'))
    const absent = fsverityDigest('sha256', Buffer.from('absent'))
    const before = tree(repository.path)
    await expect(
      repository.transaction((transaction) => {
        transaction.linkStream('a', id)
        throw new Error('changed my mind')
      }),
    ).rejects.toThrow('changed my mind')
    await expect(
      repository.transaction((transaction) => transaction.linkStream('a', id).linkStream('b', absent)),
    ).rejects.toThrow(code('ERR_NOT_FOUND'))
    await expect(
      repository.transaction((transaction) => transaction.linkStream('a', id).setRef('streams', 'x', 'b')),
    ).rejects.toThrow(code('ERR_NOT_FOUND'))
    await expect(repository.transaction((transaction) => transaction.setRef('images', 'x', id))).rejects.toThrow(
      code('ERR_NOT_FOUND'),
    )
    await expect(repository.linkStream('../../outside', id)).rejects.toThrow(code('ERR_ARGUMENT'))
    await expect(repository.setRef('streams', '../../outside', 'a')).rejects.toThrow(code('ERR_OCI_NAME'))
    await expect(repository.linkImage(fsverityDigest('sha512', Buffer.from('x')))).rejects.toThrow(
      code('ERR_ALGORITHM_MISMATCH'),
    )
    expect(tree(repository.path)).toEqual(before)
    await repository.close()
  })

  test('bring everything to disk before the first link, and links before refs', async () => {
    const repository = await init(place())
    const id = repository.objects.put(Buffer.from('stored'))
    const seen: string[][] = []
    const links = () =>
      Object.entries(tree(repository.path)).flatMap(([name, value]) => (typeof value === 'string' ? name : []))
    const sync = vi.spyOn(repository, 'sync').mockImplementation(async () => {
      seen.push(links())
    })
    const publish = () =>
      repository.transaction((transaction) =>
        transaction.setRef('streams', 'name', 'a').linkStream('a', id).linkImage(id),
      )
    await publish()
    expect(seen).toEqual([[]])
    expect(links()).toEqual([`images/${id.hex}`, 'streams/a', 'streams/refs/name'])
    await repository.setRef('streams', 'other', 'a')
    expect(seen).toHaveLength(1)

    sync.mockRejectedValue(new Error('disk on fire'))
    await expect(repository.linkStream('b', id)).rejects.toThrow('disk on fire')
    expect(repository.hasStream('b')).toBeUndefined()
    await repository.close()
  })

  test('give back what their function returns, and re-point what exists', async () => {
    const repository = await init(place())
    const [a, b] = [repository.objects.put(Buffer.from('a')), repository.objects.put(Buffer.from('b'))]
    expect(await repository.transaction(async (transaction) => transaction.linkStream('x', a) && 42)).toBe(42)
    await repository.linkStream('y', b)
    await repository.setRef('streams', 'name', 'x')
    await repository.setRef('streams', 'name', 'y')
    expect(repository.resolveStream('refs/name').id).toEqual(b)
    await repository.linkStream('x', b)
    expect(repository.hasStream('x')).toEqual(b)
    expect(filesBelow(repository.path).filter((name) => !name.startsWith('objects/'))).toEqual(['meta.json'])
    await repository.close()
  })

  test('a closed repository takes nothing more', async () => {
    const repository = await init(place())
    const id = repository.objects.put(Buffer.from('a'))
    const syncing = repository.sync()
    await repository.close()
    await syncing
    expect(() => repository.objects.put(Buffer.from('b'))).toThrow(code('ERR_ARGUMENT'))
    await expect(repository.linkStream('x', id)).rejects.toThrow(code('ERR_ARGUMENT'))
    await expect(repository.sync()).rejects.toThrow(code('ERR_ARGUMENT'))
  })
})
