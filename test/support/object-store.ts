import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { describe, expect, test } from 'vitest'
import { type Algorithm, fsverityDigest, type ObjectId } from '../../src/fsverity/index.ts'
import { ObjectDirectory } from '../../src/repository/objects.ts'
import { cut } from './chunks.ts'
import { filesBelow } from './files.ts'
import { temporaryDirectory } from './temporary-directory.ts'

const mebibyte = 1024 * 1024

function store(algorithm: Algorithm = 'sha256'): ObjectDirectory {
  return new ObjectDirectory(join(temporaryDirectory(), 'objects'), algorithm)
}

/** As decay and malice do it: under the same name, and not in place. */
function replaceBy(path: string, bytes: Buffer): void {
  rmSync(path)
  writeFileSync(path, bytes)
}

async function feed(objects: ObjectDirectory, bytes: Buffer, sizes: number[]): Promise<ObjectId> {
  const sink = objects.create(bytes.length)
  for (const chunk of cut(bytes, sizes)) {
    await sink.write(chunk)
    chunk.fill(0xee)
  }
  return sink.finish()
}

/** What every way of making temporary files must hold. */
export function describeObjectStore(): void {
  describe('whole objects', () => {
    test('are stored once, under their digest', () => {
      const objects = store()
      const id = objects.put(Buffer.from('hello world'))
      expect(id.hex).toBe('1e2eaa4202d750a41174ee454970b92c1bc2f925b1e35076d8c7d5f56362ba64')
      const path = objects.pathOf(id)
      expect(path).toBe(`${objects.path}/1e/2eaa4202d750a41174ee454970b92c1bc2f925b1e35076d8c7d5f56362ba64`)
      expect(readFileSync(path, 'utf8')).toBe('hello world')
      expect(statSync(path).mode & 0o7777).toBe(0o644 & ~process.umask())
      expect(statSync(join(path, '..')).mode & 0o7777).toBe(0o755 & ~process.umask())
      expect(objects.put(Buffer.from('hello world'))).toEqual(id)
      const again = new ObjectDirectory(objects.path, 'sha256')
      expect(again.put(Buffer.from('hello world'))).toEqual(id)
      expect(objects.stats).toEqual({ newObjects: 1, newBytes: 11, presentObjects: 1, replacedObjects: 0 })
      expect(again.stats).toEqual({ newObjects: 0, newBytes: 0, presentObjects: 1, replacedObjects: 0 })
      expect(filesBelow(objects.path)).toHaveLength(1)
    })

    test('may be empty, and are views of nothing', () => {
      const objects = store('sha512')
      const empty = objects.put(Buffer.alloc(0))
      expect(objects.read(empty)).toHaveLength(0)
      const bytes = Buffer.from('changes later')
      const id = objects.put(bytes)
      bytes.fill(0)
      expect(objects.read(id).toString()).toBe('changes later')
      expect([...objects.ids()].map(({ hex }) => hex)).toEqual([empty.hex, id.hex].sort())
    })

    test('a file of the wrong size under the name is replaced', () => {
      const objects = store()
      const id = objects.put(Buffer.from('hello world'))
      truncateSync(objects.pathOf(id), 0)
      const again = new ObjectDirectory(objects.path, 'sha256')
      again.put(Buffer.from('hello world'))
      expect(again.stats).toEqual({ newObjects: 1, newBytes: 11, presentObjects: 0, replacedObjects: 1 })
      expect(again.read(id).toString()).toBe('hello world')
      expect(filesBelow(objects.path)).toHaveLength(1)
    })

    test('a file with other contents of the same size is replaced: a small one always', () => {
      const objects = store()
      const id = objects.put(Buffer.from('hello world'))
      replaceBy(objects.pathOf(id), Buffer.from('hello wOrld'))
      const again = new ObjectDirectory(objects.path, 'sha256')
      again.put(Buffer.from('hello world'))
      expect(again.stats).toEqual({ newObjects: 1, newBytes: 11, presentObjects: 0, replacedObjects: 1 })
      expect(again.read(id).toString()).toBe('hello world')
      // Also where nobody looks first, since what came before was new.
      replaceBy(objects.pathOf(id), Buffer.from('hello wOrld'))
      const next = new ObjectDirectory(objects.path, 'sha256')
      next.put(Buffer.from('new'))
      next.put(Buffer.from('hello world'))
      expect(next.stats).toMatchObject({ newObjects: 2, replacedObjects: 1 })
    })

    test.each([200_000, mebibyte + 1])('a large one (%i) where it is asked for, or one was damaged', async (size) => {
      const objects = store()
      const bytes = randomBytes(size)
      const damaged = Buffer.from(bytes)
      damaged[size - 1]! ^= 1
      const small = objects.put(Buffer.from('small'))
      const id = await feed(objects, bytes, [65536])
      const open = (verifyObjects = false) => new ObjectDirectory(objects.path, 'sha256', { verifyObjects })
      const storeAgain = async (again: ObjectDirectory) => {
        expect(await feed(again, Buffer.from(bytes), [65536])).toEqual(id)
        return again.stats.replacedObjects
      }
      replaceBy(objects.pathOf(id), damaged)
      const believing = open()
      expect(await storeAgain(believing)).toBe(0)
      expect(await storeAgain(open(true))).toBe(1)
      expect(await storeAgain(open(true))).toBe(0)
      replaceBy(objects.pathOf(id), damaged)
      replaceBy(objects.pathOf(small), Buffer.from('smal!'))
      expect(() => believing.read(small)).toThrow(expect.objectContaining({ code: 'ERR_REPOSITORY_CORRUPT' }))
      expect(await storeAgain(believing)).toBe(1)
      expect(believing.isIntact(id)).toBe(true)
    })

    test('one that was removed while it was known is stored again, once that was noticed', () => {
      const objects = store()
      const id = objects.put(Buffer.from('hello world'))
      rmSync(objects.pathOf(id))
      expect(objects.isIntact(id)).toBe(false)
      objects.put(Buffer.from('hello world'))
      expect(objects.read(id).toString()).toBe('hello world')
    })

    test('directories that vanish are made again', () => {
      const objects = store()
      const id = objects.put(Buffer.from('hello world'))
      rmSync(join(objects.pathOf(id), '..'), { recursive: true })
      const again = new ObjectDirectory(objects.path, 'sha256')
      again.put(Buffer.from('other'))
      rmSync(objects.path, { recursive: true })
      again.put(Buffer.from('hello world'))
      expect(again.read(id).toString()).toBe('hello world')
      // Another one that belongs into the same directory.
      const neighbour = Array.from({ length: 5000 }, (_, i) => Buffer.from(`${i}`)).find(
        (bytes) => fsverityDigest('sha256', bytes).path.slice(0, 2) === id.path.slice(0, 2),
      )!
      rmSync(join(objects.pathOf(id), '..'), { recursive: true })
      expect(again.read(again.put(neighbour)).equals(neighbour)).toBe(true)
    })

    test('what cannot be stored leaves nothing behind', () => {
      const objects = store()
      objects.put(Buffer.from('other'))
      const id = fsverityDigest('sha256', Buffer.from('hello world'))
      mkdirSync(objects.pathOf(id), { recursive: true })
      expect(() => objects.put(Buffer.from('hello world'))).toThrow(
        expect.objectContaining({ code: 'ERR_IO', path: objects.pathOf(id) }),
      )
      expect(filesBelow(objects.path)).toHaveLength(1)
    })

    test('beforeWrite can forbid', () => {
      const path = join(temporaryDirectory(), 'objects')
      const objects = new ObjectDirectory(path, 'sha256', {
        beforeWrite: () => {
          throw new Error('no')
        },
      })
      expect(() => objects.put(Buffer.from('x'))).toThrow('no')
      expect(() => objects.create(1)).toThrow('no')
      expect(existsSync(path)).toBe(false)
    })
  })

  describe('objects in pieces', () => {
    test.each([0, 1, 65, mebibyte - 1, mebibyte, mebibyte + 1, 2 * mebibyte, 5 * mebibyte + 4097])(
      '%i bytes, whatever the chunks',
      async (size) => {
        const bytes = randomBytes(size)
        const expected = fsverityDigest('sha256', bytes)
        for (const sizes of [[65536], [3 * mebibyte], [4095, 700_001, 1]]) {
          const objects = store()
          expect(await feed(objects, bytes, sizes)).toEqual(expected)
          expect(objects.read(expected).equals(bytes)).toBe(true)
          expect(objects.stats).toMatchObject({ newObjects: 1, newBytes: size })
          expect(filesBelow(objects.path)).toHaveLength(1)
          expect(await feed(objects, bytes, sizes)).toEqual(expected)
          expect(objects.stats).toMatchObject({ newObjects: 1, presentObjects: 1 })
          expect(filesBelow(objects.path)).toHaveLength(1)
        }
      },
    )

    test('many at once, some of them the same', async () => {
      const objects = store()
      const contents = Array.from({ length: 12 }, (_, i) => Buffer.alloc(2 * mebibyte + (i % 4), i % 4))
      const ids = await Promise.all(contents.map((bytes) => feed(objects, bytes, [300_000])))
      expect(new Set(ids.map(({ hex }) => hex)).size).toBe(4)
      for (const [i, id] of ids.entries()) expect(objects.read(id).equals(contents[i]!)).toBe(true)
      expect(objects.stats).toMatchObject({ newObjects: 4, presentObjects: 8 })
      expect(filesBelow(objects.path)).toHaveLength(4)
    })

    test.each([100, 3 * mebibyte])('the size has to be right (%i)', async (size) => {
      const objects = store()
      const long = objects.create(size - 1)
      await expect(async () => {
        for (const chunk of cut(Buffer.alloc(size), [65536])) await long.write(chunk)
      }).rejects.toMatchObject({ code: 'ERR_SIZE_MISMATCH' })
      await long.abort()
      const short = objects.create(size + 1)
      for (const chunk of cut(Buffer.alloc(size), [65536])) await short.write(chunk)
      await expect(short.finish()).rejects.toMatchObject({
        code: 'ERR_SIZE_MISMATCH',
        expected: size + 1,
        actual: size,
      })
      expect(existsSync(objects.path) ? filesBelow(objects.path) : []).toEqual([])
    })

    test('giving up leaves nothing behind, also in the middle of a write', async () => {
      const objects = store()
      const sink = objects.create(10 * mebibyte)
      void sink.write(Buffer.alloc(3 * mebibyte))
      await sink.abort()
      await sink.abort()
      expect(filesBelow(objects.path)).toEqual([])
      expect(() => sink.write(Buffer.alloc(1))).toThrow(expect.objectContaining({ code: 'ERR_STREAM_ORDER' }))
      await expect(sink.finish()).rejects.toMatchObject({ code: 'ERR_STREAM_ORDER' })
    })

    test.each([-1, 0.5, Number.NaN, 2 ** 53])('%d is no size', (size) => {
      expect(() => store().create(size)).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
    })
  })

  describe('reading', () => {
    test('whole or as a stream', async () => {
      const objects = store()
      const bytes = randomBytes(mebibyte + 17)
      const id = objects.put(bytes)
      expect(objects.read(id).equals(bytes)).toBe(true)
      expect((await buffer(objects.open(id))).equals(bytes)).toBe(true)
      expect([objects.has(id), objects.sizeOf(id)]).toEqual([true, bytes.length])
      objects.verify(id)
    })

    test('damage is noticed, unless nobody wants to know', async () => {
      const objects = store()
      const id = objects.put(randomBytes(mebibyte))
      chmodSync(objects.pathOf(id), 0o644)
      const damaged = readFileSync(objects.pathOf(id))
      damaged[500_000]! ^= 1
      writeFileSync(objects.pathOf(id), damaged)
      const corrupt = { code: 'ERR_REPOSITORY_CORRUPT', path: objects.pathOf(id), expected: id.hex }
      expect(() => objects.read(id)).toThrow(expect.objectContaining(corrupt))
      expect(() => objects.verify(id)).toThrow(expect.objectContaining(corrupt))
      await expect(buffer(objects.open(id))).rejects.toMatchObject(corrupt)
      expect(objects.read(id, { verify: false }).equals(damaged)).toBe(true)
      expect((await buffer(objects.open(id, { verify: false }))).equals(damaged)).toBe(true)
    })

    test('what is not there, too large, or of another repository', async () => {
      const objects = store()
      const absent = fsverityDigest('sha256', Buffer.from('absent'))
      const missing = { code: 'ERR_NOT_FOUND', path: objects.pathOf(absent) }
      expect(objects.has(absent)).toBe(false)
      expect(() => objects.sizeOf(absent)).toThrow(expect.objectContaining(missing))
      expect(() => objects.read(absent)).toThrow(expect.objectContaining(missing))
      expect(() => objects.verify(absent)).toThrow(expect.objectContaining(missing))
      await expect(buffer(objects.open(absent))).rejects.toMatchObject(missing)
      const id = objects.put(Buffer.alloc(1000))
      expect(() => objects.read(id, { limit: 999 })).toThrow(
        expect.objectContaining({ code: 'ERR_LIMIT', actual: 1000 }),
      )
      expect(objects.read(id, { limit: 1000 })).toHaveLength(1000)
      const other = fsverityDigest('sha512', Buffer.from('x'))
      expect(() => objects.read(other)).toThrow(expect.objectContaining({ code: 'ERR_ALGORITHM_MISMATCH' }))
      expect(() => objects.open(other)).toThrow(expect.objectContaining({ code: 'ERR_ALGORITHM_MISMATCH' }))
    })

    test('what is no file is damaged, and keeps nobody waiting', async () => {
      const corrupt = { code: 'ERR_REPOSITORY_CORRUPT' }
      for (const make of [mkdirSync, (path: string) => execFileSync('mkfifo', [path])]) {
        const objects = store()
        const id = objects.put(Buffer.from('hello world'))
        rmSync(objects.pathOf(id))
        make(objects.pathOf(id))
        expect(() => objects.read(id)).toThrow(expect.objectContaining(corrupt))
        expect(() => objects.verify(id)).toThrow(expect.objectContaining(corrupt))
        await expect(buffer(objects.open(id))).rejects.toMatchObject(corrupt)
        expect(objects.isIntact(id)).toBe(false)
      }
    })

    test('what cannot be looked at is an error of ours', async () => {
      const objects = store()
      const id = fsverityDigest('sha256', Buffer.from('x'))
      mkdirSync(objects.path)
      const directory = id.path.slice(0, 2)
      symlinkSync(directory, join(objects.path, directory))
      const loop = { code: 'ERR_IO', path: objects.pathOf(id) }
      expect(() => objects.has(id)).toThrow(expect.objectContaining(loop))
      expect(() => objects.read(id)).toThrow(expect.objectContaining(loop))
      expect(() => objects.put(Buffer.from('x'))).toThrow(expect.objectContaining(loop))
      await expect(buffer(objects.open(id))).rejects.toMatchObject(loop)
    })

    test('a stream that is not read to its end lets go', async () => {
      const objects = store()
      const id = objects.put(randomBytes(3 * mebibyte))
      for await (const chunk of objects.open(id)) {
        expect(chunk).toBeInstanceOf(Buffer)
        break
      }
      const before = readdirSync('/proc/self/fd').length
      const streams = Array.from({ length: 50 }, () => objects.open(id))
      await Promise.all(
        streams.map(async (stream) => {
          for await (const _ of stream) break
        }),
      )
      expect(readdirSync('/proc/self/fd').length).toBeLessThan(before + 25)
    })

    test('only objects are listed', () => {
      const objects = store()
      const id = objects.put(Buffer.from('x'))
      writeFileSync(join(objects.path, '.tmp-object-abc'), '')
      writeFileSync(join(objects.pathOf(id), '..', 'stray'), '')
      mkdirSync(join(objects.path, 'zz'))
      symlinkSync('x', join(objects.path, 'link'))
      expect([...objects.ids()]).toEqual([id])
      expect([...store().ids()]).toEqual([])
    })
  })
}
