import { createHash } from 'node:crypto'
import { Readable, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { describe, expect, test } from 'vitest'
import { DigestVerifier, type DigestVerifierOptions } from '../../../src/streams/digest-verifier.ts'
import { cut } from '../../support/chunks.ts'

const bytes = Buffer.alloc(100_000, 'some layer ')
const digestOf = (algorithm: 'sha256' | 'sha512') => `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`
const sha256 = digestOf('sha256')

/** What arrives downstream, and whether that was told to be all. */
async function pass(options: DigestVerifierOptions, input: Buffer = bytes) {
  const arrived: Buffer[] = []
  let ended = false
  const verifier = new DigestVerifier(options)
  const sink = new Writable({
    write(chunk, _, callback) {
      arrived.push(chunk)
      callback()
    },
    final(callback) {
      ended = true
      callback()
    },
  })
  const error: unknown = await pipeline(Readable.from(cut(input, [1000, 7])), verifier, sink).catch((e) => e)
  return { error, ended, verifier, arrived: Buffer.concat(arrived) }
}

test.each<[DigestVerifierOptions]>([
  [{ digest: sha256 }],
  [{ digest: digestOf('sha512'), size: bytes.length }],
  [{ size: bytes.length }],
  [{}],
])('passes what is as promised: %j', async (options) => {
  const { error, ended, verifier, arrived } = await pass(options)
  expect(error).toBeUndefined()
  expect(ended).toBe(true)
  expect(arrived.equals(bytes)).toBe(true)
  expect(verifier.size).toBe(bytes.length)
  expect(verifier.digest).toBe(options.digest ?? sha256)
})

test('measures with either hash, and nothing too', async () => {
  expect((await pass({ algorithm: 'sha512' })).verifier.digest).toBe(digestOf('sha512'))
  const { verifier } = await pass({ size: 0 }, Buffer.alloc(0))
  expect(verifier.digest).toBe('sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855')
})

describe('never ends with', () => {
  test('another digest', async () => {
    const expected = `sha256:${'0'.repeat(64)}`
    const { error, ended, verifier } = await pass({ digest: expected, size: bytes.length, name: 'layer 1' })
    expect(error).toMatchObject({ code: 'ERR_DIGEST_MISMATCH', expected, actual: sha256 })
    expect(String(error)).toContain('layer 1')
    expect(ended).toBe(false)
    expect(verifier.digest).toBeUndefined()
  })

  test('fewer bytes', async () => {
    const { error, ended } = await pass({ digest: sha256, size: bytes.length + 1 })
    expect(error).toMatchObject({ code: 'ERR_SIZE_MISMATCH', expected: bytes.length + 1, actual: bytes.length })
    expect(ended).toBe(false)
  })

  test('more bytes, and does not pass them', async () => {
    const { error, ended, arrived } = await pass({ digest: sha256, size: 5000 })
    expect(error).toMatchObject({ code: 'ERR_SIZE_MISMATCH', expected: 5000 })
    expect(ended).toBe(false)
    expect(arrived.length).toBeLessThanOrEqual(5000)
  })
})

test.each([
  ['sha256:abc'],
  [`sha256:${'A'.repeat(64)}`],
  [`sha1:${'0'.repeat(40)}`],
  [`sha512:${'0'.repeat(64)}`],
  [''],
])('refuses the digest %j', (digest) => {
  expect(() => new DigestVerifier({ digest })).toThrow(expect.objectContaining({ code: 'ERR_DIGEST_SYNTAX' }))
})

test.each([-1, 1.5, Number.NaN])('refuses the size %d', (size) => {
  expect(() => new DigestVerifier({ size })).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
})

test('a digest that is no option is refused, and not left unchecked', () => {
  const wrong = sha256 as unknown as DigestVerifierOptions
  expect(() => new DigestVerifier(wrong)).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
})
