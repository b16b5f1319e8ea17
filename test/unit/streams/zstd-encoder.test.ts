import { execFileSync } from 'node:child_process'
import { decompress } from 'fzstd'
import { describe, expect, test } from 'vitest'
import { decodeZstd } from '../../../src/streams/zstd-decoder.ts'
import { encodeZstd, storeZstd } from '../../../src/streams/zstd-encoder.ts'
import { Random } from '../../support/random.ts'
import { requireTools } from '../../support/tools.ts'

const noise = (size: number): Buffer => Buffer.from(new Random(size).bytes(size), 'latin1')
const around = (...sizes: number[]): number[] => sizes.flatMap((size) => [size - 1, size, size + 1])

const samples: [string, Buffer][] = [
  ['nothing', Buffer.alloc(0)],
  ...[1, 255, ...around(1024, 2048, 128 * 1024, 256 * 1024)].map((n): [string, Buffer] => [`${n} bytes`, noise(n)]),
  ...[1, ...around(1024, 128 * 1024, 300_000)].map((n): [string, Buffer] => [`${n} zeros`, Buffer.alloc(n)]),
  ['zeros inside', Buffer.concat([noise(5000), Buffer.alloc(200_000), noise(3), Buffer.alloc(1500), noise(140_000)])],
]

describe.each([
  ['encodeZstd', encodeZstd],
  ['storeZstd', storeZstd],
])('%s', (_, encode) => {
  test.each(samples)('%s', (_, bytes) => {
    const frame = encode(bytes)
    expect(Buffer.from(decompress(frame)).equals(bytes)).toBe(true)
    expect(decodeZstd(frame, { maxOutput: bytes.length }).equals(bytes)).toBe(true)
    expect(encode(Buffer.from(bytes)).equals(frame)).toBe(true)
  })

  test('costs little where there is nothing but zeros', () => {
    expect(encode(Buffer.alloc(1024 * 1024)).length).toBeLessThan(128)
  })

  test('grows by no more than a few bytes a block', () => {
    const bytes = noise(512 * 1024)
    expect(encode(bytes).length).toBeLessThan(bytes.length + 64)
  })

  test.skipIf(requireTools('zstd').skip)('the zstd tool reads it', () => {
    for (const [name, bytes] of samples) {
      const output = execFileSync('zstd', ['-dcq'], { input: encode(bytes), maxBuffer: 1 << 24 })
      expect(output.equals(bytes), name).toBe(true)
    }
  })
})
