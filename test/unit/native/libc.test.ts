import { closeSync, constants as fsConstants, openSync, readFileSync, writeSync } from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { atCurrentDirectory, atSymlinkFollow, lockOperation, native, requireNative } from '../../../src/native/libc.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

const { EBADF, EAGAIN, EEXIST } = constants.errno
const libc = native()
if (libc === undefined) console.warn('skipped: koffi does not load here')

describe.skipIf(libc === undefined)('system calls through koffi', () => {
  test('it is loaded once', () => {
    expect(native()).toBe(libc)
    expect(requireNative('test', 'do not')).toBe(libc)
  })

  test('flock: two descriptors of one directory exclude each other', () => {
    const directory = temporaryDirectory()
    const [a, b] = [openSync(directory, 'r'), openSync(directory, 'r')]
    const { shared, exclusive, nonBlocking, unlock } = lockOperation
    expect(libc?.flock(a, shared)).toBe(0)
    expect(libc?.flock(b, shared | nonBlocking)).toBe(0)
    expect(libc?.flock(b, exclusive | nonBlocking)).toBe(EAGAIN)
    expect(libc?.flock(a, unlock)).toBe(0)
    expect(libc?.flock(b, exclusive | nonBlocking)).toBe(0)
    closeSync(a)
    closeSync(b)
    expect(libc?.flock(b, shared)).toBe(EBADF)
  })

  test('linkat names a file that has no name, and does not overwrite', () => {
    const directory = temporaryDirectory()
    const O_TMPFILE = 0o20000000 | fsConstants.O_DIRECTORY
    const fd = openSync(directory, O_TMPFILE | fsConstants.O_WRONLY, 0o644)
    writeSync(fd, 'contents')
    const path = join(directory, 'ä name')
    const link = () =>
      libc?.linkat(atCurrentDirectory, `/proc/self/fd/${fd}`, atCurrentDirectory, path, atSymlinkFollow)
    expect(link()).toBe(0)
    expect(link()).toBe(EEXIST)
    closeSync(fd)
    expect(readFileSync(path, 'utf8')).toBe('contents')
  })

  test('ioctl and syncfs report their errno', async () => {
    expect(libc?.ioctl(-1, 0x40806685, Buffer.alloc(128))).toBe(EBADF)
    expect(await libc?.syncfs(-1)).toBe(EBADF)
    const fd = openSync(temporaryDirectory(), 'r')
    expect(await libc?.syncfs(fd)).toBe(0)
    closeSync(fd)
  })
})
