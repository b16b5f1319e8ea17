import {
  closeSync,
  constants as fsConstants,
  lstatSync,
  openSync,
  readFileSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { atCurrentDirectory, atSymlinkFollow, lockOperation, native, requireNative } from '../../../src/native/libc.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

const { EBADF, EAGAIN, EEXIST, EINVAL, ENOENT, ENOTTY, EOPNOTSUPP } = constants.errno
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

  test('malloc_trim is there where glibc is', () => {
    const { header } = process.report.getReport() as { header: { glibcVersionRuntime?: string } }
    expect(libc?.mallocTrim !== undefined).toBe(header.glibcVersionRuntime !== undefined)
    expect(libc?.mallocTrim?.()).toBeUndefined()
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

  test('linkat takes a name of any bytes', () => {
    const directory = temporaryDirectory()
    writeFileSync(join(directory, 'file'), '')
    const path = Buffer.from(`${directory}/\xff\0`, 'latin1')
    expect(libc?.linkat(atCurrentDirectory, join(directory, 'file'), atCurrentDirectory, path, 0)).toBe(0)
    expect(lstatSync(path.subarray(0, -1)).nlink).toBe(2)
  })

  test('mknodat makes pipes, and sockets that nobody listens on', () => {
    const directory = temporaryDirectory()
    const fd = openSync(directory, 'r')
    expect(libc?.mknodat(fd, Buffer.from('fifo\0'), 0o010600, 0)).toBe(0)
    expect(libc?.mknodat(fd, Buffer.from('\xff\0', 'latin1'), 0o140600, 0)).toBe(0)
    expect(libc?.mknodat(fd, Buffer.from('fifo\0'), 0o010600, 0)).toBe(EEXIST)
    expect(lstatSync(join(directory, 'fifo')).isFIFO()).toBe(true)
    expect(lstatSync(Buffer.from(`${directory}/\xff`, 'latin1')).isSocket()).toBe(true)
    closeSync(fd)
  })

  test('setMtime keeps nanoseconds, and the other time', () => {
    const path = join(temporaryDirectory(), 'file')
    writeFileSync(path, '')
    const before = lstatSync(path, { bigint: true })
    expect(libc?.setMtime(path, -7n, 123_456_789)).toBe(0)
    const { mtimeNs, atimeNs } = lstatSync(path, { bigint: true })
    expect(mtimeNs).toBe(-6_876_543_211n)
    expect(atimeNs).toBe(before.atimeNs)
    expect(libc?.setMtime(`${path}-missing`, 0n, 0)).toBe(ENOENT)
  })

  test('ficlone shares blocks, or says why not', () => {
    const directory = temporaryDirectory()
    writeFileSync(join(directory, 'a'), 'contents')
    const [from, to] = [openSync(join(directory, 'a'), 'r'), openSync(join(directory, 'b'), 'w')]
    const errno = libc?.ficlone(to, from)
    expect([0, EOPNOTSUPP, ENOTTY, EINVAL]).toContain(errno)
    expect(readFileSync(join(directory, 'b'), 'utf8')).toBe(errno === 0 ? 'contents' : '')
    expect(libc?.ficlone(-1, from)).toBe(EBADF)
    closeSync(from)
    closeSync(to)
  })
})
