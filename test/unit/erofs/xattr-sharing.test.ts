import { describe, expect, test } from 'vitest'
import { fromLatin1, Xattrs } from '../../../src/tree/index.ts'
import { addLeaf, fifo, tree, written, xattrs } from './trees.ts'

/** A tree of FIFOs with these xattrs. */
function fifos(...lists: Record<string, string>[]) {
  const fileSystem = tree()
  for (const [i, list] of lists.entries()) addLeaf(fileSystem, `fifo${i}`, fifo, { xattrs: xattrs(list) })
  return fileSystem
}

test('pairs that two inodes have are shared, equal names or values alone are not', () => {
  for (const version of [1, 2] as const) {
    const fields = written(fifos({ 'user.a': '1', 'user.b': '1' }, { 'user.a': '1', 'user.b': '2' }), { version })
    const shared = fields.at('/fifo1').xattrs.map(({ name, shared }) => [name, shared])
    expect(shared).toEqual([
      ['user.a', true],
      ['user.b', false],
    ])
    expect(fields.at('/fifo0').filter).toBe(fields.at('/fifo1').filter)
  }
})

describe('the shared table', () => {
  const all = {
    'security.s': '1',
    'lustre.l': '1',
    'trusted.t': '1',
    'user.u': '\xff',
    'user.v': 'aa',
    other: '1',
  }
  const more = { 'user.u': 'aa', 'user.v': 'ab' }

  /** Names and values in the order of the table. */
  const table = (version: 1 | 2): string[] => {
    const fields = written(fifos(all, all, more, more), { version })
    const { image } = fields
    const list: string[] = []
    // The table begins behind the last inode, the last FIFO.
    const last = fields.at('/fifo3')
    let at = Math.ceil(last.tailAt / 32) * 32
    while (image[at] !== 0 && at < image.length) {
      const valueAt = at + 4 + image[at]!
      const end = valueAt + image.readUInt16LE(at + 2)
      list.push(
        `${image[at + 1]} ${image.toString('latin1', at + 4, valueAt)} ${image.toString('latin1', valueAt, end)}`,
      )
      at += Math.ceil((end - at) / 4) * 4
    }
    return list
  }

  test('versions 0 and 1: descending by full name, length and bytes of the value', () => {
    expect(table(1)).toEqual(['1 v ab', '1 v aa', '1 u aa', '1 u \xff', '4 t 1', '6 s 1', '0 other 1', '0 lustre.l 1'])
  })

  test('version 2: ascending by number of the prefix, suffix and bytes of the value', () => {
    expect(table(2)).toEqual(['0 other 1', '1 u aa', '1 u \xff', '1 v aa', '1 v ab', '4 t 1', '5 l 1', '6 s 1'])
  })

  test('version 2 refers to it by offsets in the file', () => {
    const fields = written(fifos(all, all), { version: 2 })
    expect(fields.xattrBlock).toBe(0)
    expect(fields.at('/fifo0').xattrs.every(({ shared }) => shared)).toBe(true)
    expect(fields.xattr('/fifo1', 'user.v')).toBe('aa')
  })

  test('versions 0 and 1 refer to it from its block', () => {
    const fields = written(fifos(all, all))
    expect(fields.xattrBlock).toBe(Math.floor(fields.at('/fifo1').tailAt / 4096))
    expect(fields.xattr('/fifo1', 'user.v')).toBe('aa')
  })
})

describe('an inode with many shared pairs', () => {
  const many = (count: number) =>
    Object.fromEntries(Array.from({ length: count }, (_, i) => [`user.${String(i).padStart(3, '0')}`, 'v']))

  test('versions 0 and 1: refers to 128 and has the others itself', () => {
    const fields = written(fifos(many(130), many(130)))
    const { xattrs } = fields.at('/fifo0')
    expect(xattrs.filter(({ shared }) => shared).map(({ name }) => name)).toEqual(Object.keys(many(128)))
    expect(xattrs.filter(({ shared }) => !shared).map(({ name }) => name)).toEqual(['user.128', 'user.129'])
  })

  test('version 2: refers to as many as can be counted', () => {
    const fields = written(fifos(many(255), many(255)), { version: 2 })
    expect(fields.at('/fifo0').xattrs.filter(({ shared }) => shared)).toHaveLength(255)
    expect(() => written(fifos(many(256), many(256)), { version: 2 })).toThrow(
      expect.objectContaining({ code: 'ERR_EROFS_LIMIT', path: '/fifo0' }),
    )
  })
})

