import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  closeSync,
  constants,
  ftruncateSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  openSync,
  readdirSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { bytesOf, fromLatin1 } from '../../../src/bytes.ts'
import { native } from '../../../src/native/libc.ts'
import { setXattr } from '../../../src/native/xattr.ts'
import { DigestStore } from '../../../src/repository/index.ts'
import { TreeSink } from '../../../src/sinks/index.ts'
import { scanDirectory } from '../../../src/sources/index.ts'
import { DirectoryScan, type ScanOptions } from '../../../src/sources/scan.ts'
import { ContentSplitter, ObjectWriter, pipeline } from '../../../src/streams/index.ts'
import { freshDirectory, isRoot, openDescriptors, withDescriptor } from '../../support/disk.ts'
import { mknod } from '../../support/posix.ts'
import { gather } from '../../support/scan.ts'
import { scansDirectories } from '../../support/xattrs.ts'

scansDirectories()

const scan = (path: string, options: ScanOptions = {}) => gather(new DirectoryScan(path, options).records())
const paths = (path: string, options: ScanOptions = {}) => scan(path, options).map(({ entry }) => entry.path)

afterEach(() => {
  vi.unstubAllEnvs()
})

describe('entries', () => {
  test('come a directory before what is in it, siblings by their bytes, the top as /', () => {
    const root = freshDirectory()
    mkdirSync(join(root, 'a/b'), { recursive: true })
    for (const name of ['a/b/c', 'a-b', 'Z', 'ä', 'a/z']) writeFileSync(join(root, name), '')
    const expected = ['/', '/Z', '/a', '/a/b', '/a/b/c', '/a/z', '/a-b', '/\xc3\xa4']
    expect(paths(root)).toEqual(expected)
    expect(paths(`${root}//`)).toEqual(expected)
    expect(paths(root, { openDirectories: 1 })).toEqual(expected)
  })

  test('have the metadata of their inodes', () => {
    const root = freshDirectory()
    const file = join(root, 'file')
    writeFileSync(file, 'contents')
    chmodSync(file, 0o4751)
    utimesSync(file, 0, new Date(-10_250))
    symlinkSync('to/\\x', join(root, 'link'))
    lutimesSync(join(root, 'link'), 0, 7)
    const [, first, second] = scan(root)
    const owner = { uid: process.getuid!(), gid: process.getgid!(), offset: 0, typeflag: 0, rdev: 0 }
    const time = { mtime: -11, mtimeNsec: 750_000_000 }
    expect(first?.entry).toMatchObject({ path: '/file', type: 'file', mode: 0o4751, size: 8, ...time, ...owner })
    expect(first?.body.toString()).toBe('contents')
    expect(second?.entry).toMatchObject({ path: '/link', type: 'symlink', linkTarget: 'to/\\x', mtime: 7, size: 0 })
    expect(scan(root, { wholeSeconds: true })[1]?.entry).toMatchObject({ mtime: -11, mtimeNsec: 0 })
  })

  test('bodies come whole whatever their size, holes as zeros', () => {
    const root = freshDirectory()
    const sizes = [0, 1, 64, 65, 4096, 1024 * 1024 - 1, 1024 * 1024, 1024 * 1024 + 1, 2.5 * 1024 * 1024]
    const names = sizes.map((size) => String(size).padStart(9, '0'))
    sizes.forEach((size, i) => {
      writeFileSync(join(root, names[i]!), Buffer.alloc(size, `body ${i} `))
    })
    const sparse = openSync(join(root, 'sparse'), 'w')
    ftruncateSync(sparse, 3_000_000)
    closeSync(sparse)
    const [, ...files] = scan(root)
    sizes.forEach((size, i) => {
      expect(files[i]?.body.equals(Buffer.alloc(size, `body ${i} `))).toBe(true)
    })
    expect(files.at(-1)?.body.equals(Buffer.alloc(3_000_000))).toBe(true)
  })

  test('names and targets may have any bytes', () => {
    const root = freshDirectory()
    const target = Buffer.from('\xff\n\\', 'latin1')
    withDescriptor(root, constants.O_RDONLY, (fd) => {
      mkdirSync(Buffer.from(`/proc/self/fd/${fd}/d\xe9`, 'latin1'))
      symlinkSync(target, Buffer.from(`/proc/self/fd/${fd}/d\xe9/l\xff\n`, 'latin1'))
      writeFileSync(Buffer.from(`/proc/self/fd/${fd}/d\xe9/\x80`, 'latin1'), 'x')
    })
    const found = scan(root)
    expect(found.map(({ entry }) => entry.path)).toEqual(['/', '/d\xe9', '/d\xe9/l\xff\n', '/d\xe9/\x80'])
    expect(found[2]?.entry.linkTarget).toBe('\xff\n\\')
  })

  test('further names of an inode are hardlinks to the first, of symlinks too', () => {
    const root = freshDirectory()
    mkdirSync(join(root, 'd'))
    writeFileSync(join(root, 'file'), 'contents')
    symlinkSync('x', join(root, 'link'))
    linkSync(join(root, 'file'), join(root, 'd/first'))
    linkSync(join(root, 'link'), join(root, 'zlink'))
    expect(scan(root).map(({ entry, body }) => [entry.path, entry.type, entry.linkTarget, body.length])).toEqual([
      ['/', 'directory', '', 0],
      ['/d', 'directory', '', 0],
      ['/d/first', 'file', '', 8],
      ['/file', 'hardlink', '/d/first', 0],
      ['/link', 'symlink', 'x', 0],
      ['/zlink', 'hardlink', '/link', 0],
    ])
  })

  test.skipIf(!isRoot || native() === undefined)('devices, FIFOs and sockets are described and not opened', () => {
    const root = freshDirectory()
    const make = (name: string, mode: number, device = 0) => mknod(Buffer.from(join(root, name)), mode | 0o600, device)
    make('block', constants.S_IFBLK, 0x8123456)
    make('char', constants.S_IFCHR, 0xfffffff)
    make('fifo', constants.S_IFIFO)
    make('socket', constants.S_IFSOCK)
    expect(scan(root).map(({ entry }) => [entry.type, entry.rdev])).toEqual([
      ['directory', 0],
      ['block-device', 0x8123456],
      ['character-device', 0xfffffff],
      ['fifo', 0],
      ['socket', 0],
    ])
  })

  test('extended attributes pass the filter; without any no package is needed', () => {
    const root = freshDirectory()
    const file = join(root, 'file')
    writeFileSync(file, '')
    setXattr(file, bytesOf('user.a'), Buffer.from('1'))
    if (isRoot) setXattr(file, bytesOf('trusted.b'), Buffer.from('2'))
    const names = (options: ScanOptions) => [...scan(root, options)[1]!.entry.xattrs].map(([name]) => name)
    expect(names({})).toEqual(isRoot ? ['trusted.b', 'user.a'] : ['user.a'])
    expect(names({ xattrs: 'keep-user-xattrs' })).toEqual(['user.a'])
    expect(names({ xattrs: 'allowlist-only' })).toEqual([])
    expect(names({ xattrs: 'none' })).toEqual([])
  })
})

