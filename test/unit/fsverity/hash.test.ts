import { describe, expect, test } from 'vitest'
import { blockHash, createHasher, defaultImplementation, hashBlock } from '../../../src/fsverity/hash.ts'

// FIPS 180-4, appendix examples: the digests of "abc".
const abc = {
  sha256: 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
  sha512:
    'ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a' +
    '2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f',
} as const

describe.each(['node', 'noble'] as const)('hashing with %s', (implementation) => {
  test.each(['sha256', 'sha512'] as const)('%s', (algorithm) => {
    const hasher = createHasher(algorithm, implementation)
    hasher.update(Buffer.from('a'))
    hasher.update(new Uint8Array([0x62, 0x63]))
    expect(hasher.digest().toString('hex')).toBe(abc[algorithm])

    expect(hashBlock(algorithm, Buffer.from('abc'), implementation).toString('hex')).toBe(abc[algorithm])

    const target = Buffer.alloc(100, 0xee)
    blockHash(algorithm, implementation)(Buffer.from('abc'), target, 3)
    const size = abc[algorithm].length / 2
    expect(target.subarray(3, 3 + size).toString('hex')).toBe(abc[algorithm])
    expect([target[2], target[3 + size]]).toEqual([0xee, 0xee])
  })
})

test('node:crypto is preferred where it exists', () => {
  expect(defaultImplementation).toBe('node')
})
