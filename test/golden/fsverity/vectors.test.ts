import { describe, expect, test } from 'vitest'
import { fsverityDigest } from '../../../src/fsverity/index.ts'
import { shared } from '../../support/shared.ts'

interface Vector {
  size: number
  sha256: string
  sha512: string
}

/** The fallback is slow: it proves itself on less. */
const nobleLimit = 2 * 1024 * 1024

/** Byte i is (7*i + 13*(i>>8) + (i>>16)) & 255. */
function pattern(size: number): Buffer {
  const bytes = Buffer.allocUnsafe(size)
  for (let i = 0; i < size; i++) bytes[i] = 7 * i + 13 * (i >> 8) + (i >> 16)
  return bytes
}

describe.skipIf(!shared.available)('digests of the fsverity tool', () => {
  const vectors: Vector[] = shared.available ? shared.json('vectors/fsverity.json').vectors : []

  test.each(vectors)('$size bytes', ({ size, ...digests }) => {
    const bytes = pattern(size)
    for (const algorithm of ['sha256', 'sha512'] as const) {
      expect(fsverityDigest(algorithm, bytes).hex).toBe(digests[algorithm])
      if (size > nobleLimit) continue
      expect(fsverityDigest(algorithm, bytes, 'noble').hex).toBe(digests[algorithm])
    }
  })

  test('there are vectors', () => {
    expect(vectors.length).toBeGreaterThan(10)
  })
})
