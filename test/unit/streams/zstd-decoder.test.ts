import { describe, expect, test } from 'vitest'
import type { ComposefsError } from '../../../src/errors.ts'
import { javaScriptZstd, zstdBackend } from '../../../src/streams/zstd-backend.ts'
import { decodeZstd, ZstdDecoder } from '../../../src/streams/zstd-decoder.ts'
import { chunkings, cut } from '../../support/chunks.ts'
import {
  checksumOf,
  decode,
  frameHeader,
  mixture,
  skippable,
  storedFrame,
  zstdBackends,
  zstdBlock,
  zstdFixture,
  zstdFixtures,
} from '../../support/compressed.ts'

test('prefers the zstd of Node, and has one without it', () => {
  expect(zstdBackend().name).toBe(zstdBackends[1]?.name ?? 'javascript')
})

describe.each(zstdBackends)('with $name', (backend) => {
  const run = (chunks: Iterable<Buffer>) => decode((output) => new ZstdDecoder(output, { backend }), chunks)
  const atOnce = (bytes: Buffer, maxOutput = 1_000_000) => decodeZstd(bytes, { backend, maxOutput })

  test.each(zstdFixtures)('decodes $name of the reference encoder', async ({ name }) => {
    const { frame, plain } = zstdFixture(name)
    expect(atOnce(frame).equals(plain)).toBe(true)
    for (const sizes of [[frame.length], [65_536], [1], [3, 1021, 64]]) {
      const { output, error } = await run(cut(frame, sizes))
      expect(error).toBeUndefined()
      expect(output.equals(plain)).toBe(true)
    }
  })

  test('decodes frames that no call could decode at once', async () => {
    const plain = Buffer.concat([mixture(1, 300_000), Buffer.alloc(5_000_000), mixture(2, 300_000)])
    const bytes = storedFrame(plain, { checksum: true, contentSize: true, block: 100_000 })
    const { output, error } = await run(cut(Buffer.concat([bytes, bytes]), [70_000]))
    expect(error).toBeUndefined()
    expect(output.equals(Buffer.concat([plain, plain]))).toBe(true)
  })

  test('decodes frame, skippable frame, frame in one write and cut at every byte', async () => {
    const { frame, plain } = zstdFixture('small-checksum')
    const bytes = Buffer.concat([skippable('a'), frame, skippable('bb', 7), frame, storedFrame(plain), skippable('')])
    const expected = Buffer.concat([plain, plain, plain])
    expect(atOnce(bytes).equals(expected)).toBe(true)
    for (let at = 0; at < bytes.length; at++) {
      const { output, error } = await run([bytes.subarray(0, at), bytes.subarray(at)])
      expect([at, error]).toEqual([at, undefined])
      expect(output.equals(expected)).toBe(true)
    }
  })

  test('refuses a frame that is cut at any byte', async () => {
    const { frame } = zstdFixture('small-checksum')
    const bytes = Buffer.concat([frame, frame])
    for (let size = 1; size < bytes.length; size++) {
      if (size === frame.length) continue
      const error = { code: 'ERR_COMPRESSION_TRUNCATED', offset: size }
      expect((await run([bytes.subarray(0, size)])).error).toMatchObject(error)
      expect(() => atOnce(bytes.subarray(0, size))).toThrowError(expect.objectContaining(error))
    }
  })

  test('refuses a large frame that is cut', async () => {
    const { frame } = zstdFixture('level3-checksum')
    const large = storedFrame(mixture(1, 300_000), { block: 50_000 })
    for (const size of [1, 3, 4, 5, 1000, 50_000, 60_000, 75_000]) {
      for (const bytes of [frame, large]) {
        const { error } = await run(cut(bytes.subarray(0, bytes.length - size), [30_000]))
        expect(error).toMatchObject({ code: 'ERR_COMPRESSION_TRUNCATED' })
      }
    }
  })

  test('never takes a changed byte for sound data where there is a checksum', async () => {
    const { frame, plain } = zstdFixture('small-checksum')
    for (let at = 0; at < frame.length; at++) {
      for (const bit of [1, 2, 0x10, 0x80]) {
        const changed = Buffer.from(frame)
        changed[at]! ^= bit
        const { output, error } = await run([changed])
        if (error === undefined) expect(output.equals(plain)).toBe(true)
        else expect((error as ComposefsError).code).toMatch(/^ERR_(COMPRESSION_(DATA|TRUNCATED|UNSUPPORTED)|LIMIT)$/)
      }
    }
  })

  test.each([
    ['small', 3000],
    ['large', 300_000],
  ])('refuses a %s second frame with a wrong checksum', async (_, size) => {
    const plain = mixture(1, size)
    const first = storedFrame(plain, { checksum: true, block: 50_000 })
    const second = Buffer.from(first)
    second[second.length - 1]! ^= 1
    for (const chunks of [
      [Buffer.concat([first, second])],
      [first, second],
      cut(Buffer.concat([first, second]), [999]),
    ]) {
      const { output, error } = await run(chunks)
      expect(error).toMatchObject({ code: 'ERR_COMPRESSION_DATA', offset: first.length })
      expect(output.subarray(0, size).equals(plain)).toBe(true)
    }
  })

  test.each([
    ['small', 3000],
    ['large', 300_000],
  ])('refuses a %s frame with a wrong content size', async (_, size) => {
    const plain = mixture(1, size)
    for (const contentSize of [size - 1, size + 1, 0, 2 ** 40, 2 ** 32 + size]) {
      const bytes = storedFrame(plain, { contentSize, block: 50_000 })
      expect((await run([bytes])).error).toMatchObject({ code: 'ERR_COMPRESSION_DATA', offset: 0 })
    }
    expect((await run([storedFrame(plain, { contentSize: size, block: 50_000 })])).error).toBeUndefined()
  })

  test('refuses a table of one symbol that uses no bits, at once', async () => {
    const bytes = Buffer.from('28b52ffd00008d0000a2400308f0030101010101800102038000', 'hex')
    expect((await run([bytes])).error).toMatchObject({ code: 'ERR_COMPRESSION_DATA' })
    expect(() => atOnce(bytes)).toThrowError(expect.objectContaining({ code: 'ERR_COMPRESSION_DATA' }))
  })

  test('refuses a copy from before the start of the frame', async () => {
    // One literal, then a copy of 5 bytes from 10 bytes before; all three codes are of one symbol.
    const from = (offsetBits: number) =>
      Buffer.concat([
        frameHeader({ window: [17, 0] }),
        zstdBlock(2, true, Buffer.from([0x08, 0x41, 1, 0x54, 1, 3, 2, (1 << 3) | offsetBits])),
      ])
    // Value 8 + bits, less 3.
    expect((await run([from(2)])).error).toMatchObject({ code: 'ERR_COMPRESSION_DATA' })
    const earlier = Buffer.concat([
      frameHeader({ window: [17, 0] }),
      zstdBlock(0, false, Buffer.from('012345')),
      zstdBlock(2, true, Buffer.from([0x08, 0x41, 1, 0x54, 1, 3, 2, (1 << 3) | 2])),
    ])
    const { output, error } = await run([earlier])
    expect([output.toString(), error]).toEqual(['012345A01234', undefined])
    // One bit too many.
    earlier[earlier.length - 1] = (1 << 4) | 2
    expect((await run([earlier])).error).toMatchObject({ code: 'ERR_COMPRESSION_DATA' })
  })

  test('stops at the limit', () => {
    const bytes = storedFrame(Buffer.alloc(100_000), { block: 100_000 })
    expect(atOnce(bytes, 100_000)).toHaveLength(100_000)
    const tooMuch = expect.objectContaining({ code: 'ERR_COMPRESSION_BOMB' })
    expect(() => atOnce(bytes, 99_999)).toThrowError(tooMuch)
    expect(() => atOnce(Buffer.concat([bytes, bytes]), 199_999)).toThrowError(tooMuch)
    expect(atOnce(Buffer.concat([bytes, bytes]), 200_000)).toHaveLength(200_000)
    const { frame, plain } = zstdFixture('level19-checksum')
    expect(() => atOnce(frame, plain.length - 1)).toThrowError(tooMuch)
    expect(atOnce(frame, plain.length).equals(plain)).toBe(true)
    expect(atOnce(storedFrame(Buffer.alloc(0)), 0)).toHaveLength(0)
    expect(() => atOnce(storedFrame(Buffer.from('x')), 0)).toThrowError(tooMuch)
  })

  test('decodes an empty frame, and nothing', async () => {
    for (const bytes of [Buffer.from('28b52ffd2000010000', 'hex'), storedFrame(Buffer.alloc(0), { checksum: true })]) {
      for (const chunks of chunkings(bytes))
        expect(await run(chunks)).toEqual({ output: Buffer.alloc(0), error: undefined })
    }
    expect(await run([])).toEqual({ output: Buffer.alloc(0), error: undefined })
    expect(atOnce(Buffer.alloc(0))).toHaveLength(0)
  })

  test('waits while the output has no room', async () => {
    const bytes = storedFrame(Buffer.alloc(5_000_000), { block: 100_000, contentSize: true })
    let waiting = 0
    let most = 0
    const decoder = new ZstdDecoder(
      async () => {
        most = Math.max(most, ++waiting)
        await new Promise(setImmediate)
        waiting--
      },
      { backend },
    )
    await decoder.write(bytes)
    await decoder.finish()
    expect(most).toBe(1)
  })

  test('fails with what the output throws', async () => {
    const stop = new Error('no more')
    const decoder = new ZstdDecoder(
      () => {
        throw stop
      },
      { backend },
    )
    const bytes = storedFrame(mixture(1, 5_000_000), { block: 100_000 })
    const run = async () => {
      await decoder.write(bytes)
      await decoder.finish()
    }
    await expect(run()).rejects.toBe(stop)
    decoder.destroy()
  })
})

