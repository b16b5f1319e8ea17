import { describe, expect, test } from 'vitest'
import { escapeField, escapeOptional, escapeXattr, unescapeField } from '../../../src/streams/dumpfile-escape.ts'

describe('unescapeField', () => {
  test.each([
    ['plain', 'plain'],
    ['', ''],
    ['\\\\', '\\'],
    ['a\\nb\\rc\\td', 'a\nb\rc\td'],
    ['\\x00\\xff\\xAb', '\0\xff\xab'],
    ['\\\\x41', '\\x41'],
    ['\xe9\x01', '\xe9\x01'],
  ])('%j is %j', (field, text) => expect(unescapeField(field)).toBe(text))

  test.each(['\\', 'a\\', '\\q', '\\N', '\\x', '\\x4', '\\xg0', '\\x0g', '\\x+f', '\\x 1'])(
    '%j is malformed',
    (field) => expect(unescapeField(field)).toBeUndefined(),
  )
})

describe('escaping', () => {
  test('what is printable stands for itself, except backslash', () => {
    const printable = Array.from({ length: 94 }, (_, i) => String.fromCharCode(0x21 + i)).join('')
    expect(escapeField(printable)).toBe(printable.replace('\\', '\\\\'))
  })

  test('everything else is escaped, in lower case', () => {
    expect(escapeField('\0 \n\r\t\x1f\x7f\x80\xff')).toBe('\\x00\\x20\\n\\r\\t\\x1f\\x7f\\x80\\xff')
  })

  test.each([
    ['', '-'],
    ['-', '\\x2d'],
    ['--', '--'],
    [' ', '\\x20'],
    ['a=b', 'a=b'],
  ])('PAYLOAD and CONTENT %j are written %j', (text, field) => expect(escapeOptional(text)).toBe(field))

  test.each([
    ['', ''],
    ['-', '-'],
    ['a=b=', 'a\\x3db\\x3d'],
    ['\0', '\\x00'],
  ])('in an xattr %j is written %j', (text, field) => expect(escapeXattr(text)).toBe(field))
})