describe('depth', () => {
  test('a tree deeper than the longest path and than the descriptors that are allowed', () => {
    const root = freshDirectory()
    // Node cannot remove what has so long a path.
    onTestFinished(() => void execFileSync('rm', ['-r', root]))
    const name = 'n'.repeat(200)
    let fd = openSync(root, constants.O_RDONLY)
    for (let depth = 0; depth < 60; depth++) {
      mkdirSync(`/proc/self/fd/${fd}/${name}`)
      writeFileSync(`/proc/self/fd/${fd}/z`, String(depth))
      const next = openSync(`/proc/self/fd/${fd}/${name}`, constants.O_RDONLY)
      closeSync(fd)
      fd = next
    }
    closeSync(fd)
    const expected = scan(root)
    expect(expected).toHaveLength(121)
    expect(expected[60]?.entry.path.length).toBe(60 * 201)
    expect(expected[61]?.entry.path.endsWith('/z')).toBe(true)
    expect(expected[61]?.body.toString()).toBe('59')
    for (const openDirectories of [1, 2, 59, 60, 61]) {
      let most = 0
      const before = openDescriptors()
      const found = []
      for (const record of new DirectoryScan(root, { openDirectories }).records()) {
        if (record.kind === 'entry') found.push(record.entry)
        most = Math.max(most, openDescriptors() - before)
      }
      expect(found).toEqual(expected.map(({ entry }) => entry))
      expect(most).toBeLessThanOrEqual(openDirectories + 1)
      expect(openDescriptors()).toBe(before)
    }
  })

  test.each([0, -1, 1.5, Number.NaN])('openDirectories: %s is refused', (openDirectories) => {
    expect(() => scanDirectory('/', { openDirectories })).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
  })
})

