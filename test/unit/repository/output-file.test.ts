import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  closeSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { OutputFile, writeOutputFile } from '../../../src/repository/index.ts'
import * as sync from '../../../src/repository/sync.ts'
import { openInputFile } from '../../../src/sources/input-file.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

vi.mock('../../../src/repository/sync.ts', { spy: true })
afterEach(() => {
  vi.resetAllMocks()
})

const read = (path: string) => readFileSync(path, 'utf8')

function fifo(): string {
  const path = join(temporaryDirectory(), 'fifo')
  execFileSync('mkfifo', [path])
  return path
}

describe('a file', () => {
  test('is the old one until the new one is whole, and has its place then', async () => {
    const directory = temporaryDirectory()
    const path = join(directory, 'image')
    writeFileSync(path, 'old')
    linkSync(path, join(directory, 'kept'))
    const file = new OutputFile(path)
    file.stream.write('new')
    await new Promise((resolve) => file.stream.write(' contents', resolve))
    expect(read(path)).toBe('old')
    await file.commit()
    expect(read(path)).toBe('new contents')
    expect(read(join(directory, 'kept'))).toBe('old')
    expect(readdirSync(directory).sort()).toEqual(['image', 'kept'])
    expect(vi.mocked(sync.syncDirectory)).toHaveBeenCalledWith(directory)
  })

  test('that is given up changes nothing', async () => {
    const directory = temporaryDirectory()
    const path = join(directory, 'image')
    writeFileSync(path, 'old')
    const file = new OutputFile(path)
    file.stream.write(Buffer.alloc(100_000))
    await file.discard()
    await file.discard()
    const reason = new Error('enough')
    await expect(writeOutputFile(path, Buffer.alloc(10), AbortSignal.abort(reason))).rejects.toBe(reason)
    expect(read(path)).toBe('old')
    expect(readdirSync(directory)).toEqual(['image'])
  })

  test('keeps its permissions; a new one has those of the umask', async () => {
    const path = join(temporaryDirectory(), 'image')
    await writeOutputFile(path, Buffer.from('a'))
    expect(statSync(path).mode & 0o7777).toBe(0o666 & ~process.umask())
    chmodSync(path, 0o640)
    await writeOutputFile(path, Buffer.from('b'))
    expect([read(path), statSync(path).mode & 0o7777]).toEqual(['b', 0o640])
  })

  test('is found through symlinks, which stay', async () => {
    const directory = temporaryDirectory()
    mkdirSync(join(directory, 'sub'))
    symlinkSync('sub/second', join(directory, 'first'))
    symlinkSync('../image', join(directory, 'sub/second'))
    for (const contents of ['new', 'newer']) {
      await writeOutputFile(join(directory, 'first'), Buffer.from(contents))
      expect(read(join(directory, 'image'))).toBe(contents)
    }
    expect(readlinkSync(join(directory, 'first'))).toBe('sub/second')
    expect(readlinkSync(join(directory, 'sub/second'))).toBe('../image')
  })

  test.each([
    ['in no directory', 'none/image', 'ERR_NOT_FOUND'],
    ['that is a directory', 'directory', 'ERR_IO'],
    ['that would be a directory', 'new/', 'ERR_IO'],
    ['below a file', 'file/image', 'ERR_NOT_FOUND'],
    ['of symlinks that go round', 'loop', 'ERR_IO'],
  ])('%s is refused', async (_what, name, code) => {
    const directory = temporaryDirectory()
    mkdirSync(join(directory, 'directory'))
    writeFileSync(join(directory, 'file'), '')
    symlinkSync('loop', join(directory, 'loop'))
    await expect(writeOutputFile(`${directory}/${name}`, Buffer.from('x'))).rejects.toMatchObject({ code })
    expect(readdirSync(directory).sort()).toEqual(['directory', 'file', 'loop'])
  })
})

describe('what is no file, or open already, is written as it is', () => {
  test('a device', async () => {
    await writeOutputFile('/dev/null', Buffer.alloc(100_000))
    expect(statSync('/dev/null').isCharacterDevice()).toBe(true)
  })

  test('a file behind a descriptor', async () => {
    const path = join(temporaryDirectory(), 'image')
    const fd = openSync(path, 'w')
    const { ino } = statSync(path)
    await writeOutputFile(`/proc/self/fd/${fd}`, Buffer.from('contents'))
    closeSync(fd)
    expect([read(path), statSync(path).ino]).toEqual(['contents', ino])
  })

  test('a FIFO, once somebody reads it', async () => {
    const path = fifo()
    const writing = writeOutputFile(path, Buffer.alloc(300_000, 'x'))
    const contents = await text(openInputFile(path))
    await writing
    expect(contents).toBe('x'.repeat(300_000))
  })

  test('a FIFO that nobody reads is no reason to wait for ever', async () => {
    const abort = new AbortController()
    const writing = writeOutputFile(fifo(), Buffer.from('x'), abort.signal)
    await sleep(0)
    const reason = new Error('enough')
    abort.abort(reason)
    await expect(writing).rejects.toBe(reason)
  })
})

test('a name that could not be brought to disk is no success', async () => {
  const path = join(temporaryDirectory(), 'image')
  vi.mocked(sync.syncDirectory).mockRejectedValueOnce(Object.assign(new Error(), { code: 'EIO' }))
  await expect(writeOutputFile(path, Buffer.from('x'))).rejects.toMatchObject({ code: 'ERR_IO', path })
})