test('prefixes', () => {
  const list = {
    'system.posix_acl_access': 'a',
    'system.posix_acl_access.x': 'b',
    'system.posix_acl_default': 'c',
    'system.other': 'd',
    'lustre.l': 'e',
  }
  const stored = (version: 1 | 2) => {
    const fields = written(fifos(list), { version })
    let at = fields.at('/fifo0').at + (version === 1 ? 32 : 64) + 12
    return Object.keys(list).map(() => {
      const entry = [fields.image[at + 1], fields.image.toString('latin1', at + 4, at + 4 + fields.image[at]!)]
      at += Math.ceil((4 + fields.image[at]! + 1) / 4) * 4
      return entry
    })
  }
  const rest = [
    [0, 'system.other'],
    [2, ''],
    [2, '.x'],
    [3, ''],
  ]
  expect(stored(1)).toEqual([[0, 'lustre.l'], ...rest])
  expect(stored(2)).toEqual([[5, 'l'], ...rest])
})

test('the flag for ACLs needs the exact names, and is not known to version 2', () => {
  const flags = (name: string, version?: 2) => written(fifos({ [name]: 'x' }), version ? { version } : {}).flags
  expect(flags('system.posix_acl_access')).toBe(1)
  expect(flags('system.posix_acl_default')).toBe(1)
  expect(flags('system.posix_acl_access.x')).toBe(0)
  expect(flags('user.x')).toBe(0)
  expect(flags('system.posix_acl_access', 2)).toBe(0)
})

test('the filter has a cleared bit for each name', () => {
  const bit = (...cleared: number[]) => cleared.reduce((filter, at) => (filter & ~(1 << at)) >>> 0, 0xffffffff)
  const fields = written(
    fifos({ 'security.selinux': 'x' }, { 'system.posix_acl_access': 'x', 'security.selinux': 'x' }),
  )
  expect(fields.at('/fifo0').filter).toBe(bit(11))
  expect(fields.at('/fifo1').filter).toBe(bit(11, 30))
  expect(fields.at('/').filter).toBe(bit(20))
})

test('limits', () => {
  const value = (size: number) => Xattrs.of([[fromLatin1('user.a'), Buffer.alloc(size)]])
  const put = (xattrs: Xattrs, version: 1 | 2 = 1) => {
    const fileSystem = tree()
    addLeaf(fileSystem, 'f', fifo, { xattrs })
    return written(fileSystem, { version })
  }
  // 12 for the first, 7 for each, and the bytes of name and value.
  expect(put(value(32767 - 12 - 7 - 6)).at('/f').xattrs).toHaveLength(1)
  expect(put(value(65535), 2).at('/f').xattrs[0]!.value).toHaveLength(65535)
  for (const [xattrs, version] of [
    [value(32767 - 12 - 7 - 5), 1],
    [value(65536), 2],
    [Xattrs.of([[fromLatin1(''), Buffer.alloc(1)]]), 2],
    [Xattrs.of([[fromLatin1('user.a\0'), Buffer.alloc(1)]]), 2],
    [Xattrs.of([[fromLatin1(`user.${'n'.repeat(251)}`), Buffer.alloc(1)]]), 2],
    [Xattrs.of(['a', 'b', 'c', 'd', 'e'].map((name) => [fromLatin1(`user.${name}`), Buffer.alloc(60000)] as const)), 2],
  ] as const) {
    expect(() => put(xattrs, version)).toThrow(expect.objectContaining({ code: 'ERR_EROFS_LIMIT', path: '/f' }))
  }
  expect(
    put(Xattrs.of([[fromLatin1(`trusted.overlay.${'n'.repeat(239)}`), Buffer.alloc(1)]])).at('/f').xattrs,
  ).toHaveLength(1)
})
