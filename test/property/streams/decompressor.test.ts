import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ComposefsError } from '../../../src/errors.ts'
import { decodeZstd, ZstdDecoder } from '../../../src/streams/zstd-decoder.ts'
import { cut } from '../../support/chunks.ts'
import {
  decode,
  decompress,
  mixture,
  skippable,
  storedFrame,
  zstdBackends,
  zstdFixture,
} from '../../support/compressed.ts'
import { runs } from '../../support/runs.ts'

const sizes = fc.array(fc.integer({ min: 1, max: 3000 }), { minLength: 1, maxLength: 8 })
const content = fc
  .record({ seed: fc.integer(), size: fc.integer({ min: 0, max: 20_000 }) })
  .map(({ seed, size }) => mixture(seed, size))

test('gzip members one after the other are their contents one after the other, in any pieces', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(content, { minLength: 1, maxLength: 5 }),
      fc.integer({ min: 0, max: 9 }),
      sizes,
      async (contents, level, pieces) => {
        const { output, error } = await decompress(
          cut(Buffer.concat(contents.map((c) => gzipSync(c, { level }))), pieces),
        )
        expect(error).toBeUndefined()
        expect(output.equals(Buffer.concat(contents))).toBe(true)
      },
    ),
    { numRuns: runs(100) },
  )
})

const frameOptions = fc.record({
  checksum: fc.boolean(),
  contentSize: fc.boolean(),
  block: fc.integer({ min: 1, max: 5000 }),
  window: fc
    .tuple(fc.integer({ min: 13, max: 27 }), fc.integer({ min: 0, max: 7 }))
    .map(([e, m]) => [e, e === 27 ? 0 : m] as const),
})
const reference = zstdFixture('small-checksum')
const part = fc.oneof(
  {
    weight: 3,
    arbitrary: fc
      .tuple(content, frameOptions)
      .map(([plain, options]) => ({ bytes: storedFrame(plain, options), plain })),
  },
  fc
    .tuple(fc.uint8Array({ maxLength: 50 }), fc.integer({ min: 0, max: 15 }))
    .map(([body, kind]) => ({ bytes: skippable(Buffer.from(body), kind), plain: Buffer.alloc(0) })),
  fc.constant({ bytes: reference.frame, plain: reference.plain }),
)

describe.each(zstdBackends)('zstd with $name', (backend) => {
  test('frames one after the other are their contents one after the other, in any pieces', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(part, { maxLength: 6 }), sizes, async (parts, pieces) => {
        const bytes = Buffer.concat(parts.map((p) => p.bytes))
        const plain = Buffer.concat(parts.map((p) => p.plain))
        const { output, error } = await decode((out) => new ZstdDecoder(out, { backend }), cut(bytes, pieces))
        expect(error).toBeUndefined()
        expect(output.equals(plain)).toBe(true)
        expect(decodeZstd(bytes, { backend, maxOutput: plain.length }).equals(plain)).toBe(true)
      }),
      { numRuns: runs(150) },
    )
  })

  test.each(['level1', 'window10', 'window27', 'streamed', 'level19-checksum', 'small-checksum'])(
    'damage to %s gives an error of ours, or bytes: the same ones however it is cut',
    async (name) => {
      const { frame, plain } = zstdFixture(name)
      const damage = fc.array(
        fc.tuple(
          fc.oneof(fc.integer({ min: 4, max: 40 }), fc.integer({ min: 4, max: frame.length - 1 })),
          fc.integer({ min: 0, max: 255 }),
        ),
        { minLength: 1, maxLength: 3 },
      )
      await fc.assert(
        fc.asyncProperty(damage, sizes, async (changes, pieces) => {
          const changed = Buffer.from(frame)
          for (const [at, value] of changes) changed[at] = value
          const results = []
          for (const chunks of [[changed], cut(changed, pieces)]) {
            results.push(await decode((out) => new ZstdDecoder(out, { backend }), chunks))
          }
          const [whole, inPieces] = results
          if (whole!.error === undefined) {
            expect(inPieces!.error).toBeUndefined()
            expect(inPieces!.output.equals(whole!.output)).toBe(true)
            if (name.endsWith('checksum') && whole!.output.length > 0) expect(whole!.output.equals(plain)).toBe(true)
          } else {
            expect(whole!.error).toBeInstanceOf(ComposefsError)
            expect(inPieces!.error).toMatchObject({ code: (whole!.error as ComposefsError).code })
          }
        }),
        { numRuns: runs(100) },
      )
    },
  )
})

test.each(['none', 'gzip', 'zstd', 'any'] as const)(
  'random bytes taken for %s: an error of ours, or bytes',
  async (name) => {
    const magic = { none: '', any: '', gzip: '1f8b0800', zstd: '28b52ffd' }[name]
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), sizes, async (bytes, pieces) => {
        const input = Buffer.concat([Buffer.from(magic, 'hex'), bytes])
        const { output, error } = await decompress(cut(input, pieces), name === 'any' ? {} : { compression: name })
        if (error !== undefined) expect(error).toBeInstanceOf(ComposefsError)
        else if (name === 'none') expect(output.equals(input)).toBe(true)
      }),
      { numRuns: runs(300) },
    )
  },
)
