import { describe, expect, test } from 'vitest'
import { PaxParserMachine } from '../../../src/streams/pax-parser.ts'
import type { Entry, EntryRecord, TarRecord } from '../../../src/streams/records.ts'
import { TarDecoderMachine } from '../../../src/streams/tar-decoder.ts'
import type { PaxParserOptions } from '../../../src/streams/tar-options.ts'
import {
  bytesOfRecords,
  entry,
  entryMachine,
  gnuLong,
  header,
  joined,
  magics,
  padded,
  pax,
  run,
  tar,
} from '../../support/tar.ts'

const parse = (bytes: Buffer, options?: PaxParserOptions): EntryRecord[] => joined(entryMachine(options), [bytes])

function entriesOf(bytes: Buffer, options?: PaxParserOptions): Entry[] {
  return parse(bytes, options).flatMap((record) => (record.kind === 'entry' ? [record.entry] : []))
}

const failing = (bytes: Buffer, options?: PaxParserOptions) => () => parse(bytes, options)
const error = (code: string, more = {}) =>
  expect.objectContaining({ code, stage: 'PaxParser', hint: expect.any(String), ...more })

test('an entry without extension headers', () => {
  const block = header({ name: 'etc/passwd', mode: 0o100640, uid: 1, gid: 2, size: 3, mtime: 4 })
  const [first, ...rest] = parse(tar(block, padded('abc')))
  expect(first).toMatchObject({
    kind: 'entry',
    entry: {
      path: 'etc/passwd',
      type: 'file',
      typeflag: 0x30,
      mode: 0o640,
      uid: 1,
      gid: 2,
      mtime: 4,
      mtimeNsec: 0,
      size: 3,
      rdev: 0,
      linkTarget: '',
      offset: 0,
    },
    raw: [block],
  })
  expect(rest.map((record) => record.kind)).toEqual(['data', 'end', 'trailer'])
})

describe('types', () => {
  test.each([
    ['0', 'file'],
    ['\0', 'file'],
    ['7', 'file'],
    ['1', 'hardlink'],
    ['2', 'symlink'],
    ['3', 'character-device'],
    ['4', 'block-device'],
    ['5', 'directory'],
    ['6', 'fifo'],
    ['V', 'unsupported'],
    ['Q', 'unsupported'],
    ['D', 'unsupported'],
    ['X', 'unsupported'],
  ])('%j is a %s', (type, expected) => {
    const [found] = entriesOf(tar(header({ name: 'n', type, linkName: 'target', major: 8, minor: 1 })))
    const isLink = expected === 'hardlink' || expected === 'symlink'
    const isDevice = expected.endsWith('device')
    expect(found).toMatchObject({ type: expected, linkTarget: isLink ? 'target' : '', rdev: isDevice ? 0x801 : 0 })
  })

  test('before there was a type for directories a slash made one, also a slash from an extension header', () => {
    const type = '\0'
    expect(entriesOf(tar(header({ name: 'd/', type, magic: magics.v7 })))[0]?.type).toBe('directory')
    expect(entriesOf(tar(pax({ path: 'd/' }), header({ name: 'd', type })))[0]?.type).toBe('directory')
    expect(entriesOf(tar(header({ name: 'd/', type: '0' })))[0]?.type).toBe('file')
  })

  test.each(['x', 'L', 'K', 'S', '3', '4'])('no image can hold a V7 type %s', (type) => {
    expect(entriesOf(tar(header({ type, magic: magics.v7 })))[0]?.type).toBe('unsupported')
  })

  test('device numbers beyond what the kernel has are refused', () => {
    const device = (major: number, minor: number) => entriesOf(tar(header({ type: '4', major, minor })))[0]?.rdev
    expect(device(0xfff, 0xfffff)).toBe(0xffffffff)
    expect(() => device(0x1000, 0)).toThrow(expect.objectContaining({ code: 'ERR_TAR_NUMBER' }))
    expect(() => device(0, 0x100000)).toThrow(expect.objectContaining({ code: 'ERR_TAR_NUMBER' }))
  })

  test('junk in the device fields of a file does not matter', () => {
    expect(entriesOf(tar(header({ major: 'xyz' })))).toHaveLength(1)
  })
})

