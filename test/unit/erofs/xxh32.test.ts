import { expect, test } from 'vitest'
import { xxh32 } from '../../../src/erofs/xxh32.ts'
import { fromLatin1 } from '../../../src/tree/index.ts'

const seed = 0x25bbe08f

test.each([
  ['overlay.metacopy', 4, 0xdbe5e05f],
  ['overlay.redirect', 4, 0x887ec271],
  ['overlay.opaque', 4, 0x4ce0a7f4],
  ['selinux', 6, 0x9490146b],
  ['', 2, 0x0857597e],
])('the hash of %j with prefix %i', (suffix, index, hash) => {
  expect(xxh32(fromLatin1(suffix), seed + index)).toBe(hash)
})

// From the test suite of xxHash: its generator of bytes, and lengths around its lanes.
const sanity = ((): string => {
  let generator = 2654435761n
  let text = ''
  for (let i = 0; i < 222; i++) {
    text += String.fromCharCode(Number((generator >> 56n) & 0xffn))
    generator = (generator * 11400714785074694797n) & 0xffffffffffffffffn
  }
  return text
})()

test.each([
  [0, 0, 0x02cc5d05],
  [0, 2654435761, 0x36b78ae7],
  [1, 0, 0xcf65b03e],
  [1, 2654435761, 0xb4545aa4],
  [14, 0, 0x1208e7e2],
  [14, 2654435761, 0x6af1d1fe],
  [222, 0, 0x5bd11dbd],
  [222, 2654435761, 0x58803c5f],
])('%i bytes of the reference generator with seed %i', (length, start, hash) => {
  expect(xxh32(fromLatin1(sanity.slice(0, length)), start)).toBe(hash)
})