describe('scanDirectory', () => {
  test('begins a pipeline that makes the tree; names of whiteouts are names', async () => {
    const root = freshDirectory()
    mkdirSync(join(root, 'd'))
    for (const name of ['.wh.x', '.wh..wh..opq', 'd/.wh.', 'x']) writeFileSync(join(root, name), name)
    const source = scanDirectory(root)
    const objects = new ObjectWriter(new DigestStore('sha256'))
    const fileSystem = await pipeline(source, new ContentSplitter(), objects, new TreeSink({ whiteouts: false }))
    expect([...fileSystem.walk()].map(({ path }) => path)).toEqual([
      '/',
      '/.wh..wh..opq',
      '/.wh.x',
      '/d',
      '/d/.wh.',
      '/x',
    ])
  })

  test('works without koffi', async () => {
    const root = freshDirectory()
    mkdirSync(join(root, 'd'))
    writeFileSync(join(root, 'd/f'), 'contents')
    setXattr(join(root, 'd/f'), bytesOf('user.a'), Buffer.from('1'))
    const expected = scan(root)
    vi.stubEnv('COMPOSEFS_NATIVE', '0')
    vi.resetModules()
    const { DirectoryScan: WithoutKoffi } = await import('../../../src/sources/scan.ts')
    const found = gather(new WithoutKoffi(root).records())
    expect(found.map(({ entry, body }) => ({ ...entry, xattrs: [...entry.xattrs], body }))).toEqual(
      expected.map(({ entry, body }) => ({ ...entry, xattrs: [...entry.xattrs], body })),
    )
  })

  test('closes everything when it is destroyed early', async () => {
    const root = freshDirectory()
    mkdirSync(join(root, 'a/b'), { recursive: true })
    writeFileSync(join(root, 'a/b/c'), Buffer.alloc(5_000_000))
    const before = openDescriptors()
    for (let records = 1; records < 14; records += 2) {
      const source = scanDirectory(root)
      const iterator = source[Symbol.asyncIterator]()
      for (let i = 0; i < records; i++) await iterator.next()
      await iterator.return?.()
      expect(source.destroyed).toBe(true)
    }
    const generator = new DirectoryScan(root).records()
    for (let i = 0; i < 8; i++) generator.next()
    expect(openDescriptors()).toBeGreaterThan(before)
    generator.return()
    expect(openDescriptors()).toBe(before)
    expect(readdirSync(root)).toEqual(['a'])
  })

  test('the top may be /, whose entries have paths without a second slash', () => {
    const generator = new DirectoryScan('/', { oneFileSystem: 'skip', xattrs: 'none' }).records()
    const entries = []
    for (const record of generator) {
      if (record.kind === 'entry') entries.push(record.entry.path)
      if (entries.length === 2) break
    }
    expect(entries[0]).toBe('/')
    expect(entries[1]).toMatch(/^\/[^/]/)
    expect(fromLatin1(entries[0]!)).toBe('/')
  })
})
