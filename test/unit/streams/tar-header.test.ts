import { describe, expect, test } from 'vitest'
import { toBuffer } from '../../../src/bytes.ts'
import {
  encodeHeader,
  extensionOf,
  hasValidChecksum,
  headerPath,
  isZeroBlock,
  paddingOf,
  parseHeader,
} from '../../../src/streams/tar-header.ts'
import { header, magics } from '../../support/tar.ts'

describe('parseHeader', () => {
  test('reads every field', () => {
    const block = header({
      name: 'usr/bin/tool',
      prefix: 'a/b',
      type: '3',
      mode: 0o4755,
      uid: 1000,
      gid: 100,
      size: 0o777,
      mtime: 1_700_000_000,
      linkName: 'elsewhere',
      major: 8,
      minor: 17,
    })
    expect(parseHeader(block)).toEqual({
      format: 'ustar',
      name: 'usr/bin/tool',
      prefix: 'a/b',
      typeflag: 0x33,
      mode: 0o4755,
      uid: 1000,
      gid: 100,
      size: 0o777,
      mtime: 1_700_000_000,
      linkName: 'elsewhere',
      deviceMajor: 8,
      deviceMinor: 17,
      bodySize: 0o777,
    })
    expect(headerPath(parseHeader(block))).toBe('a/b/usr/bin/tool')
  })

  test('names of 100 and 155 bytes need no NUL, and any byte is kept', () => {
    const name = `\xff\xfe\n=${'n'.repeat(96)}`
    const parsed = parseHeader(header({ name, prefix: 'p'.repeat(155), linkName: 'l'.repeat(100) }))
    expect(parsed).toMatchObject({ name, prefix: 'p'.repeat(155), linkName: 'l'.repeat(100) })
  })

  test.each([
    [magics.ustar, 'ustar'],
    [magics.gnu, 'gnu'],
    [magics.v7, 'v7'],
    ['ustar\0xx', 'ustar'],
    ['ustar\0  ', 'ustar'],
    ['ustar\0\0\0', 'ustar'],
    ['ustar\0 \0', 'ustar'],
    ['ustar ', 'v7'],
    ['ustar 00', 'v7'],
    ['tar\0\0\0\0\0', 'v7'],
  ])('the magic %j means %s', (magic, format) => {
    const parsed = parseHeader(header({ magic, prefix: 'p', type: '4', major: 1, minor: 2 }))
    expect(parsed.format).toBe(format)
    expect(parsed.prefix).toBe(format === 'ustar' ? 'p' : '')
    expect([parsed.deviceMajor, parsed.deviceMinor]).toEqual(format === 'v7' ? [0, 0] : [1, 2])
  })

  test.each([
    ['tar\0', 131],
    ['tar ', 155],
    ['\0\0\0\0', 155],
  ])('with %j at its end a header has a prefix of %i bytes', (trailer, length) => {
    expect(parseHeader(header({ prefix: 'p'.repeat(155), trailer })).prefix).toBe('p'.repeat(length))
  })

  test.each([
    ['0000644\0', 0o644],
    ['   644 \0', 0o644],
    ['\t\v 644\t', 0o644],
    ['644\0junk', 0o644],
    ['\0\0\0\0\0\0\0\0', 0],
    ['        ', 0],
    ['77777777', 0o77777777],
  ])('the octal field %j is %i', (mode, value) => {
    expect(parseHeader(header({ mode })).mode).toBe(value)
  })

  test.each([['0000684\0'], ['12 34\0\0\0'], ['-0000001'], ['+0000001'], ['0x1f\0\0\0\0']])('refuses %j', (mode) => {
    expect(() => parseHeader(header({ name: 'a/b', mode }), 1024)).toThrow(
      expect.objectContaining({ code: 'ERR_TAR_NUMBER', path: 'a/b', offset: 1124 }),
    )
  })

  test.each([
    ['80000000ffffffff', 0xffffffff],
    ['8000000000000007', 7],
  ])('the base-256 id %s is %i', (hex, value) => {
    expect(parseHeader(header({ uid: Buffer.from(hex, 'hex') })).uid).toBe(value)
  })

  test.each([
    ['uid', '8000000100000000'],
    ['gid', 'ffffffffffffffff'],
    ['mode', 'ffffffffffffffff'],
    ['size', 'ffffffffffffffffffffffff'],
    ['size', '800000000020000000000000'],
    ['mtime', '800000008000000000000000'],
  ])('refuses a %s of %s', (field, hex) => {
    expect(() => parseHeader(header({ [field]: Buffer.from(hex, 'hex') }))).toThrow(
      expect.objectContaining({ code: 'ERR_TAR_NUMBER', message: expect.stringContaining(field) }),
    )
  })

  test.each([
    [
      { type: '3', major: 0o10000 },
      /device major .* out of range: f \(expected 0 to 4095, got 4096\) .* — Linux has no/,
    ],
    [{ type: '4', minor: Buffer.from('8000000000100000', 'hex') }, /minor .*expected 0 to 1048575, got 1048576.* — /],
    [{ uid: Buffer.from('8000000100000000', 'hex') }, /uid .*expected 0 to 4294967295, got 4294967296.* --owner/],
    [{ mtime: Buffer.from('800000008000000000000000', 'hex') }, /mtime .*expected -9223372036854775808 to 9.* --mtime/],
    [{ size: Buffer.from('ffffffffffffffffffffffff', 'hex') }, /size .*expected 0 to 9007199254740991, got -1\) .* — /],
    [
      { uid: 'nine\0' },
      /the uid field of a tar header, "nine\\x00\\x00\\x00\\x00", holds no number.* — .*ustar, pax or gnu/,
    ],
  ])('the message for %j names the limit and what to do', (fields, message) => {
    expect(() => parseHeader(header(fields))).toThrow(message)
  })

  test.each([
    ['ffffffffffffffffffffffff', -1],
    ['ffffffff8000000000000000', -(2n ** 63n)],
    ['800000007fffffffffffffff', 2n ** 63n - 1n],
    ['800000000000000000000007', 7],
  ])('the time %s is %s', (hex, value) => {
    expect(parseHeader(header({ mtime: Buffer.from(hex, 'hex') })).mtime).toBe(value)
  })

  test('takes a size of 2^53 - 1', () => {
    const size = Buffer.from('80000000001fffffffffffff', 'hex')
    expect(parseHeader(header({ size })).size).toBe(Number.MAX_SAFE_INTEGER)
  })

  test('takes signed checksums and all ways to write one', () => {
    const name = '\xe9t\xe9'
    expect(parseHeader(header({ name, checksum: 'signed' })).name).toBe(name)
    const sum = header({ name }).toString('latin1', 148, 154)
    for (const text of [`${sum}\0 `, `${sum} \0`, `0${sum}\0`, `  ${sum}`, `${sum}\0\0`]) {
      expect(hasValidChecksum(header({ name, checksum: Buffer.from(text) })), JSON.stringify(text)).toBe(true)
    }
  })

  test('notices a change of any byte', () => {
    const block = header({ name: 'a', magic: magics.gnu })
    for (let i = 0; i < 512; i++) {
      const changed = Buffer.from(block)
      changed[i] = changed[i]! ^ 0x08
      // Behind the NUL of the checksum field anything may stand.
      if (i === 155) continue
      expect(() => parseHeader(changed, 512), `byte ${i}`).toThrow(
        expect.objectContaining({ code: 'ERR_TAR_CHECKSUM', offset: 512 }),
      )
    }
  })

  test('refuses a block that is too short', () => {
    expect(() => parseHeader(header({}).subarray(0, 511))).toThrow(
      expect.objectContaining({ code: 'ERR_TAR_CHECKSUM' }),
    )
  })
})

