import fc from 'fast-check'
import { expect, test } from 'vitest'
import { bytesOf, fromLatin1, fromPrintable, printable, toBuffer } from '../../src/bytes.ts'

test.each([
  ['plain', 'plain'],
  ['é €', 'é €'],
  ['a\\b', 'a\\\\b'],
  ['a\nb\x1b[2J\x7f', 'a\\x0ab\\x1b[2J\\x7f'],
  ['\u009b31m', '\\xc2\\x9b31m'],
  ['\u202egnp.exe', '\\xe2\\x80\\xaegnp.exe'],
  ['\u2066\u2028\ufeff', '\\xe2\\x81\\xa6\\xe2\\x80\\xa8\\xef\\xbb\\xbf'],
  ['\ufffd', '\\xef\\xbf\\xbd'],
  ['\\x0a', '\\\\x0a'],
])('%j is printed as %s', (text, expected) => {
  expect(printable(bytesOf(text))).toBe(expected)
  expect(fromPrintable(expected)).toBe(bytesOf(text))
})

test('bytes that are no UTF-8 are printed as ASCII', () => {
  expect(printable(fromLatin1('\xff\xc3\xa9\\'))).toBe('\\xff\\xc3\\xa9\\\\')
})

test('what is printed has no controls, and tells the bytes', () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 12 }).map((bytes) => Buffer.from(bytes)),
    fc.string({ unit: 'binary', maxLength: 12 }).map((text) => Buffer.from(text)),
    fc
      .string({ unit: fc.constantFrom('\\', 'x', '0', 'a', '\n', 'é', '\x9b', '\u202e', '\u{e0041}') })
      .map(Buffer.from),
  )
  fc.assert(
    fc.property(bytes, (bytes) => {
      const text = printable(bytesOf(bytes))
      expect(text).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u)
      expect(toBuffer(fromPrintable(text))).toEqual(bytes)
    }),
  )
})

test('text and buffers become bytes; what is bytes already does not compile', () => {
  expect(bytesOf('é')).toBe('\xc3\xa9')
  expect(bytesOf(Buffer.from([0xff]))).toBe('\xff')
  // @ts-expect-error its bytes would be encoded once more
  expect(bytesOf(fromLatin1('\xff'))).toBe('\xc3\xbf')
})
