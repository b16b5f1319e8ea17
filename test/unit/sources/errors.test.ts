/** What cannot be scanned, and what is said about it. */
import { execFileSync, spawnSync } from 'node:child_process'
import { chmodSync, linkSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { fromLatin1 } from '../../../src/bytes.ts'
import { native } from '../../../src/native/libc.ts'
import { setXattr } from '../../../src/native/xattr.ts'
import { scanDirectory } from '../../../src/sources/index.ts'
import { DirectoryScan, type ScanOptions } from '../../../src/sources/scan.ts'
import { freshDirectory, isRoot, openDescriptors } from '../../support/disk.ts'
import { gather } from '../../support/scan.ts'
import { scansDirectories } from '../../support/xattrs.ts'

scansDirectories()

const entries = (path: string, options: ScanOptions) => gather(new DirectoryScan(path, options).records())

afterEach(() => {
  vi.unstubAllEnvs()
  vi.doUnmock('node:fs')
  vi.resetModules()
})

describe('the top', () => {
  test('that is not there, is no directory, or is a symlink to one', async () => {
    const root = freshDirectory()
    writeFileSync(join(root, 'file'), '')
    symlinkSync('.', join(root, 'link'))
    const scan = (name: string) => scanDirectory(join(root, name)).toArray()
    await expect(scan('absent')).rejects.toMatchObject({ code: 'ERR_NOT_FOUND', path: join(root, 'absent') })
    await expect(scan('file')).rejects.toMatchObject({ code: 'ERR_NOT_DIRECTORY', path: join(root, 'file') })
    await expect(scan('link')).rejects.toMatchObject({
      code: 'ERR_NOT_DIRECTORY',
      message: expect.stringContaining('it is a symlink: name the directory that it leads to'),
    })
    expect(entries(`${root}/link/.`, {}).map(({ entry }) => entry.path)).toEqual(['/', '/file', '/link'])
  })

  test('without /proc there is no scan', async () => {
    vi.doMock('node:fs', async (original) => ({ ...(await original<object>()), existsSync: () => false }))
    vi.resetModules()
    const { DirectoryScan: Scan } = await import('../../../src/sources/scan.ts')
    expect(() => new Scan('/').records().next()).toThrow(
      expect.objectContaining({ code: 'ERR_IO', message: expect.stringContaining('mount -t proc') }),
    )
  })
})

describe('what may not be read', () => {
  /** As a user who is not root, with the file system's permissions. */
  function asNobody<T>(use: () => T): T {
    if (!isRoot) return use()
    process.seteuid!(65534)
    try {
      return use()
    } finally {
      process.seteuid!(0)
    }
  }

  test.each([
    [
      'a file',
      (root: string) => {
        writeFileSync(join(root, 'secret'), 'secret')
        chmodSync(join(root, 'secret'), 0)
      },
    ],
    ['a directory', (root: string) => mkdirSync(join(root, 'secret'), 0)],
  ])('%s names its path', (_, make) => {
    const root = freshDirectory()
    chmodSync(join(root, '..'), 0o755)
    make(root)
    const before = openDescriptors()
    expect(() => asNobody(() => entries(root, {}))).toThrow(
      expect.objectContaining({
        code: 'ERR_IO',
        path: join(root, 'secret'),
        message: expect.stringContaining('EACCES'),
        hint: expect.stringContaining('a user who may read it'),
      }),
    )
    expect(openDescriptors()).toBe(before)
  })
})

test.skipIf(native() === undefined)('an attribute that fs-xattr cannot have names its inode', async () => {
  const root = freshDirectory()
  writeFileSync(join(root, 'file'), '')
  setXattr(join(root, 'file'), fromLatin1('user.\xff'), Buffer.alloc(0))
  vi.stubEnv('COMPOSEFS_NATIVE', '0')
  vi.resetModules()
  const { DirectoryScan: Scan } = await import('../../../src/sources/scan.ts')
  expect(() => gather(new Scan(root).records())).toThrow(
    expect.objectContaining({ code: 'ERR_ARGUMENT', path: join(root, 'file') }),
  )
})

describe.skipIf(!isRoot || spawnSync('unshare', ['--mount', 'true']).status !== 0)('file systems mounted below', () => {
  function mount(...args: string[]): void {
    execFileSync('mount', args)
    onTestFinished(() => void spawnSync('umount', [args.at(-1)!]))
  }

  /** `in` is another file system with a file in it, `file` a file of one; `same` is a bind mount of the same one. */
  function mounted(): string {
    const root = freshDirectory()
    for (const name of ['in', 'same', 'from']) mkdirSync(join(root, name))
    writeFileSync(join(root, 'file'), '')
    writeFileSync(join(root, 'from/here'), 'contents')
    mount('-t', 'tmpfs', '-o', 'mode=0711', 'tmpfs', join(root, 'in'))
    writeFileSync(join(root, 'in/inside'), 'contents')
    linkSync(join(root, 'in/inside'), join(root, 'in/second'))
    mount('--bind', join(root, 'from'), join(root, 'same'))
    return root
  }

  test('are refused by default, naming the path', async () => {
    const root = mounted()
    await expect(scanDirectory(root).toArray()).rejects.toMatchObject({
      code: 'ERR_SOURCE_MOUNT',
      path: join(root, 'in'),
      message: expect.stringContaining('--one-file-system=skip'),
    })
  })

  test('are left out empty, also where a single file is mounted; a bind mount of the same one is none', () => {
    const root = mounted()
    mount('--bind', join(root, 'in/inside'), join(root, 'file'))
    const found = entries(root, { oneFileSystem: 'skip' })
    expect(found.map(({ entry, body }) => [entry.path, entry.type, entry.size, body.length])).toEqual([
      ['/', 'directory', 0, 0],
      ['/file', 'file', 0, 0],
      ['/from', 'directory', 0, 0],
      ['/from/here', 'file', 8, 8],
      ['/in', 'directory', 0, 0],
      ['/same', 'directory', 0, 0],
      ['/same/here', 'hardlink', 0, 0],
    ])
    expect(found[4]?.entry.mode).toBe(0o711)
    expect(() => entries(root, {})).toThrow(expect.objectContaining({ path: join(root, 'file') }))
  })

  test('are scanned too where that is asked for', () => {
    const root = mounted()
    for (const openDirectories of [1, 64]) {
      const found = entries(root, { oneFileSystem: 'cross', openDirectories })
      expect(found.map(({ entry }) => entry.path)).toContain('/in/inside')
      expect(found.find(({ entry }) => entry.path === '/in/second')?.entry.linkTarget).toBe('/in/inside')
    }
  })

  test('overlayfs with lower file systems of several kinds is one', () => {
    const root = freshDirectory()
    const [lower, upper, other, work, top] = ['lower', 'upper/u', 'upper', 'upper/w', 'top'].map((n) => join(root, n))
    for (const path of [lower!, other!, top!]) mkdirSync(path)
    writeFileSync(join(lower!, 'low'), 'low')
    mount('-t', 'tmpfs', 'tmpfs', other!)
    for (const path of [upper!, work!]) mkdirSync(path)
    writeFileSync(join(upper!, 'up'), 'up')
    mount('-t', 'overlay', '-o', `lowerdir=${lower},upperdir=${upper},workdir=${work}`, 'overlay', top!)
    expect(entries(top!, {}).map(({ entry }) => entry.path)).toEqual(['/', '/low', '/up'])
  })
})