test('JavaScript refuses a copy from beyond the window, as the format demands', async () => {
  const plain = mixture(1, 2048)
  // A literal, then a copy of 5 bytes from as far back as 10 bits say.
  const copyFrom = (offset: number) => {
    const bits = 0x400 | (offset + 3 - 1024)
    return Buffer.concat([
      frameHeader({ window: [10, 0] }),
      zstdBlock(0, false, plain.subarray(0, 1024)),
      zstdBlock(0, false, plain.subarray(1024)),
      zstdBlock(2, true, Buffer.from([0x08, 0x41, 1, 0x54, 1, 10, 2, bits & 0xff, bits >> 8])),
    ])
  }
  const options = { backend: javaScriptZstd(), maxOutput: 5000 }
  expect(decodeZstd(copyFrom(1024), options).subarray(2049).equals(plain.subarray(1025, 1030))).toBe(true)
  expect(() => decodeZstd(copyFrom(1025), options)).toThrowError(
    expect.objectContaining({ code: 'ERR_COMPRESSION_DATA' }),
  )
})

test('JavaScript refuses literals that leave bits over', () => {
  // Two symbols of one bit each, three literals, no sequences.
  const frame = (bits: number) =>
    Buffer.concat([frameHeader({}), zstdBlock(2, true, Buffer.from([0x32, 0xc0, 0, 128, 0x10, bits, 0]))])
  const options = { backend: javaScriptZstd(), maxOutput: 100 }
  expect(decodeZstd(frame(0b1101), options)).toEqual(Buffer.from([1, 0, 1]))
  for (const bits of [0b11101, 0b111]) {
    expect(() => decodeZstd(frame(bits), options)).toThrowError(
      expect.objectContaining({ code: 'ERR_COMPRESSION_DATA' }),
    )
  }
})

test('checksums of the helper are those of the reference', () => {
  const { frame, plain } = zstdFixture('level3-checksum')
  expect(checksumOf(plain).equals(frame.subarray(-4))).toBe(true)
})
