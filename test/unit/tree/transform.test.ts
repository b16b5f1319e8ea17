import { describe, expect, test } from 'vitest'
import { bytesOf } from '../../../src/bytes.ts'
import {
  compareMtime,
  emptyBootDirectories,
  type FileSystem,
  filterXattrs,
  inodes,
  type TransformOptions,
  transformForOci,
  Xattrs,
} from '../../../src/tree/index.ts'
import { directory, file, hardlink, type Item, item, merge, paths, symlink } from '../../support/layer-entries.ts'

const capability = 'security.capability'
const xattrs = (...names: string[]) => Xattrs.of(names.map((name) => [bytesOf(name), Buffer.from('v')] as const))
const names = (fileSystem: FileSystem, path: string) => [...fileSystem.get(path)!.stat.xattrs].map(([name]) => name)

const usr = directory('usr', {
  mode: 0o750,
  uid: 1,
  gid: 2,
  mtime: 50,
  mtimeNsec: 5,
  xattrs: xattrs('user.u', capability),
})

function transformed(items: Item[], options: TransformOptions = {}): FileSystem {
  const fileSystem = merge([items])
  transformForOci(fileSystem, options)
  return fileSystem
}

const refused = (code: string, path?: string) =>
  expect.objectContaining({ name: 'ComposefsError', code, ...(path !== undefined && { path }) })

describe('the root', () => {
  test('has the metadata of /usr, its xattrs too', () => {
    const { root } = transformed([directory('/', { mode: 0o700, mtime: 99 }), usr])
    expect(root.stat).toEqual({ mode: 0o750, uid: 1, gid: 2, mtime: 50, mtimeNsec: 5, xattrs: xattrs(capability) })
  })

  test('cannot take it where there is no /usr, or it is no directory', () => {
    expect(() => transformed([])).toThrow(refused('ERR_USR_MISSING'))
    expect(() => transformed([file('usr')])).toThrow(refused('ERR_NOT_DIRECTORY', '/usr'))
    expect(() => transformed([directory('a'), symlink('usr', 'a')])).toThrow(refused('ERR_NOT_DIRECTORY', '/usr'))
  })

  test('newest: 0555, root:root, the newest time below it', () => {
    const root = directory('/', { mode: 0o700, uid: 3, mtime: 1000, xattrs: xattrs(capability) })
    const items = [
      root,
      directory('a', { mtime: 5 }),
      file('a/b', '', { mtime: 7, mtimeNsec: 9 }),
      file('c', '', { mtime: 7 }),
    ]
    const { root: newest } = transformed(items, { root: 'newest' })
    expect(newest.stat).toEqual({ mode: 0o555, uid: 0, gid: 0, mtime: 7, mtimeNsec: 9, xattrs: Xattrs.empty })
    expect(transformed([root], { root: 'newest' }).root.stat.mtime).toBe(-1)
    const old = [file('a', '', { mtime: -5 })]
    expect(transformed(old, { root: 'newest' }).root.stat.mtime).toBe(-1)
    const far = [file('a', '', { mtime: 2n ** 60n }), file('b', '', { mtime: 5 })]
    expect(transformed(far, { root: 'newest' }).root.stat.mtime).toBe(2n ** 60n)
  })

  test('newest-time: only the time changes, 1970 at the earliest', () => {
    const root = directory('/', { mode: 0o711, uid: 3, gid: 4, mtime: 999, xattrs: xattrs('user.r') })
    const transform = (items: Item[]) => transformed([root, ...items], { root: 'newest-time', xattrs: 'all' }).root.stat
    const rest = { mode: 0o711, uid: 3, gid: 4, xattrs: xattrs('user.r') }
    expect(transform([usr, file('usr/f', '', { mtime: 70, mtimeNsec: 8 })])).toEqual({
      ...rest,
      mtime: 70,
      mtimeNsec: 8,
    })
    expect(transform([])).toEqual({ ...rest, mtime: 0, mtimeNsec: 0 })
    expect(transform([directory('usr', { mtime: -5, mtimeNsec: 3 })])).toEqual({ ...rest, mtime: 0, mtimeNsec: 0 })
  })

  test('newest: what was in /run does not count, hardlinks count once', () => {
    const items = [usr, directory('run'), file('run/new', '', { mtime: 999 }), hardlink('also', 'run/new')]
    expect(transformed(items, { root: 'newest' }).root.stat.mtime).toBe(999)
    expect(transformed(items.slice(0, 3), { root: 'newest' }).root.stat.mtime).toBe(50)
  })

  test('keep: stays as it is', () => {
    const root = directory('/', { mode: 0o711, uid: 3, mtime: 8, xattrs: xattrs(capability, 'user.x') })
    expect(transformed([root], { root: 'keep' }).root.stat).toMatchObject({ mode: 0o711, uid: 3, mtime: 8 })
    expect(names(transformed([root], { root: 'keep' }), '/')).toEqual([capability])
  })
})

