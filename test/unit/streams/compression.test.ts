import { expect, test } from 'vitest'
import { type Compression, detectCompression, magicLength } from '../../../src/streams/compression.ts'

const magics: [Compression, string][] = [
  ['gzip', '1f8b'],
  ['zstd', '28b52ffd'],
  ['zstd', '502a4d18'],
  ['zstd', '5f2a4d18'],
  ['xz', 'fd377a585a00'],
  ['bzip2', '425a6839314159265359'],
  ['bzip2', '425a6831177245385090'],
]

test.each(magics)('knows %s by %s, and needs all of it', (compression, hex) => {
  const magic = Buffer.from(hex, 'hex')
  expect(magic.length).toBeLessThanOrEqual(magicLength)
  for (let size = 0; size < magic.length; size++) {
    expect(detectCompression(magic.subarray(0, size))).toBeUndefined()
    expect(detectCompression(magic.subarray(0, size), true)).toBe('none')
  }
  expect(detectCompression(magic)).toBe(compression)
  expect(detectCompression(Buffer.concat([magic, Buffer.from('more')]))).toBe(compression)
})

test.each([
  '00',
  '1f8a',
  '28b52ffe',
  '4f2a4d18',
  '602a4d18',
  'fd377a585a01',
  '425a6830',
  '425a68393141592653aa',
  '42ff',
])('takes %s for plain bytes at once', (hex) => expect(detectCompression(Buffer.from(hex, 'hex'))).toBe('none'))

test('takes a tar whose first file has a name like bzip2 data for plain', () => {
  expect(detectCompression(Buffer.from('BZh9.txt\0\0\0\0'))).toBe('none')
})
