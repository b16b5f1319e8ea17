import { sha256, sha512 } from '@noble/hashes/sha2.js'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Algorithm, FsVerityHasher, fsverityDigest } from '../../../src/fsverity/index.ts'
import { cut } from '../../support/chunks.ts'
import { runs } from '../../support/runs.ts'

const blockSize = 4096
const hashes = { sha256, sha512 }

/** The definition, word by word and without thought for speed: an oracle that shares no code with the library. */
function oracle(algorithm: Algorithm, bytes: Uint8Array): string {
  const hash = hashes[algorithm]
  const level = (data: Uint8Array): Uint8Array => {
    const digests: Uint8Array[] = []
    for (let at = 0; at < data.length; at += blockSize) {
      const block = new Uint8Array(blockSize)
      block.set(data.subarray(at, at + blockSize))
      digests.push(hash(block))
    }
    return digests.length === 1 ? digests[0]! : level(Buffer.concat(digests))
  }
  const descriptor = Buffer.alloc(256)
  descriptor[0] = 1
  descriptor[1] = algorithm === 'sha256' ? 1 : 2
  descriptor[2] = 12
  descriptor.writeBigUInt64LE(BigInt(bytes.length), 8)
  if (bytes.length > 0) descriptor.set(level(bytes), 16)
  return Buffer.from(hash(descriptor)).toString('hex')
}

/** Sizes where something changes: blocks, one full block of hashes of either algorithm, one more. */
const edges = [0, 1, 2, 3, 63, 64, 65, 127, 128, 129].map((blocks) => blocks * blockSize)
const size = fc.oneof(
  fc.nat({ max: 3 * blockSize }),
  fc
    .tuple(fc.constantFrom(...edges), fc.integer({ min: -1, max: 1 }))
    .map(([edge, delta]) => Math.max(0, edge + delta)),
)
const algorithm = fc.constantFrom<Algorithm>('sha256', 'sha512')

function contents(length: number, seed: number): Buffer {
  const bytes = Buffer.alloc(length)
  for (let i = 0; i + 4 <= length; i += 97) bytes.writeUInt32LE(Math.imul(i + seed, 2654435761) >>> 0, i)
  return bytes
}

describe('fs-verity digests', () => {
  test('any chunking gives what the definition gives', () => {
    fc.assert(
      fc.property(
        algorithm,
        size,
        fc.nat(),
        fc.array(fc.oneof(fc.integer({ min: 1, max: 9000 }), fc.constantFrom(4095, 4096, 4097, 65536)), {
          minLength: 1,
          maxLength: 5,
        }),
        (name, length, seed, sizes) => {
          const bytes = contents(length, seed)
          const expected = oracle(name, bytes)
          expect(fsverityDigest(name, bytes).hex).toBe(expected)
          const hasher = new FsVerityHasher(name)
          for (const chunk of cut(bytes, sizes)) {
            hasher.update(chunk)
            chunk.fill(0x55)
          }
          expect(hasher.size).toBe(length)
          expect(hasher.digest().hex).toBe(expected)
        },
      ),
      { numRuns: runs(120) },
    )
  })

  test('three levels: more than 128 * 128 blocks', () => {
    const length = 128 * 128 * blockSize + 5
    const bytes = contents(length, 1)
    const hasher = new FsVerityHasher('sha256')
    for (let at = 0; at < length; at += 1_000_003) hasher.update(bytes.subarray(at, at + 1_000_003))
    expect(hasher.digest()).toEqual(fsverityDigest('sha256', bytes))
    expect(fsverityDigest('sha256', bytes).hex).toBe(oracle('sha256', bytes))
  })
})
