import { expect, test } from 'vitest'
import { fsverityDigest } from '../../../src/fsverity/index.ts'
import { DigestStore } from '../../../src/repository/index.ts'

test.each(['sha256', 'sha512'] as const)(
  '%s: ids of whole contents, and of those that come in pieces',
  async (algorithm) => {
    const store = new DigestStore(algorithm)
    const bytes = Buffer.alloc(10_000, 'contents ')
    const id = fsverityDigest(algorithm, bytes)
    expect(store.put(bytes)).toEqual(id)
    expect(store.put(Buffer.alloc(0), id)).toBe(id)
    const sink = store.create(bytes.length)
    for (let at = 0; at < bytes.length; at += 3000) await sink.write(bytes.subarray(at, at + 3000))
    expect(await sink.finish()).toEqual(id)
  },
)

test('the size has to be the one that was announced', async () => {
  const sink = new DigestStore('sha256').create(10)
  await sink.write(Buffer.alloc(9))
  await expect(sink.finish()).rejects.toMatchObject({ code: 'ERR_SIZE_MISMATCH', expected: 10, actual: 9 })
  await expect(new DigestStore('sha256').create(1).abort()).resolves.toBeUndefined()
})
