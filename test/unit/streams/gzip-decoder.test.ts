import { randomBytes } from 'node:crypto'
import { crc32, gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import type { ComposefsError } from '../../../src/errors.ts'
import { GzipDecoder, type GzipOptions } from '../../../src/streams/gzip-decoder.ts'
import { chunkings, cut } from '../../support/chunks.ts'
import { decode, mixture } from '../../support/compressed.ts'
import { atRest, until } from '../../support/turns.ts'

const run = (chunks: Iterable<Buffer>, options?: GzipOptions) =>
  decode((output) => new GzipDecoder(output, options), chunks)

/** A member with all that a header can have. */
function rich(text: string): Buffer {
  const member = gzipSync(text)
  const extra = Buffer.from([6, 0, 0x42, 0x43, 2, 0, 9, 9])
  const fixed = Buffer.from(member.subarray(0, 10))
  fixed[3] = 2 | 4 | 8 | 16
  const header = Buffer.concat([fixed, extra, Buffer.from('layer.tar\0a comment\0')])
  const sum = Buffer.alloc(2)
  sum.writeUInt16LE(crc32(header) & 0xffff)
  return Buffer.concat([header, sum, member.subarray(10)])
}

const plain = mixture(1, 20_000)
const several = [gzipSync(plain), rich('second'), gzipSync(''), gzipSync('the last one')]
const joined = Buffer.concat([plain, Buffer.from('secondthe last one')])

test('decodes all members, however the input is cut', async () => {
  for (const chunks of chunkings(Buffer.concat(several))) {
    const { output, error } = await run(chunks)
    expect(error).toBeUndefined()
    expect(output.equals(joined)).toBe(true)
  }
})

test('finds a member whose header is split at any place', async () => {
  const small = Buffer.concat([gzipSync('one '), rich('two '), gzipSync('three')])
  for (let at = 1; at < small.length; at++) {
    const { output, error } = await run([small.subarray(0, at), small.subarray(at)])
    expect([at, output.toString(), error]).toEqual([at, 'one two three', undefined])
  }
})

test('decodes one member after the other when each is a chunk of its own', async () => {
  const { output, error } = await run(several)
  expect(error).toBeUndefined()
  expect(output.equals(joined)).toBe(true)
})

test('decodes many small members', async () => {
  const { output, error } = await run(cut(Buffer.concat(new Array(5000).fill(gzipSync('file\n'))), [65_536]))
  expect(error).toBeUndefined()
  expect(output.equals(Buffer.from('file\n'.repeat(5000)))).toBe(true)
})

test('refuses input that is cut at any byte, but for the end of a member', async () => {
  const [first, second] = [gzipSync('hello hello hello'), rich('second')]
  const bytes = Buffer.concat([first, second])
  for (let size = 0; size < bytes.length; size++) {
    const { output, error } = await run([bytes.subarray(0, size)])
    if (size === first.length) {
      expect([output.toString(), error]).toEqual(['hello hello hello', undefined])
      continue
    }
    expect(error).toMatchObject({ code: 'ERR_COMPRESSION_TRUNCATED', offset: size })
  }
})

test('never takes a changed byte for sound data', async () => {
  const bytes = gzipSync('hello hello hello, here is some text')
  for (let at = 0; at < bytes.length; at++) {
    for (const bit of [1, 0x80]) {
      const changed = Buffer.from(bytes)
      changed[at]! ^= bit
      const { output, error } = await run([changed])
      if (error === undefined) expect(output.toString()).toBe('hello hello hello, here is some text')
      else expect((error as ComposefsError).code).toMatch(/^ERR_COMPRESSION_(DATA|TRUNCATED)$/)
    }
  }
})

test.each([
  ['its checksum', -8],
  ['its size', -4],
  ['its header', 2],
])('refuses a second member with damage in %s', async (_, place) => {
  const second = gzipSync('second')
  second[place < 0 ? second.length + place : place]! ^= 1
  for (const chunks of [[Buffer.concat([gzipSync('first'), second])], [gzipSync('first'), second]]) {
    const { error } = await run(chunks)
    expect(error).toMatchObject({ code: 'ERR_COMPRESSION_DATA', stage: 'GzipDecoder' })
  }
})

describe('what follows the last member', () => {
  const member = gzipSync('member')
  const followedBy = (bytes: Buffer, sizes: number[], options?: GzipOptions) =>
    run(cut(Buffer.concat([member, bytes]), sizes), options)

  test.each([[[10_000]], [[member.length]], [[1]]])('refuses zeros by default, cut into %j', async (sizes) => {
    const { error } = await followedBy(Buffer.alloc(600), sizes)
    expect(error).toMatchObject({ code: 'ERR_COMPRESSION_DATA', offset: member.length })
    expect(String(error)).toContain('allowPadding')
  })

  test.each([[[10_000]], [[member.length]], [[1]], [[7]]])('passes zeros if told to, cut into %j', async (sizes) => {
    const { output, error } = await followedBy(Buffer.alloc(600), sizes, { allowPadding: true })
    expect([output.toString(), error]).toEqual(['member', undefined])
  })

  test.each([[[10_000]], [[member.length]], [[1]]])(
    'names the first byte that is no padding, cut into %j',
    async (sizes) => {
      const { error } = await followedBy(Buffer.concat([Buffer.alloc(600), member]), sizes, { allowPadding: true })
      expect(error).toMatchObject({ code: 'ERR_COMPRESSION_DATA', offset: member.length + 600 })
    },
  )

  test.each(['garbage', 'x', '\x1f', '\x1fx', '\x1f\x8bxx'])('refuses %j', async (text) => {
    const bytes = Buffer.from(text, 'latin1')
    for (const options of [{}, { allowPadding: true }]) {
      const { error } = await followedBy(bytes, [10_000], options)
      const cutHeader = text.length === 1
      expect(error).toMatchObject({ code: cutHeader ? 'ERR_COMPRESSION_TRUNCATED' : 'ERR_COMPRESSION_DATA' })
    }
  })

  test('names where it begins, in one chunk and behind large data', async () => {
    const after = (await followedBy(Buffer.from('garbage'), [10_000])).error
    expect(after).toMatchObject({ offset: member.length, message: expect.stringContaining('follows') })
    const large = gzipSync(mixture(2, 1_000_000))
    const { error } = await run([large, Buffer.from('garbage')])
    expect(error).toMatchObject({ offset: large.length })
  })
})

test('names where short data is damaged', async () => {
  const bytes = gzipSync(mixture(3, 5000))
  bytes.fill(0xff, 1000, 1100)
  const { offset } = (await run([bytes])).error as ComposefsError
  expect(offset).toBeGreaterThan(900)
  expect(offset).toBeLessThan(1200)
})

test('does not go on while the output has no room', async () => {
  let given = 0
  let makeRoom = () => {}
  const decoder = new GzipDecoder((chunk) => {
    given += chunk.length
    return new Promise((resolve) => {
      makeRoom = resolve
    })
  })
  // Less input would be gathered for later.
  const noise = Buffer.concat([randomBytes(300_000), Buffer.alloc(20_000_000)])
  const write = decoder.write(gzipSync(noise))
  let written = false
  void write.then(() => {
    written = true
  })
  await until(() => given > 0)
  await atRest(() => `${given}`)
  expect(written).toBe(false)
  expect(given).toBeLessThan(2_000_000)
  const timer = setInterval(() => makeRoom(), 0)
  await write
  await decoder.finish()
  clearInterval(timer)
  expect(given).toBe(noise.length)
})

test('small pieces are gathered, and nothing of them is lost at the end', async () => {
  const given: Buffer[] = []
  const decoder = new GzipDecoder((chunk) => {
    given.push(chunk)
    return undefined
  })
  const bytes = randomBytes(700_000)
  for (const piece of cut(gzipSync(bytes), [50_000])) {
    await decoder.write(piece)
    piece.fill(0)
  }
  await decoder.finish()
  expect(Buffer.concat(given).equals(bytes)).toBe(true)
})
