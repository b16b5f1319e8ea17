import { describe, expect, test } from 'vitest'
import { fromLatin1, toBuffer } from '../../../src/bytes.ts'
import { PaxAttributes, paxTime } from '../../../src/streams/pax-attributes.ts'
import { encodePaxRecord, type PaxRecord, paxNumber, paxRecords, paxSize } from '../../../src/streams/pax-records.ts'
import { paxRecord } from '../../support/tar.ts'

const record = (key: string, value: Buffer | string): PaxRecord => ({
  key: fromLatin1(key),
  value: Buffer.from(value as string, 'latin1'),
  offset: 512,
})

describe('paxRecords', () => {
  test('values may hold any byte, and keys end at the first "="', () => {
    const value = Buffer.from([0, 10, 61, 255, 32])
    const body = Buffer.concat([
      paxRecord('SCHILY.xattr.user.a', value),
      paxRecord('comment', ''),
      paxRecord('k', '=v'),
    ])
    expect(paxRecords(body, 100)).toEqual([
      { key: 'SCHILY.xattr.user.a', value, offset: 100 },
      { key: 'comment', value: Buffer.alloc(0), offset: 129 },
      { key: 'k', value: Buffer.from('=v'), offset: 141 },
    ])
  })

  test('lengths count bytes, not characters, and themselves', () => {
    for (let length = 0; length < 1100; length++) {
      const value = Buffer.from('é'.repeat(length)).subarray(0, length)
      const encoded = encodePaxRecord('path', value)
      expect(encoded.equals(paxRecord('path', value))).toBe(true)
      expect(paxRecords(Buffer.concat([encoded, paxRecord('uid', '7')]))[0]?.value.length).toBe(length)
    }
  })

  test('keys and values are UTF-8 text, or bytes', () => {
    const [record] = paxRecords(encodePaxRecord('SCHILY.xattr.user.é€', 'ü→'))
    expect(toBuffer(record!.key).toString()).toBe('SCHILY.xattr.user.é€')
    expect(record!.value.toString()).toBe('ü→')
    expect(encodePaxRecord(toBuffer(record!.key), record!.value)).toEqual(encodePaxRecord('SCHILY.xattr.user.é€', 'ü→'))
    for (const key of ['', 'a=b', 'a\0']) {
      expect(() => encodePaxRecord(key, '')).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
    }
  })

  test('passes over NULs behind the records', () => {
    expect(paxRecords(Buffer.from('9 path=a\n\0\0\0'))).toHaveLength(1)
    expect(paxRecords(Buffer.alloc(0))).toEqual([])
  })

  test.each([
    ['no length', 'path=a\n'],
    ['no blank', '9path=a\n'],
    ['length 0', '0 path=a\n'],
    ['length beyond the body', '90 path=a\n'],
    ['a length of many digits', '99999999999999999999999999999999999999 path=a\n'],
    ['a negative length', '-9 path=a\n'],
    ['length too small for itself', '2 path=a\n'],
    ['no newline at its length', '8 path=a\n'],
    ['no newline at all', '8 path=a'],
    ['no "="', '7 path\n'],
    ['a "=" only behind it', '7 path\n9 path=a\n'],
    ['an empty key', '5 =a\n'],
    ['NUL in the key', '9 pa\0h=a\n'],
    ['a key that is not UTF-8', '9 pa\xffh=a\n'],
    ['junk behind NULs', '9 path=a\n\0\0x'],
    ['junk behind the records', '9 path=a\njunk'],
  ])('refuses a record with %s', (_, body) => {
    expect(() => paxRecords(Buffer.from(body, 'latin1'), 512)).toThrow(
      expect.objectContaining({ code: 'ERR_PAX_RECORD', offset: expect.any(Number) }),
    )
  })
})