describe('names', () => {
  const file = header({ name: 'header', prefix: 'prefix' })

  test('PAX is stronger than GNU, and that than the header', () => {
    const path = (...parts: Buffer[]) => entriesOf(tar(...parts, file))[0]?.path
    const named = { 'GNU.sparse.name': 'sparse', path: 'pax' }
    expect(path()).toBe('prefix/header')
    expect(path(gnuLong('L', 'long\0'))).toBe('long')
    expect(path(gnuLong('L', 'long\0'), pax({ path: 'pax' }))).toBe('pax')
    expect(path(pax({ path: 'pax' }), gnuLong('L', 'long'))).toBe('pax')
    expect(path(pax(named), gnuLong('L', 'long\0'))).toBe('sparse')
    expect(path(pax({ path: '' }), gnuLong('L', 'long\0'))).toBe('long')
    expect(path(pax({ path: '' }))).toBe('prefix/header')
  })

  test('targets alike', () => {
    const target = (...parts: Buffer[]) => entriesOf(tar(...parts, header({ type: '2', linkName: 'l' })))[0]?.linkTarget
    expect(target()).toBe('l')
    expect(target(gnuLong('K', 'long\0\0junk'))).toBe('long')
    expect(target(gnuLong('K', 'long\0'), pax({ linkpath: 'pax\n=/' }))).toBe('pax\n=/')
    expect(target(gnuLong('K', 'long\0'), pax({ linkpath: '' }))).toBe('long')
  })

  test('a GNU long name ends at its first NUL, or where it ends', () => {
    const path = (text: string) => entriesOf(tar(gnuLong('L', text), file))[0]?.path
    expect(path('a\0b\0')).toBe('a')
    expect(path('a'.repeat(700))).toBe('a'.repeat(700))
    expect(path('\0')).toBe('prefix/header')
  })

  test('are bytes', () => {
    const name = '\xff\xfe\xc3\xa9\n\t='
    expect(entriesOf(tar(header({ name })))[0]?.path).toBe(name)
    expect(entriesOf(tar(pax({ path: name }), file))[0]?.path).toBe(name)
    expect(entriesOf(tar(gnuLong('L', name), file))[0]?.path).toBe(name)
  })

  test('empty ones are refused', () => {
    expect(failing(tar(header({ name: 'a' }), header({ name: '' })))).toThrow(error('ERR_TAR_NAME', { offset: 512 }))
  })
})

describe('PAX', () => {
  const file = header({ name: 'f', uid: 1, gid: 2, mtime: 3 })

  test('ids, times and xattrs', () => {
    const value = Buffer.from([0, 10, 61, 255])
    const records = {
      uid: '4294967294',
      gid: '70000',
      mtime: '-1.5',
      'SCHILY.xattr.user.b': value,
      'SCHILY.xattr.user.a': '',
      'LIBARCHIVE.xattr.user.c': 'YQ==',
      uname: 'root',
    }
    const [found] = entriesOf(tar(pax(records), file))
    expect(found).toMatchObject({ uid: 4294967294, gid: 70000, mtime: -2, mtimeNsec: 500_000_000, offset: 0 })
    expect([...found!.xattrs]).toEqual([
      ['user.a', Buffer.alloc(0)],
      ['user.b', value],
    ])
  })

  test('are for the next entry only', () => {
    const [, second] = entriesOf(tar(pax({ path: 'a', uid: '9' }), file, file))
    expect(second).toMatchObject({ path: 'f', uid: 1, offset: 1536 })
    expect(second?.xattrs.size).toBe(0)
  })

  test('a time in PAX replaces all of the time in the header', () => {
    const old = header({ mtime: Buffer.from('ffffffffffffffffffffffff', 'hex') })
    expect(entriesOf(tar(old))[0]).toMatchObject({ mtime: -1, mtimeNsec: 0 })
    expect(entriesOf(tar(pax({ mtime: '' }), old))[0]).toMatchObject({ mtime: -1, mtimeNsec: 0 })
    expect(entriesOf(tar(pax({ mtime: '7.25' }), old))[0]).toMatchObject({ mtime: 7, mtimeNsec: 250_000_000 })
  })

  test('the raw bytes of an entry are its headers, in order', () => {
    const parts = [pax({ path: 'p' }), gnuLong('L', 'l\0'), gnuLong('K', 'k\0'), header({ type: '2' })]
    const [first] = parse(tar(...parts))
    expect(first).toMatchObject({ kind: 'entry', raw: [Buffer.concat(parts)] })
  })

  test('a body longer than one block', () => {
    const long = 'p/'.repeat(2000)
    expect(entriesOf(tar(pax({ path: long, comment: 'x'.repeat(9999) }), file))[0]?.path).toBe(long)
  })

  test.each([
    ['ERR_PAX_RECORD', 'not a record'],
    ['ERR_PAX_VALUE', '13 mtime=soon\n'.replace('13', '14')],
    ['ERR_PAX_VALUE', '18 uid=4294967296\n'],
  ])('%s', (code, body) => {
    expect(failing(tar(pax(Buffer.from(body)), file))).toThrow(expect.objectContaining({ code, offset: 512 }))
  })
})

