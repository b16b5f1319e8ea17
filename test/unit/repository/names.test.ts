import { describe, expect, test } from 'vitest'
import { checkContentId, checkRefName, decodeTag, encodeTag } from '../../../src/repository/names.ts'

test.each([
  ['quay.io/fedora/fedora:42', 'quay.io%2Ffedora%2Ffedora:42'],
  ['a/b:c%d', 'a%2Fb:c%25d'],
  ['%2F', '%252F'],
  ['oci:o1:latest', 'oci:o1:latest'],
  ['a@b', 'a@b'],
  ['ünï', 'ünï'],
])('the tag %s is the ref %s', (tag, name) => {
  expect(encodeTag(tag)).toBe(name)
  expect(decodeTag(name)).toBe(tag)
})

test('only the two codes are decoded, once, and in upper case only', () => {
  expect(decodeTag('a%2fb%20c%252F%')).toBe('a%2fb%20c%2F%')
})

test.each(['', '.', '..', '@sha256:x', 'a\0b', 'x'.repeat(256), '/'.repeat(86), '\ud800'])('%j is no tag', (tag) => {
  expect(() => encodeTag(tag)).toThrow(expect.objectContaining({ code: 'ERR_OCI_NAME' }))
})

describe('ref names', () => {
  test.each(['x', 'a/b/c', '.hidden', '...', 'refs', 'a b'])('%j is one', (name) => {
    expect(checkRefName(name)).toBe(name)
  })

  test.each([
    '',
    '/',
    '/etc/passwd',
    '..',
    '../x',
    '../../x',
    'a/../b',
    'a/..',
    './a',
    'a//b',
    'a/',
    'a\0',
    `a/${'ü'.repeat(128)}`,
    '\udc00',
  ])('%j is none', (name) => {
    expect(() => checkRefName(name)).toThrow(expect.objectContaining({ code: 'ERR_OCI_NAME' }))
  })
})

describe('stream ids', () => {
  test('are file names', () => {
    expect(checkContentId('oci-layer-sha256:00')).toBe('oci-layer-sha256:00')
  })

  test.each(['', '.', '..', 'a/b', '../x', 'refs', 'refs/x', 'a\0', 'x'.repeat(256)])('%j is none', (id) => {
    expect(() => checkContentId(id)).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
  })
})
