import { describe, expect, test } from 'vitest'
import { FsVerityHasher, fsverityDigest, ObjectId } from '../../../src/fsverity/index.ts'

/** What the fsverity tool and the reference implementations give. */
const known = [
  ['sha256', Buffer.from('hello world'), '1e2eaa4202d750a41174ee454970b92c1bc2f925b1e35076d8c7d5f56362ba64'],
  [
    'sha512',
    Buffer.from('hello world'),
    '18430270729d162d4e469daca123ae61893db4b0583d8f7081e3bf4f92b88ba514e7982f10733fb6aa895195c5ae8fd2eb2c47a8be05513ce5a0c51a6f570409',
  ],
  ['sha256', Buffer.alloc(0), '3d248ca542a24fc62d1c43b916eae5016878e2533c88238480b26128a1f1af95'],
  ['sha256', Buffer.alloc(65), '2d98e93d22d214e78052ae99e8a15efdb456e1a14295d3cb161b559eb35311a7'],
  ['sha256', Buffer.alloc(4095), '5372beb83c78537c8970c8361e3254119fafdf1763854ecd57d3f0fe2da7c719'],
  ['sha256', Buffer.alloc(4096), 'babc284ee4ffe7f449377fbf6692715b43aec7bc39c094a95878904d34bac97e'],
  ['sha256', Buffer.alloc(4097), '093756e4ea9683329106d4a16982682ed182c14bf076463a9e7f97305cbac743'],
] as const

describe.each(['node', 'noble'] as const)('fs-verity digests with %s', (implementation) => {
  test.each(known)('%s of %# (known value)', (algorithm, bytes, hex) => {
    expect(fsverityDigest(algorithm, bytes, implementation).hex).toBe(hex)
  })
})

test('short contents after long ones see nothing of them', () => {
  const expected = new FsVerityHasher('sha256')
  expected.update(Buffer.from('x'))
  fsverityDigest('sha256', Buffer.alloc(300 * 4096 + 17, 0xff))
  expect(fsverityDigest('sha256', Buffer.from('x'))).toEqual(expected.digest())
})

test('a hasher starts over after reset, and refuses to go on after its digest', () => {
  const hasher = new FsVerityHasher('sha512')
  hasher.update(Buffer.alloc(70 * 4096 + 1, 7))
  const first = hasher.digest()
  expect(first).toBeInstanceOf(ObjectId)
  expect(hasher.size).toBe(70 * 4096 + 1)
  expect(() => hasher.update(Buffer.from('x'))).toThrow(expect.objectContaining({ code: 'ERR_STREAM_ORDER' }))
  expect(() => hasher.digest()).toThrow(expect.objectContaining({ code: 'ERR_STREAM_ORDER' }))
  hasher.reset()
  expect(hasher.size).toBe(0)
  hasher.update(Buffer.from('hello world'))
  expect(hasher.digest().hex).toBe(known[1][2])
  hasher.reset()
  hasher.update(Buffer.alloc(70 * 4096 + 1, 7))
  expect(hasher.digest()).toEqual(first)
})

test('nothing of a chunk is kept', () => {
  const hasher = new FsVerityHasher('sha256')
  for (let i = 0; i < 5000; i++) {
    const chunk = Buffer.alloc(3, i & 0xff)
    hasher.update(chunk)
    chunk.fill(0xaa)
  }
  const whole = Buffer.concat(Array.from({ length: 5000 }, (_, i) => Buffer.alloc(3, i & 0xff)))
  expect(hasher.digest()).toEqual(fsverityDigest('sha256', whole))
})