describe('global PAX headers', () => {
  const global = (text: string) =>
    pax({ path: text, uid: '9', mtime: 'junk' }, { type: 'g', name: 'pax_global_header' })

  test('have no effect, and their bytes are kept', () => {
    const bytes = tar(global('x'.repeat(600)), entry({ name: 'a' }, 'a'), global('b'), global('c'))
    const records = parse(bytes)
    expect(bytesOfRecords(records).equals(bytes)).toBe(true)
    expect(records.map((record) => record.kind)).toEqual(['trailer', 'entry', 'data', 'end', 'trailer'])
    expect(entriesOf(bytes)).toMatchObject([{ path: 'a', uid: 0, mtime: 0, offset: 1536 + 512 - 512 }])
  })

  test('take nothing from a local header before them', () => {
    const bytes = tar(
      pax({ path: 'named' }),
      global('x'),
      Buffer.alloc(512),
      gnuLong('K', 'k\0'),
      header({ type: '2' }),
    )
    expect(entriesOf(bytes)).toMatchObject([{ path: 'named', linkTarget: 'k', offset: 0 }])
    expect(bytesOfRecords(parse(bytes)).equals(bytes)).toBe(true)
  })
})

describe('sparse files', () => {
  test.each([
    [{ 'GNU.sparse.map': '0,5' }],
    [{ 'GNU.sparse.major': '1', 'GNU.sparse.minor': '0' }],
    [{ 'GNU.sparse.size': '500', 'GNU.sparse.numblocks': '1' }],
    [{ 'GNU.sparse.realsize': '500' }],
  ])('%j are refused', (records) => {
    expect(failing(tar(pax({ path: 'p', ...records }), entry({ name: 'f' }, 'x')))).toThrow(
      error('ERR_TAR_SPARSE', { path: 'p' }),
    )
  })

  test('a name alone renames', () => {
    expect(entriesOf(tar(pax({ 'GNU.sparse.name': 'real', 'GNU.sparse.major': '' }), entry({})))[0]?.path).toBe('real')
  })
})

