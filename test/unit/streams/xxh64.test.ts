import { expect, test } from 'vitest'
import { Xxh64 } from '../../../src/streams/xxh64.ts'
import { cut } from '../../support/chunks.ts'
import { mixture, zstdFixture } from '../../support/compressed.ts'

test.each<[string, bigint]>([
  ['', 0xef46db3751d8e999n],
  ['a', 0xd24ec4f1a98c6e5bn],
  ['abc', 0x44bc2cf5ad770999n],
  ['Nobody inspects the spammish repetition', 0xfbcea83c8a378bf1n],
])('hashes %j as the specification does', (text, digest) => {
  expect(new Xxh64().update(Buffer.from(text)).digest()).toBe(digest)
})

test('agrees with the checksum that the reference encoder wrote', () => {
  const { frame, plain } = zstdFixture('level3-checksum')
  expect(new Xxh64().update(plain).low32()).toBe(frame.readUInt32LE(frame.length - 4))
})

test('hashes the same in any pieces, at any address', () => {
  const bytes = mixture(1, 50_001)
  const whole = new Xxh64().update(bytes).digest()
  for (const sizes of [[1], [31, 32, 33], [7, 16_384], [16_383], [20_000]]) {
    const hash = new Xxh64()
    for (const chunk of cut(bytes, sizes)) hash.update(chunk)
    expect(hash.digest()).toBe(whole)
  }
  const room = Buffer.alloc(bytes.length + 1)
  bytes.copy(room, 1)
  expect(new Xxh64().update(room.subarray(1)).digest()).toBe(whole)
})
