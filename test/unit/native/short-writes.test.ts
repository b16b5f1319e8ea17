/** Systems may write less than they were asked to: what is stored has to be whole all the same. */
import { randomBytes } from 'node:crypto'
import { fstatSync, readdirSync, readFileSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { beforeEach, expect, test, vi } from 'vitest'
import { closeDraft, writeDraft } from '../../../src/native/draft-files.ts'
import { ObjectDirectory } from '../../../src/repository/objects.ts'
import { TemporaryFiles } from '../../../src/repository/temporary.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

const disk = vi.hoisted(() => ({ most: Number.POSITIVE_INFINITY, failAfter: Number.POSITIVE_INFINITY, writes: 0 }))

vi.mock('node:fs', async (original) => {
  const fs = await original<typeof import('node:fs')>()
  const full = () => Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC', errno: -28 })
  const counted = (length: number): number => {
    if (++disk.writes > disk.failAfter) throw full()
    return Math.min(length, disk.most)
  }
  return {
    ...fs,
    writeSync: (fd: number, bytes: Buffer, at = 0, length = bytes.length - at, position: number | null = null) =>
      fs.writeSync(fd, bytes, at, counted(length), position),
    write: (
      fd: number,
      bytes: Buffer,
      at: number,
      length: number,
      position: number | null,
      done: (error: Error | null, written?: number) => void,
    ) => {
      try {
        fs.write(fd, bytes, at, counted(length), position, done)
      } catch (error) {
        done(error as Error)
      }
    },
  }
})

beforeEach(() => {
  Object.assign(disk, { most: Number.POSITIVE_INFINITY, failAfter: Number.POSITIVE_INFINITY, writes: 0 })
})

const bytes = randomBytes(10_000)
const openFiles = () => readdirSync('/proc/self/fd').length

function contentsOf(fd: number): Buffer {
  const path = `/proc/self/fd/${fd}`
  return readFileSync(path)
}

test.each([1, 999, 4096, 9999])('a draft is whole where %i bytes go at a time', (most) => {
  disk.most = most
  const fd = writeDraft({ directory: temporaryDirectory() }, bytes)
  expect(fd).toBeGreaterThan(0)
  expect(contentsOf(fd).equals(bytes)).toBe(true)
  expect(disk.writes).toBe(Math.ceil(bytes.length / most))
  closeDraft(fd)
  expect(() => fstatSync(fd)).toThrow(expect.objectContaining({ code: 'EBADF' }))
})

test('a draft that cannot be written to its end is none, and leaves nothing open', () => {
  const directory = temporaryDirectory()
  const before = openFiles()
  Object.assign(disk, { most: 1000, failAfter: 3 })
  expect(writeDraft({ directory }, bytes)).toBe(-1)
  expect(openFiles()).toBe(before)
  expect(readdirSync(directory)).toEqual([])
})

test('so is one in a directory that is not there', () => {
  expect(writeDraft({ directory: join(temporaryDirectory(), 'none') }, bytes)).toBe(-1)
})

test('a draft has the mode that is asked for, and can be stored', () => {
  const objects = new ObjectDirectory(join(temporaryDirectory(), 'objects'), 'sha256', { mode: 0o640 })
  objects.put(Buffer.from('first'))
  disk.most = 777
  const { drafts } = objects
  if (drafts === undefined) return
  const fd = writeDraft(drafts, bytes)
  expect(fstatSync(fd).mode & 0o7777).toBe(0o640)
  const id = objects.putDraft(fd, bytes.length, new ObjectDirectory(objects.path, 'sha256').put(Buffer.from(bytes)))
  expect(objects.isIntact(id)).toBe(true)
})

test.each([100, 700_001])('objects are whole where %i bytes go at a time', async (most) => {
  disk.most = most
  const objects = new ObjectDirectory(join(temporaryDirectory(), 'objects'), 'sha256')
  const small = objects.put(bytes)
  expect(objects.isIntact(small)).toBe(true)
  const large = randomBytes(most === 100 ? 1_100_000 : 3_000_000)
  const sink = objects.create(large.length)
  await sink.write(large)
  const id = await sink.finish()
  expect(objects.isIntact(id)).toBe(true)
})

test('a temporary file goes on where a write ended', () => {
  disk.most = 3
  const file = new TemporaryFiles(temporaryDirectory(), 'tmp-').create()
  file.write(Buffer.from('hello '))
  file.write(Buffer.from('world'))
  file.seal()
  const read = Buffer.alloc(20)
  expect(read.toString('latin1', 0, readSync(file.fd, read, 0, 20, 0))).toBe('hello world')
  file.close()
})
