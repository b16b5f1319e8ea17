import { describe, expect, test } from 'vitest'
import { bytesOf, fromLatin1 } from '../../../src/bytes.ts'
import type { Entry, EntryType } from '../../../src/streams/records.ts'
import { encodeEntry, endBlocks, zeroPadding } from '../../../src/streams/tar-encoder.ts'
import { Xattrs } from '../../../src/tree/xattrs.ts'
import { entryMachine, joined } from '../../support/tar.ts'

const file: Entry = {
  path: bytesOf('usr/bin/a'),
  type: 'file',
  typeflag: 0x30,
  mode: 0o4755,
  uid: 1000,
  gid: 100,
  mtime: 1_700_000_000,
  mtimeNsec: 0,
  size: 0,
  rdev: 0,
  linkTarget: bytesOf(''),
  xattrs: Xattrs.empty,
  offset: 0,
}

function decoded(entry: Entry): Entry {
  const [record] = joined(entryMachine(), [
    encodeEntry(entry),
    Buffer.alloc(entry.size),
    zeroPadding(entry.size),
    endBlocks(),
  ])
  return (record as { entry: Entry }).entry
}

describe('an entry comes back as it was', () => {
  const entries: [string, Partial<Entry>][] = [
    ['plain', {}],
    ['a body', { size: 700 }],
    ['large numbers', { uid: 0xffffffff, gid: 3_000_000, mtime: 2 ** 40 }],
    ['a time before 1970', { mtime: -2, mtimeNsec: 500_000_000 }],
    ['a little before 1970', { mtime: -1, mtimeNsec: 999_999_999 }],
    ['nanoseconds', { mtimeNsec: 1 }],
    ['a time in 64 bits', { mtime: 2n ** 63n - 1n, mtimeNsec: 5 }],
    ['a long path', { path: bytesOf(`${'d/'.repeat(200)}é`) }],
    ['a path that is no UTF-8', { path: fromLatin1('\xff\n=') }],
    ['a path of 100 bytes', { path: bytesOf('p'.repeat(100)) }],
    ['a symlink', { type: 'symlink', typeflag: 0x32, linkTarget: fromLatin1('\xfe'.repeat(300)) }],
    ['a hardlink', { type: 'hardlink', typeflag: 0x31, linkTarget: bytesOf('usr/bin/b') }],
    ['a device', { type: 'block-device', typeflag: 0x34, rdev: 0xfedcba98 }],
    ['a directory', { type: 'directory', typeflag: 0x35, path: bytesOf('d/') }],
    [
      'xattrs',
      {
        xattrs: Xattrs.of([
          [bytesOf('security.capability'), Buffer.from([1, 0, 10, 61, 255])],
          [bytesOf('user.empty'), Buffer.alloc(0)],
        ]),
      },
    ],
  ]

  test.each(entries)('%s', (_, fields) => {
    const entry = { ...file, ...fields }
    const { xattrs, ...rest } = decoded(entry)
    expect({ ...rest, xattrs: [...xattrs] }).toEqual({ ...entry, xattrs: [...entry.xattrs] })
  })
})

test.each<[EntryType]>([['socket'], ['unsupported']])('a tar has no %s', (type) => {
  expect(() => encodeEntry({ ...file, type })).toThrow(
    expect.objectContaining({ code: 'ERR_TAR_TYPE', path: 'usr/bin/a' }),
  )
})

test('an xattr whose name has "=" cannot be expressed', () => {
  const xattrs = Xattrs.of([[bytesOf('user.a=b'), Buffer.from('c')]])
  expect(() => encodeEntry({ ...file, xattrs })).toThrow(expect.objectContaining({ code: 'ERR_PAX_VALUE' }))
})