describe('/run', () => {
  const run = directory('run', { mode: 0o700, uid: 9, mtime: 1, xattrs: xattrs(capability) })

  test('is emptied and takes the time of /usr, nothing else', () => {
    const fileSystem = transformed([usr, run, directory('run/a'), file('run/a/b')])
    expect(paths(fileSystem)).toEqual(['/run', '/usr'])
    expect(fileSystem.get('run')?.stat).toEqual({
      mode: 0o700,
      uid: 9,
      gid: 0,
      mtime: 50,
      mtimeNsec: 5,
      xattrs: xattrs(capability),
    })
  })

  test('is left alone where there is none, or it is wanted', () => {
    expect(paths(transformed([usr]))).toEqual(['/usr'])
    const kept = transformed([usr, run, file('run/a')], { emptyRun: false })
    expect(paths(kept)).toEqual(['/run', '/run/a', '/usr'])
    expect(kept.get('run')?.stat.mtime).toBe(1)
    expect(paths(transformed([usr, file('run')], { emptyRun: false }))).toEqual(['/run', '/usr'])
  })

  test('must be a directory', () => {
    expect(() => transformed([usr, symlink('run', 'usr')])).toThrow(refused('ERR_NOT_DIRECTORY', '/run'))
    expect(() => transformed([usr, file('run')])).toThrow(refused('ERR_NOT_DIRECTORY', '/run'))
  })

  test('keeps its time where there is no /usr to take one from', () => {
    const options = { root: 'newest' } as const
    const fileSystem = transformed([run, file('run/a', '', { mtime: 5 })], options)
    expect(paths(fileSystem)).toEqual(['/run'])
    expect(fileSystem.get('run')?.stat.mtime).toBe(1)
    expect(transformed([run, symlink('usr', 'x')], { root: 'keep' }).get('run')?.stat.mtime).toBe(1)
    expect(transformed([run, usr], options).get('run')?.stat.mtime).toBe(50)
  })

  test('a hardlink into it stays elsewhere', () => {
    expect(paths(transformed([usr, run, file('run/a', 'x'), hardlink('b', 'run/a')]))).toEqual(['/b', '/run', '/usr'])
  })
})

