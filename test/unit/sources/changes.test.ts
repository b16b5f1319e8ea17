/** What happens to a directory while it is scanned: always an error that names the path. */
import {
  appendFileSync,
  chmodSync,
  constants,
  linkSync,
  mkdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { native } from '../../../src/native/libc.ts'
import { scanDirectory } from '../../../src/sources/index.ts'
import { DirectoryScan } from '../../../src/sources/scan.ts'
import { freshDirectory, openDescriptors } from '../../support/disk.ts'
import { mknod } from '../../support/posix.ts'
import { drain, pullTo } from '../../support/scan.ts'
import { scansDirectories } from '../../support/xattrs.ts'

scansDirectories()

const large = Buffer.alloc(3 * 1024 * 1024, 'a')

/** A directory `d` with a large file `b` between two others, and one with a hardlink. */
function directory(): string {
  const root = freshDirectory()
  mkdirSync(join(root, 'd'))
  writeFileSync(join(root, 'd/a'), 'a')
  writeFileSync(join(root, 'd/b'), large)
  writeFileSync(join(root, 'd/c'), 'c')
  mkdirSync(join(root, 'e'))
  linkSync(join(root, 'd/a'), join(root, 'e/link'))
  return root
}

/** Scans up to the entry, changes something, scans on: the error, with its path below the root. */
function disturb(until: string, change: (root: string) => void, openDirectories = 64): string {
  const root = directory()
  const before = openDescriptors()
  const records = new DirectoryScan(root, { openDirectories }).records()
  pullTo(records, until)
  change(root)
  let error: { code?: string; path?: string; message: string } | undefined
  try {
    drain(records)
  } catch (thrown) {
    error = thrown as typeof error
  }
  expect(error?.code).toBe('ERR_SOURCE_CHANGED')
  expect(error?.path?.startsWith(root)).toBe(true)
  expect(openDescriptors()).toBe(before)
  return `${error!.path!.slice(root.length)}: ${error!.message.split(':')[0]}`
}

describe('a file that is being read', () => {
  test.each<[string, string, (path: string) => void]>([
    ['is truncated', 'it became shorter while it was read', (path) => truncateSync(path, 100)],
    ['grows', 'it changed while it was read', (path) => appendFileSync(path, 'x')],
    ['is written anew', 'it changed while it was read', (path) => writeFileSync(path, large)],
    ['changes its mode', 'it changed while it was read', (path) => chmodSync(path, 0o600)],
    ['gets a time back that it had', 'it changed while it was read', (path) => utimesSync(path, 1, 1)],
    ['is removed', 'it changed while it was read', (path) => unlinkSync(path)],
    ['is replaced', 'it changed while it was read', (path) => renameSync(join(path, '../c'), path)],
  ])('%s', (_, what, change) => {
    expect(disturb('/d/b', (root) => change(join(root, 'd/b')))).toBe(`/d/b: ${what}`)
  })
})

describe('a name that was listed and not yet opened', () => {
  const vanished = 'it vanished while the directory was scanned'
  const replaced = 'it was replaced by something else while the directory was scanned'

  test('vanishes', () => {
    expect(disturb('/d/a', (root) => unlinkSync(join(root, 'd/c')))).toBe(`/d/c: ${vanished}`)
  })

  test('becomes a symlink, which is not followed', () => {
    const change = (root: string) => {
      unlinkSync(join(root, 'd/c'))
      symlinkSync('/etc/passwd', join(root, 'd/c'))
    }
    expect(disturb('/d/a', change)).toBe(`/d/c: ${replaced}`)
  })

  test('becomes a directory', () => {
    const change = (root: string) => {
      unlinkSync(join(root, 'd/c'))
      mkdirSync(join(root, 'd/c'))
    }
    expect(disturb('/d/a', change)).toBe(`/d/c: ${replaced}`)
  })

  test.skipIf(native() === undefined)('becomes a FIFO, for whose writer nobody waits', () => {
    const change = (root: string) => {
      unlinkSync(join(root, 'd/c'))
      mknod(Buffer.from(join(root, 'd/c')), constants.S_IFIFO | 0o600)
    }
    expect(disturb('/d/a', change)).toBe(`/d/c: ${replaced}`)
  })

  test('a directory becomes a symlink to one', () => {
    const change = (root: string) => {
      renameSync(join(root, 'e'), join(root, 'f'))
      symlinkSync('f', join(root, 'e'))
    }
    expect(disturb('/d', change)).toBe(`/e: ${replaced}`)
  })
})

describe('a directory', () => {
  const changed = 'it changed while it was read'

  test.each<[string, (root: string) => void]>([
    ['gets another file', (root) => writeFileSync(join(root, 'd/new'), '')],
    ['loses one that was read', (root) => unlinkSync(join(root, 'd/a'))],
    [
      'has one that was read replaced',
      (root) => {
        writeFileSync(join(root, 'other'), 'other')
        renameSync(join(root, 'other'), join(root, 'd/a'))
      },
    ],
    ['changes its mode', (root) => chmodSync(join(root, 'd'), 0o700)],
  ])('%s', (_, change) => {
    expect(disturb('/d/c', change)).toBe(`/d: ${changed}`)
  })

  test('is moved: the one above has changed', () => {
    expect(disturb('/d/c', (root) => renameSync(join(root, 'd'), join(root, 'moved')))).toMatch(/^(\/d)?: it changed/)
  })

  test('is moved elsewhere while the one above is closed', () => {
    const change = (root: string) => {
      mkdirSync(join(root, 'e/deeper'))
      renameSync(join(root, 'd'), join(root, 'e/deeper/d'))
    }
    expect(disturb('/d/c', change, 1)).toMatch(/^(\/d)?: (it changed|directories were moved)/)
  })

  test('vanishes with all in it', () => {
    const what = 'it vanished while the directory was scanned'
    expect(disturb('/d/c', (root) => rmSync(join(root, 'e'), { recursive: true }))).toBe(`/e: ${what}`)
  })
})

test('an inode that was written to before its second name is met', () => {
  const what = 'it changed after /d/a, the same inode, was read'
  const change = (root: string) => appendFileSync(join(root, 'e/link'), 'more')
  expect(disturb('/e', change)).toBe(`/e/link: ${what}`)
})

test('something that changes all the time ends in an error', async () => {
  const root = freshDirectory()
  const log = join(root, 'log')
  // The directory has to be at rest for longer than the scan wants, and the file has not.
  const changedAt = (path: string) => statSync(path).ctimeMs
  do writeFileSync(log, '')
  while (changedAt(log) < changedAt(root) + 50)
  // Where the scan waits for it to rest, it changes again: no other process has to be quick enough.
  const wait = vi.spyOn(Atomics, 'wait').mockImplementation(() => {
    appendFileSync(log, 'x')
    return 'timed-out'
  })
  const now = vi.spyOn(Date, 'now').mockImplementation(() => Math.ceil(changedAt(log)) + 1)
  onTestFinished(() => {
    wait.mockRestore()
    now.mockRestore()
  })
  await expect(scanDirectory(root).toArray()).rejects.toMatchObject({ code: 'ERR_SOURCE_CHANGED', path: log })
  expect(wait.mock.calls.length).toBeGreaterThan(10)
})
