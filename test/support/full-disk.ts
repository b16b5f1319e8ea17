import { readFileSync, writeFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { OutputFile, Repository, writeOutputFile } from '../../src/repository/index.ts'
import { filesBelow } from './files.ts'
import { smallFileSystem } from './small-file-system.ts'

/** What must hold when a file system fills up, however temporary files are made. */
export function describeFullDisk(): void {
  describe('a file system that is full', () => {
    test('is said to be, and everything stored before is sound', async (context) => {
      const small = smallFileSystem()
      if (small === undefined) return context.skip()
      const path = `${small.path}/repository`
      const repository = await Repository.init(path, { algorithm: 'sha256', insecure: true })
      const full = expect.objectContaining({
        code: 'ERR_NO_SPACE',
        path: expect.stringContaining(`${path}/objects`),
        hint: expect.stringContaining('free space'),
      })
      let stored = 0
      expect(() => {
        for (; stored < 100; stored++) repository.objects.put(Buffer.alloc(50_000, stored))
      }).toThrow(full)
      expect(stored).toBeGreaterThan(5)

      const sink = repository.objects.create(3_000_000)
      await expect(async () => {
        for (let i = 0; i < 30; i++) await sink.write(Buffer.alloc(100_000, i))
        await sink.finish()
      }).rejects.toThrow(full)
      await sink.abort()

      const ids = [...repository.objects.ids()]
      expect(ids).toHaveLength(stored)
      for (const id of ids) repository.objects.verify(id)
      expect(filesBelow(`${path}/objects`)).toHaveLength(stored)
      expect(repository.stats).toMatchObject({ newObjects: stored, newBytes: stored * 50_000 })

      await repository.close()
    })

    test('cannot take a new repository, and nothing is left of the attempt', async (context) => {
      const small = smallFileSystem()
      if (small === undefined) return context.skip()
      const zeros = Buffer.alloc(4096)
      try {
        for (let i = 0; ; i++) writeFileSync(`${small.path}/${i}`, zeros)
      } catch {
        // Full.
      }
      const before = filesBelow(small.path)
      await expect(Repository.init(`${small.path}/repository`, { insecure: true })).rejects.toMatchObject({
        code: 'ERR_NO_SPACE',
      })
      expect(filesBelow(small.path)).toEqual(before)
    })
  })

  test('a file that is to be replaced on a full file system stays as it was', async (context) => {
    const small = smallFileSystem()
    if (small === undefined) return context.skip()
    const path = `${small.path}/image`
    writeFileSync(path, 'old')
    const full = { code: 'ERR_NO_SPACE', path, hint: expect.stringContaining('free space') }
    await expect(writeOutputFile(path, Buffer.alloc(2 ** 21))).rejects.toMatchObject(full)
    const file = new OutputFile(path)
    for (let i = 0; i < 20; i++) file.stream.write(Buffer.alloc(100_000))
    await expect(file.commit()).rejects.toMatchObject(full)
    expect(readFileSync(path, 'utf8')).toBe('old')
    expect(filesBelow(small.path)).toEqual(['image'])
    await writeOutputFile(path, Buffer.from('new'))
    expect(readFileSync(path, 'utf8')).toBe('new')
  })

  test('a read-only file system: reading works, writing says why not', async (context) => {
    const small = smallFileSystem()
    if (small === undefined) return context.skip()
    const path = `${small.path}/repository`
    const writer = await Repository.init(path, { insecure: true })
    const id = writer.objects.put(Buffer.from('contents'))
    await writer.transaction((transaction) => transaction.linkImage(id).setRef('images', 'name', id))
    await writer.close()
    small.makeReadOnly()
    const readOnly = { code: 'ERR_REPOSITORY_READONLY', hint: expect.stringContaining('read-only') }
    await expect(Repository.init(`${small.path}/other`, { insecure: true })).rejects.toMatchObject(readOnly)
    const repository = await Repository.open(path)
    expect(repository.readObject(repository.resolveImage('name')).toString()).toBe('contents')
    expect(() => repository.objects.put(Buffer.from('more'))).toThrow(expect.objectContaining(readOnly))
    expect(() => repository.removeRef('images', 'name')).toThrow(expect.objectContaining(readOnly))
    await expect(repository.linkImage(id)).rejects.toMatchObject(readOnly)
    await repository.close()
  })
}
