import { describe, expect, test } from 'vitest'
import type { ErrorCode } from '../../../src/errors.ts'
import {
  contentTypes,
  encodeSplitstreamInfo,
  parseSplitstreamInfo,
  type SplitstreamExpectations,
} from '../../../src/streams/splitstream-format.ts'
import { failure, id, inline, odd, range, rawFrame } from '../../support/splitstream.ts'

const file = (): Buffer => odd({ objectRefs: [id(1)], stream: inline('hello') })

describe('content types', () => {
  test.each([
    [contentTypes.layer, 'ocilayer'],
    [contentTypes.config, 'ociconfg'],
    [contentTypes.manifest, 'ocimanif'],
    [contentTypes.blob, 'oci_blob'],
  ])('%s is %s', (value, text) => {
    const bytes = Buffer.alloc(8)
    bytes.writeBigUInt64LE(value)
    expect(bytes.toString('latin1')).toBe(text)
  })
})

describe('encodeSplitstreamInfo', () => {
  test('one of a complete file', () => {
    const sizes = { streamRefs: 0, objectRefs: 0, namedRefs: 9, stream: 22 }
    const bytes = encodeSplitstreamInfo({ algorithm: 'sha256', contentType: 0n, streamSize: 5 }, sizes)
    const n = (value: number) => `${value.toString(16).padStart(2, '0')}00000000000000`
    const header = `53706c697453747265616d000000010c${n(0x20)}${n(0x70)}`
    const ranges = [0x70, 0x70, 0x70, 0x70, 0x79, 0x8f, 0x70, 0x79].map(n).join('')
    expect(bytes.toString('hex')).toBe(`${header}${ranges}${n(0)}${n(5)}`)
  })

  test('comes back', () => {
    const sizes = { streamRefs: 64, objectRefs: 128, namedRefs: 10, stream: 20 }
    const said = { algorithm: 'sha512', contentType: contentTypes.manifest, streamSize: 2 ** 53 - 1 } as const
    const bytes = Buffer.concat([encodeSplitstreamInfo(said, sizes), Buffer.alloc(222)])
    expect(parseSplitstreamInfo(bytes)).toEqual({
      ...said,
      streamRefs: { start: 112, end: 176 },
      objectRefs: { start: 176, end: 304 },
      namedRefs: { start: 304, end: 314 },
      stream: { start: 314, end: 334 },
    })
  })
})

describe('parseSplitstreamInfo', () => {
  test('reads the header as it was before March 2026', () => {
    const old = odd({ objectRefs: [id(1)], stream: inline('hello'), oldHeader: true })
    expect(old.toString('latin1', 18, 29)).toBe('SplitStream')
    expect(parseSplitstreamInfo(old)).toEqual(parseSplitstreamInfo(file()))
  })

  test('takes a longer info section', () => {
    const longer = range(file(), 16, 32, 113)
    expect(parseSplitstreamInfo(longer)).toEqual(parseSplitstreamInfo(file()))
  })

  const change = (edit: (bytes: Buffer) => unknown): Buffer => {
    const bytes = file()
    edit(bytes)
    return bytes
  }

  test.each<[string, Buffer, ErrorCode, number | undefined, SplitstreamExpectations?]>([
    ['nothing', Buffer.alloc(0), 'ERR_SPLITSTREAM_INVALID', 0],
    ['too little', file().subarray(0, 31), 'ERR_SPLITSTREAM_INVALID', 31],
    ['only a header', file().subarray(0, 32), 'ERR_SPLITSTREAM_INVALID', 16],
    ['half an info section', file().subarray(0, 111), 'ERR_SPLITSTREAM_INVALID', 16],
    ['something else', Buffer.alloc(200, 'x'), 'ERR_SPLITSTREAM_INVALID', 0],
    ['the format of 2024', rawFrame(Buffer.alloc(100)), 'ERR_SPLITSTREAM_OLD', 0],
    ['a short one of 2024', rawFrame(Buffer.alloc(8)), 'ERR_SPLITSTREAM_OLD', 0],
    ['another version', change((b) => b.writeUInt8(1, 11)), 'ERR_SPLITSTREAM_INVALID', 11],
    ['an unknown hash', change((b) => b.writeUInt8(3, 14)), 'ERR_SPLITSTREAM_INVALID', 14],
    ['the wrong hash', file(), 'ERR_SPLITSTREAM_ALGORITHM', undefined, { algorithm: 'sha512' }],
    ['other blocks', change((b) => b.writeUInt8(16, 15)), 'ERR_SPLITSTREAM_INVALID', 15],
    ['info that ends before it begins', change((b) => range(b, 16, 33, 32)), 'ERR_SPLITSTREAM_INVALID', 16],
    [
      'info behind the file',
      change((b) => range(b, 16, 2n ** 64n - 80n, 2n ** 64n - 1n)),
      'ERR_SPLITSTREAM_INVALID',
      16,
    ],
    ['short info', change((b) => range(b, 16, 32, 111)), 'ERR_SPLITSTREAM_INVALID', 32],
    ['other content', file(), 'ERR_SPLITSTREAM_CONTENT_TYPE', undefined, { contentType: contentTypes.config }],
    ['an impossible size', change((b) => b.writeBigUInt64LE(2n ** 53n, 104)), 'ERR_SPLITSTREAM_INVALID', 104],
    ...[32, 48, 64, 80].map((at): [string, Buffer, ErrorCode, number] => [
      `the range at ${at} behind the file`,
      change((b) => range(b, at, 0, b.length + 1)),
      'ERR_SPLITSTREAM_INVALID',
      at,
    ]),
    ...[32, 48, 64, 80].map((at): [string, Buffer, ErrorCode, number] => [
      `the range at ${at} reversed`,
      change((b) => range(b, at, 2, 1)),
      'ERR_SPLITSTREAM_INVALID',
      at,
    ]),
  ])('refuses %s', (_, bytes, code, offset, expected = {}) => {
    const error = failure(() => parseSplitstreamInfo(bytes, expected))
    expect(error).toMatchObject({ name: 'ComposefsError', code, hint: expect.any(String) })
    if (offset !== undefined) expect(error).toMatchObject({ offset })
  })

  test('tells what it expected and what it found', () => {
    const error = failure(() => parseSplitstreamInfo(file(), { contentType: 0xdeadbeefn }))
    expect(error).toMatchObject({ expected: '0xdeadbeef', actual: 'ocilayer' })
  })

  test('takes the version before the hash, and the hash before the ranges', () => {
    const both = change((b) => {
      b.writeUInt8(1, 11)
      b.writeUInt8(2, 14)
    })
    expect(failure(() => parseSplitstreamInfo(both, { algorithm: 'sha256' }))).toMatchObject({ offset: 11 })
    const later = change((b) => range(b, 16, 9, 1))
    expect(failure(() => parseSplitstreamInfo(later, { algorithm: 'sha512' }))).toMatchObject({
      code: 'ERR_SPLITSTREAM_ALGORITHM',
    })
  })
})