describe('xattrs', () => {
  const all = ['security.capability', 'security.selinux', 'trusted.x', 'system.posix_acl_access', 'user.x', 'user.']
  const items = [usr, directory('d', { xattrs: xattrs(...all) }), file('d/f', '', { xattrs: xattrs(...all) })]

  test.each([
    [undefined, [capability]],
    ['allowlist-only', [capability]],
    ['keep-user-xattrs', [capability, 'user.', 'user.x']],
    ['all', [...all].sort()],
  ] as const)('%s', (filter, wanted) => {
    const fileSystem = transformed(items, filter === undefined ? {} : { xattrs: filter })
    expect(names(fileSystem, 'd')).toEqual(wanted)
    expect(names(fileSystem, 'd/f')).toEqual(wanted)
    expect(names(fileSystem, '/')).toEqual(wanted.length === 1 ? [capability] : [capability, 'user.u'])
  })

  test('a filter of one’s own sees every inode once', () => {
    const fileSystem = merge([[...items, hardlink('e', 'd/f')]])
    const seen: string[] = []
    filterXattrs(fileSystem, (name) => {
      seen.push(name)
      return name === 'user.x'
    })
    expect(seen.filter((name) => name === 'trusted.x')).toHaveLength(2)
    expect(names(fileSystem, 'e')).toEqual(['user.x'])
  })

  test('a stat that has nothing to lose stays the same', () => {
    const fileSystem = merge([[directory('a', { xattrs: xattrs(capability) })]])
    const before = fileSystem.get('a')!.stat
    filterXattrs(fileSystem, (name) => name === capability)
    expect(fileSystem.get('a')!.stat).toBe(before)
  })
})

describe('bootable images', () => {
  const boot = [
    usr,
    directory('boot', { mtime: 1 }),
    file('boot/vmlinuz'),
    directory('sysroot', { mode: 0o700, mtime: 1 }),
  ]

  test('have /boot and /sysroot empty, with the time of /usr', () => {
    const fileSystem = merge([[...boot, file('sysroot/a')]])
    emptyBootDirectories(fileSystem)
    expect(paths(fileSystem)).toEqual(['/boot', '/sysroot', '/usr'])
    expect(fileSystem.get('boot')?.stat).toMatchObject({ mode: 0o755, mtime: 50, mtimeNsec: 5 })
    expect(fileSystem.get('sysroot')?.stat).toMatchObject({ mode: 0o700, mtime: 50, mtimeNsec: 5 })
  })

  test('must have them', () => {
    const of = (items: Item[]) => () => emptyBootDirectories(merge([items]))
    expect(of([usr])).toThrow(refused('ERR_NOT_FOUND', '/boot'))
    expect(of(boot.slice(0, 2))).toThrow(refused('ERR_NOT_FOUND', '/sysroot'))
    expect(of([usr, symlink('boot', 'usr')])).toThrow(refused('ERR_NOT_DIRECTORY', '/boot'))
    expect(of([...boot.slice(0, 3), file('sysroot')])).toThrow(refused('ERR_NOT_DIRECTORY', '/sysroot'))
    expect(of(boot.slice(1))).toThrow(refused('ERR_USR_MISSING'))
  })

  test('that cannot be made leave the tree as it was', () => {
    const fileSystem = merge([boot.slice(0, 3)])
    expect(() => emptyBootDirectories(fileSystem)).toThrow()
    expect(paths(fileSystem)).toEqual(['/boot', '/boot/vmlinuz', '/usr'])
  })
})

test('inodes come once, the root first', () => {
  const fileSystem = merge([[usr, file('a', 'x'), hardlink('b', 'a'), hardlink('usr/c', 'a'), item('fifo', 'p')]])
  const found = [...inodes(fileSystem)]
  expect(found[0]).toBe(fileSystem.root)
  expect(found).toHaveLength(4)
  expect(new Set(found).size).toBe(4)
})

test('times are ordered by seconds, then by nanoseconds', () => {
  const stat = (mtime: number | bigint, mtimeNsec = 0) => ({ ...usr.entry, mtime, mtimeNsec })
  expect(compareMtime(stat(1), stat(2))).toBeLessThan(0)
  expect(compareMtime(stat(1, 5), stat(1, 3))).toBeGreaterThan(0)
  expect(compareMtime(stat(1, 5), stat(1, 5))).toBe(0)
  expect(compareMtime(stat(2n ** 60n), stat(5))).toBeGreaterThan(0)
  expect(compareMtime(stat(-(2n ** 60n)), stat(-5, 7))).toBeLessThan(0)
})
