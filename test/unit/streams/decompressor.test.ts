import { once } from 'node:events'
import { Readable, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { Decompressor, type DecompressorOptions } from '../../../src/streams/decompressor.ts'
import { OutputBudget } from '../../../src/streams/output-budget.ts'
import { encodeZstd } from '../../../src/streams/zstd-encoder.ts'
import { chunkings, cut } from '../../support/chunks.ts'
import { decompress, mixture, skippable, storedFrame, zstdFixture } from '../../support/compressed.ts'
import { atRest, until } from '../../support/turns.ts'

const { frame, plain } = zstdFixture('level19-checksum')
const gzip = gzipSync(plain)
const inputs = [
  { name: 'none', bytes: plain, expected: plain },
  { name: 'gzip', bytes: gzip, expected: plain },
  { name: 'gzip', bytes: Buffer.concat([gzip, gzipSync(plain)]), expected: Buffer.concat([plain, plain]) },
  { name: 'zstd', bytes: frame, expected: plain },
  {
    name: 'zstd',
    bytes: Buffer.concat([skippable('x', 9), frame, skippable('y'), frame]),
    expected: Buffer.concat([plain, plain]),
  },
] as const

test.each(inputs)('gives the same bytes for $name input however it is cut', async ({ name, bytes, expected }) => {
  for (const sizes of [[bytes.length], [65_536], [4096], [3, 1021, 64]]) {
    const { compression, output, error } = await decompress(cut(bytes, sizes))
    expect([compression, error]).toEqual([name, undefined])
    expect(output.equals(expected)).toBe(true)
  }
})

test('works byte by byte', async () => {
  const text = Buffer.from('a text that is short, so short')
  for (const [name, bytes] of [
    ['none', text],
    ['gzip', gzipSync(text)],
    ['zstd', storedFrame(text, { checksum: true })],
  ] as const) {
    for (const chunks of chunkings(bytes)) {
      expect(await decompress(chunks)).toEqual({ compression: name, output: text, error: undefined })
    }
  }
})

test.each(['', '1f', '28b52f', '502a4d', 'fd377a585a', '425a', '425a68393141592653', '61'])(
  'passes short input untouched: %s',
  async (hex) => {
    const bytes = Buffer.from(hex, 'hex')
    for (const chunks of chunkings(bytes)) {
      expect(await decompress(chunks)).toEqual({ compression: 'none', output: bytes, error: undefined })
    }
  },
)

test('passes plain chunks on without a copy', async () => {
  const chunk = Buffer.from('plain bytes')
  const decompressor = new Decompressor()
  decompressor.end(chunk)
  const [out] = await once(decompressor, 'data')
  expect(out.buffer).toBe(chunk.buffer)
})

test('takes the compression it is told instead of looking', async () => {
  expect(await decompress([gzip], { compression: 'none' })).toEqual({
    compression: 'none',
    output: gzip,
    error: undefined,
  })
  expect((await decompress([gzip], { compression: 'gzip' })).output.equals(plain)).toBe(true)
  for (const [input, compression, code] of [
    [gzip, 'zstd', 'ERR_COMPRESSION_DATA'],
    [frame, 'gzip', 'ERR_COMPRESSION_DATA'],
    [plain, 'gzip', 'ERR_COMPRESSION_DATA'],
    [Buffer.alloc(0), 'gzip', 'ERR_COMPRESSION_TRUNCATED'],
    [Buffer.from([0x28]), 'zstd', 'ERR_COMPRESSION_TRUNCATED'],
  ] as const) {
    for (const chunks of [[input], cut(input.subarray(0, 100), [1])]) {
      expect((await decompress(chunks, { compression })).error).toMatchObject({ code })
    }
  }
})

test('passes options to the decoders', async () => {
  const padded = Buffer.concat([gzip, Buffer.alloc(512)])
  const refused = await decompress([padded], { allowPadding: false })
  expect(refused.error).toMatchObject({ code: 'ERR_COMPRESSION_DATA', offset: gzip.length })
  expect((await decompress([frame], { maxWindow: 1024 })).error).toMatchObject({ code: 'ERR_LIMIT' })
})

describe('zeros behind the data, as bsdtar and GNU tar leave them', () => {
  const zeros = Buffer.alloc(10_240)

  test.each([
    ['gzip', gzip],
    ['zstd', frame],
    ['zstd, small', encodeZstd(Buffer.from('small'))],
  ])('%s: are passed over, but nothing else is', async (_, data) => {
    const { output: whole } = await decompress([data])
    for (const padding of [zeros.subarray(0, 1), zeros.subarray(0, 3), zeros]) {
      const padded = Buffer.concat([data, padding])
      for (const chunks of [[padded], cut(padded, [1000]), [data, padding]]) {
        const { output, error } = await decompress(chunks)
        expect(error).toBeUndefined()
        expect(output.equals(whole)).toBe(true)
      }
      const more = Buffer.concat([padded, Buffer.from('x')])
      for (const chunks of [[more], cut(more, [1000])]) {
        expect((await decompress(chunks)).error).toMatchObject({ code: 'ERR_COMPRESSION_DATA' })
      }
    }
  })
})

test.each(['maxOutput', 'maxRatio', 'freeOutput', 'maxWindow'] as const)('refuses a %s that is no limit', (name) => {
  for (const value of [-1, Number.NaN]) {
    expect(() => new Decompressor({ [name]: value })).toThrowError(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
  }
})

describe('bombs', () => {
  const mebibyte = 2 ** 20
  /** 1 GiB of zeros each. */
  const bombs = {
    gzip: Buffer.concat(new Array(64).fill(gzipSync(Buffer.alloc(16 * mebibyte)))),
    'zstd, one frame': storedFrame(Buffer.alloc(128 * 1024), { block: 128 * 1024 }),
    'zstd, small frames': Buffer.concat(
      new Array(1024).fill(storedFrame(Buffer.alloc(mebibyte), { block: 128 * 1024 })),
    ),
  }
  const block = bombs['zstd, one frame'].subarray(-4)
  const begun = Buffer.from(block)
  begun[0]! &= 0xfe
  bombs['zstd, one frame'] = Buffer.concat([
    bombs['zstd, one frame'].subarray(0, -4),
    ...new Array(8191).fill(begun),
    block,
  ])

  const stopped = async (input: Buffer, options: DecompressorOptions, most: number) => {
    const { output, error } = await decompress(cut(input, [65_536]), options)
    expect(error).toMatchObject({ code: 'ERR_COMPRESSION_BOMB', stage: 'Decompressor' })
    expect(output.length).toBeLessThanOrEqual(most)
  }

  test.each(Object.entries(bombs))('%s: stops at maxOutput', async (_, bomb) => {
    await stopped(bomb, { maxOutput: 10 * mebibyte }, 10 * mebibyte)
  })

  test.each(Object.entries(bombs))('%s: stops at maxRatio', async (_, bomb) => {
    await stopped(bomb, { maxRatio: 50, freeOutput: 20 * mebibyte }, 50 * mebibyte)
  })

  test('by default 300 to one is too much, unless it is less than 4 GiB', async () => {
    const zeros = gzipSync(Buffer.alloc(16 * mebibyte), { level: 9 })
    expect((16 * mebibyte) / zeros.length).toBeGreaterThan(1000)
    await stopped(zeros, { freeOutput: mebibyte }, 8 * mebibyte)
    await stopped(bombs['zstd, one frame'], { freeOutput: mebibyte }, 100 * mebibyte)
    expect((await decompress([zeros], { freeOutput: mebibyte, maxRatio: 1100 })).error).toBeUndefined()
    const budget = new OutputBudget()
    budget.add(1000, 4 * 2 ** 30)
    expect(() => budget.add(0, 1)).toThrow(expect.objectContaining({ code: 'ERR_COMPRESSION_BOMB' }))
    budget.add(2 ** 30, 0)
    budget.add(0, 2 ** 30)
    let size = 0
    const count = new Writable({
      write(chunk, _, callback) {
        size += chunk.length
        callback()
      },
    })
    await pipeline(Readable.from([bombs['zstd, one frame']]), new Decompressor(), count)
    expect(size).toBe(1024 * mebibyte)
  })

  test('several streams may have a budget together', async () => {
    const budget = new OutputBudget({ maxOutput: 2 * plain.length + 1 })
    for (const input of [gzip, plain]) expect((await decompress([input], { budget })).error).toBeUndefined()
    expect((await decompress([gzip], { budget })).error).toMatchObject({ code: 'ERR_COMPRESSION_BOMB' })
  })

  test('maxOutput holds for plain input too, and allows as much as it says', async () => {
    await stopped(plain, { maxOutput: 100 }, 100)
    expect((await decompress([plain], { maxOutput: plain.length })).error).toBeUndefined()
    expect((await decompress([gzip], { maxOutput: plain.length })).error).toBeUndefined()
    await stopped(gzip, { maxOutput: plain.length - 1 }, plain.length - 1)
  })
})

describe('as a stream', () => {
  const big = mixture(9, 1_000_000)
  const large = [
    ['none', Buffer.concat(new Array(20).fill(big))],
    ['gzip', Buffer.concat(new Array(20).fill(gzipSync(big)))],
    ['zstd', storedFrame(Buffer.concat(new Array(20).fill(big)), { block: 100_000 })],
  ] as const

  test.each(large)('%s: holds back while nobody reads', async (_, bytes) => {
    const decompressor = new Decompressor()
    let taken = 0
    const source = new Readable({
      read() {
        this.push(taken < bytes.length ? bytes.subarray(taken, taken + 65_536) : null)
        taken += 65_536
      },
    })
    source.pipe(decompressor)
    await until(() => decompressor.readableLength > 0)
    await atRest(() => `${taken} ${decompressor.readableLength}`)
    expect(taken).toBeLessThan(2_000_000)
    expect(decompressor.readableLength).toBeLessThan(2_000_000)
    let size = 0
    for await (const chunk of decompressor) size += chunk.length
    expect(size).toBe(20 * big.length)
  })

  test.each([
    ['gzip', gzipSync(Buffer.alloc(20_000_000))],
    ['zstd', storedFrame(Buffer.alloc(20_000_000), { block: 100_000 })],
  ])('%s: holds back what a few bytes expand to', async (_, bytes) => {
    const decompressor = new Decompressor()
    decompressor.end(bytes)
    await until(() => decompressor.readableLength > 0)
    await atRest(() => `${decompressor.readableLength}`)
    expect(decompressor.readableLength).toBeLessThan(2_000_000)
    let size = 0
    for await (const chunk of decompressor) size += chunk.length
    expect(size).toBe(20_000_000)
  })

  test.each(large)('%s: a slow reader gets everything', async (_, bytes) => {
    const decompressor = new Decompressor()
    decompressor.end(bytes)
    let size = 0
    for await (const chunk of decompressor) {
      size += chunk.length
      if (size % 3 === 0) await new Promise(setImmediate)
    }
    expect(size).toBe(20 * big.length)
  })

  test.each(large)('%s: settles when it is destroyed in the middle', async (_, bytes) => {
    const decompressor = new Decompressor()
    const stop = new Error('enough')
    let size = 0
    const sink = new Writable({
      write(chunk, _, callback) {
        size += chunk.length
        callback(size > 1_000_000 ? stop : null)
      },
    })
    await expect(pipeline(Readable.from(cut(bytes, [65_536])), decompressor, sink)).rejects.toBe(stop)
    expect(decompressor.destroyed).toBe(true)
    const unread = new Decompressor()
    unread.write(bytes)
    unread.destroy()
    await once(unread, 'close')
    const { readableLength } = unread
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(unread.readableLength).toBe(readableLength)
  })

  test.each(large)('%s: passes on the error of its source', async (_, bytes) => {
    const broken = new Error('connection lost')
    async function* source() {
      yield bytes.subarray(0, 200_000)
      await new Promise(setImmediate)
      throw broken
    }
    const decompressor = new Decompressor()
    await expect(pipeline(source, decompressor, new Writable({ write: (_c, _e, done) => done() }))).rejects.toBe(broken)
    expect(decompressor.destroyed).toBe(true)
  })

  test.each(large)('%s: stops by an AbortSignal', async (_, bytes) => {
    const controller = new AbortController()
    const sink = new Writable({
      write(_chunk, _encoding, callback) {
        controller.abort()
        callback()
      },
    })
    const { signal } = controller
    await expect(
      pipeline(Readable.from(cut(bytes, [65_536])), new Decompressor(), sink, { signal }),
    ).rejects.toMatchObject({
      name: 'AbortError',
    })
  })

  test.each(large.slice(1))('%s: has used up a chunk when it says so', async (_, bytes) => {
    const decompressor = new Decompressor()
    const read = (async () => {
      const output: Buffer[] = []
      for await (const chunk of decompressor) output.push(Buffer.from(chunk))
      return Buffer.concat(output)
    })()
    const memory = Buffer.alloc(50_000)
    for (let at = 0; at < bytes.length; at += memory.length) {
      const size = bytes.copy(memory, 0, at, at + memory.length)
      await new Promise<void>((resolve, reject) =>
        decompressor.write(memory.subarray(0, size), (error) => (error ? reject(error) : resolve())),
      )
      memory.fill(0xee)
    }
    decompressor.end()
    expect((await read).equals(Buffer.concat(new Array(20).fill(big)))).toBe(true)
  })
})

test.each(['gzip', 'zstd'] as const)('%s: fails for damage in a later part', async (name) => {
  const part = name === 'gzip' ? gzipSync(plain) : frame
  const damaged = Buffer.from(part)
  damaged[damaged.length - 1]! ^= 0x40
  for (const chunks of [[part, damaged], [Buffer.concat([part, damaged])], [part, part, damaged, part]]) {
    expect((await decompress(chunks)).error).toMatchObject({ code: 'ERR_COMPRESSION_DATA' })
  }
})