describe('extension headers', () => {
  const file = header({ name: 'f' })

  test.each([
    ['two x', [pax({ path: 'a' }), pax({ path: 'b' })]],
    ['two empty x', [pax({}), pax({})]],
    ['two L', [gnuLong('L', '\0'), gnuLong('L', 'b\0')]],
    ['two K', [gnuLong('K', 'a\0'), pax({}), gnuLong('K', 'b\0')]],
  ])('%s before one entry are refused', (_, parts) => {
    expect(failing(tar(...parts, file))).toThrow(error('ERR_TAR_EXTENSION'))
  })

  test.each([
    ['the end', tar(file, pax({ path: 'a' }))],
    ['the end of input', Buffer.concat([file, pax({ path: 'a' })])],
    ['a zero block and the end of input', Buffer.concat([file, gnuLong('L', 'a'), Buffer.alloc(512)])],
  ])('are refused before %s', (_, bytes) => {
    expect(failing(bytes)).toThrow(error('ERR_TAR_EXTENSION', { offset: 512 }))
  })

  test('may be followed by one zero block', () => {
    const bytes = tar(pax({ path: 'a' }), Buffer.alloc(512), file)
    expect(entriesOf(bytes)).toMatchObject([{ path: 'a' }])
    expect(bytesOfRecords(parse(bytes)).equals(bytes)).toBe(true)
  })

  test('are limited in bytes, by what they declare', () => {
    const parser = new PaxParserMachine()
    const decoder = new TarDecoderMachine()
    const feed = (block: Buffer) => decoder.push(block, (record) => parser.push(record, () => {}))
    expect(() => feed(header({ type: 'L', size: 2 ** 32 }))).toThrow(
      error('ERR_TAR_EXTENSION_SIZE', { actual: 2 ** 32 }),
    )
    expect(failing(tar(header({ type: 'g', size: 2 ** 20 + 1 })))).toThrow(error('ERR_TAR_EXTENSION_SIZE'))
    const half = gnuLong('L', 'l'.repeat(50))
    expect(entriesOf(tar(half, gnuLong('K', 'k'.repeat(50)), file), { maxExtensionSize: 100 })).toHaveLength(1)
    expect(failing(tar(half, gnuLong('K', 'k'.repeat(51)), file), { maxExtensionSize: 100 })).toThrow(
      error('ERR_TAR_EXTENSION_SIZE', { actual: 101 }),
    )
  })

  test('are limited in number', () => {
    const many = [pax({ path: 'a' }), ...Array.from({ length: 16 }, () => pax({ c: '' }, { type: 'g' }))]
    expect(failing(tar(...many, file))).toThrow(error('ERR_LIMIT', { actual: 17 }))
    expect(entriesOf(tar(...many, file), { maxExtensionHeaders: 17 })).toMatchObject([{ path: 'a' }])
  })
})

test('unsupported types are told', () => {
  const codes: string[] = []
  const bytes = tar(header({ name: 'v', type: 'V' }))
  entriesOf(bytes, { onWarning: ({ code, path }) => codes.push(`${code} ${path}`) })
  expect(codes).toEqual(['TAR_TYPE_UNKNOWN v'])
  expect(failing(bytes, { strict: true })).toThrow(expect.objectContaining({ code: 'ERR_TAR_STRICT' }))
})

describe('records in an order that no decoder produces', () => {
  const [head, data, end, trailer] = run(new TarDecoderMachine(), [tar(entry({}, 'abc'))])
  const [long, name, nameEnd] = run(new TarDecoderMachine(), [tar(gnuLong('L', 'abc'))])

  test.each([
    ['data first', [data]],
    ['end first', [end]],
    ['header in a body', [head, data, head]],
    ['trailer in a body', [head, data, trailer]],
    ['an extension body that is too long', [long, name, name, { kind: 'data', chunk: Buffer.alloc(600) }]],
    ['an extension body that is too short', [long, nameEnd]],
    ['data behind an extension header', [long, name, nameEnd, name]],
    ['no end', [head, data]],
  ])('%s', (_, records) => {
    expect(() => run(new PaxParserMachine(), records as TarRecord[])).toThrow(error('ERR_STREAM_ORDER'))
  })
})

test('nothing is kept of the records', () => {
  const bytes = tar(
    pax({ path: 'a', 'SCHILY.xattr.user.a': 'value' }),
    gnuLong('K', 'target\0'),
    Buffer.alloc(512),
    header({ type: '2' }),
  )
  const expected = parse(bytes)
  const records = run(new TarDecoderMachine(), [bytes])
  const poisoned = (function* () {
    for (const record of records) {
      yield record
      for (const value of Object.values(record)) if (Buffer.isBuffer(value)) value.fill(0xa5)
    }
  })()
  expect(joined(new PaxParserMachine(), poisoned)).toEqual(expected)
})

test.each([-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY])('a limit of %d is none', (limit) => {
  const refusal = expect.objectContaining({ code: 'ERR_ARGUMENT' })
  expect(() => new TarDecoderMachine({ maxExtensionSize: limit })).toThrow(refusal)
  expect(() => new PaxParserMachine({ maxExtensionSize: limit })).toThrow(refusal)
  expect(() => new PaxParserMachine({ maxExtensionHeaders: limit })).toThrow(refusal)
})