describe('encodeHeader', () => {
  test('refuses what does not fit', () => {
    const file = { name: 'f', typeflag: 0x30 }
    for (const fields of [{ name: 'n'.repeat(101) }, { prefix: 'p'.repeat(156) }, { linkName: 'l'.repeat(101) }]) {
      expect(() => encodeHeader({ ...file, ...fields })).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
    }
    expect(() => encodeHeader({ ...file, uid: Number.MAX_SAFE_INTEGER * 2 ** 11 })).toThrow(
      expect.objectContaining({ code: 'ERR_ARGUMENT' }),
    )
  })

  test('takes names as UTF-8 text and as bytes', () => {
    const text = { name: 'é€😀', prefix: 'ü', linkName: 'ñ→' }
    const block = encodeHeader({ ...text, typeflag: 0x32 })
    const { name, prefix, linkName } = parseHeader(block)
    expect([name, prefix, linkName].map((bytes) => toBuffer(bytes).toString())).toEqual(Object.values(text))
    const bytes = { name: toBuffer(name), prefix: toBuffer(prefix), linkName: toBuffer(linkName) }
    expect(encodeHeader({ ...bytes, typeflag: 0x32 })).toEqual(block)
    // What counts is bytes, not characters.
    expect(() => encodeHeader({ name: '€'.repeat(34), typeflag: 0x30 })).toThrow(/name does not fit .*102/)
  })

  test('writes what any tar program reads', () => {
    const block = encodeHeader({ name: 'a', typeflag: 0x30, mode: 0o644, uid: 1, gid: 2, size: 3, mtime: 4 })
    const expected = header({ name: 'a', uid: 1, gid: 2, size: 3, mtime: 4, major: 0, minor: 0 })
    expect(block.equals(expected)).toBe(true)
  })
})

test('extension types count only with a magic, but for g', () => {
  const kinds = (magic: string) => [...'xgLK0S'].map((type) => extensionOf(parseHeader(header({ type, magic }))))
  expect(kinds(magics.ustar)).toEqual(['x', 'g', 'L', 'K', undefined, undefined])
  expect(kinds(magics.gnu)).toEqual(['x', 'g', 'L', 'K', undefined, undefined])
  expect(kinds(magics.v7)).toEqual([undefined, 'g', undefined, undefined, undefined, undefined])
})

test('padding fills the last block, also of sizes beyond 32 bits', () => {
  expect([0, 1, 511, 512, 513, 2 ** 40 + 1].map(paddingOf)).toEqual([0, 511, 1, 0, 511, 511])
})

test('a header with an empty name is no zero block', () => {
  expect(isZeroBlock(header({ name: '' }))).toBe(false)
  expect(isZeroBlock(Buffer.alloc(512))).toBe(true)
})