describe('numbers', () => {
  test.each([
    ['7', 7],
    ['+7', 7],
    ['007', 7],
    ['4294967295', 4294967295],
    ['', undefined],
  ])('%j is %s', (value, expected) => expect(paxNumber(record('uid', value), 0xffffffff)).toBe(expected))

  test.each([['-1'], [' 7'], ['7 '], ['7\0'], ['1e3'], ['0x7'], ['4294967296'], ['99999999999999999999'], ['\xff']])(
    'refuses %j',
    (value) => {
      expect(() => paxNumber(record('uid', value), 0xffffffff)).toThrow(
        expect.objectContaining({ code: 'ERR_PAX_VALUE', offset: 512, message: expect.stringContaining('uid') }),
      )
    },
  )

  test('the size is that of the last record, and an empty one cancels', () => {
    const size = (...values: string[]) => paxSize(Buffer.concat(values.map((value) => paxRecord('size', value))))
    expect(size('1', '2')).toBe(2)
    expect(size('1', '')).toBeUndefined()
    expect(size()).toBeUndefined()
    expect(paxSize(paxRecord('comment', ' size=5'))).toBeUndefined()
    expect(() => size('9007199254740992')).toThrow(expect.objectContaining({ code: 'ERR_PAX_VALUE' }))
  })
})

describe('times', () => {
  test.each([
    ['0', 0, 0],
    ['-0', 0, 0],
    ['+5', 5, 0],
    ['1.5', 1, 500_000_000],
    ['1.', 1, 0],
    ['1.000000001', 1, 1],
    ['1.0000000019', 1, 1],
    ['-1.5', -2, 500_000_000],
    ['-0.25', -1, 750_000_000],
    ['-10', -10, 0],
    ['-1.0000000001', -1, 0],
    ['9223372036854775807.9', 2n ** 63n - 1n, 900_000_000],
    ['-9223372036854775808', -(2n ** 63n), 0],
  ])('%s', (text, whole, nanoseconds) => {
    expect(paxTime(record('mtime', text))).toEqual({ seconds: whole, nanoseconds })
  })

  test.each([
    ['.5'],
    ['1.x'],
    ['1.+5'],
    ['1.2.3'],
    ['1,5'],
    ['--1'],
    [' 1'],
    ['1e5'],
    ['9223372036854775808'],
    ['9'.repeat(40)],
  ])('refuses %j', (text) => {
    expect(() => paxTime(record('mtime', text))).toThrow(expect.objectContaining({ code: 'ERR_PAX_VALUE' }))
  })
})

describe('PaxAttributes', () => {
  test('the last record of a key holds, and an empty one takes it back', () => {
    const attributes = new PaxAttributes()
    for (const [key, value] of [
      ['path', 'a'],
      ['path', 'b'],
      ['linkpath', 'x'],
      ['linkpath', ''],
      ['mtime', '1.25'],
      ['mtime', '2'],
      ['uid', '5'],
      ['uid', ''],
      ['gid', '6'],
      ['unknown', '\xff\0'],
    ] as const) {
      attributes.add(record(key, value))
    }
    expect(attributes).toMatchObject({ path: 'b', linkPath: undefined, uid: undefined, gid: 6 })
    expect(attributes.mtime).toEqual({ seconds: 2, nanoseconds: 0 })
  })

  test('keeps a copy of xattr values', () => {
    const attributes = new PaxAttributes()
    const value = Buffer.from([1, 2, 3])
    attributes.add({ key: fromLatin1('SCHILY.xattr.user.a=b'), value, offset: 0 })
    attributes.add(record('SCHILY.xattr.user.empty', ''))
    value.fill(0)
    expect(attributes.xattrs).toEqual([
      ['user.a=b', Buffer.from([1, 2, 3])],
      ['user.empty', Buffer.alloc(0)],
    ])
  })

  test.each([
    ['path', 'a\0b'],
    ['linkpath', '\0'],
    ['GNU.sparse.name', 'a\0'],
    ['SCHILY.xattr.', 'x'],
  ])('refuses %s=%j', (key, value) => {
    expect(() => new PaxAttributes().add(record(key, value))).toThrow(
      expect.objectContaining({ code: 'ERR_PAX_VALUE' }),
    )
  })
})
