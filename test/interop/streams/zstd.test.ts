import { spawnSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { javaScriptZstd } from '../../../src/streams/zstd-backend.ts'
import { decodeZstd, ZstdDecoder } from '../../../src/streams/zstd-decoder.ts'
import { cut } from '../../support/chunks.ts'
import { decode, mixture } from '../../support/compressed.ts'
import { Random } from '../../support/random.ts'
import { requireTools } from '../../support/tools.ts'

const backend = javaScriptZstd()
const settings = [
  ...[
    '--fast=50',
    '--fast=1',
    '-1',
    '-3',
    '-6',
    '-9',
    '-12',
    '-15',
    '-19',
    '--ultra -22',
    '--long=27 -3',
    '-3 --long=24',
  ],
  ...[10, 12, 16, 20, 23].map((log) => `-4 --zstd=wlog=${log}`),
  ...['strategy=1', 'strategy=5,minMatch=3', 'strategy=9,minMatch=3,targetLength=999'].map((x) => `-5 --zstd=${x}`),
  '-3 --no-compress-literals',
  '-1 --compress-literals',
]

const zstd = (bytes: Buffer, options: string) =>
  spawnSync('zstd', ['-q', '-c', ...options.split(' ')], { input: bytes, maxBuffer: 2 ** 30 }).stdout

test.skipIf(requireTools('zstd').skip).each(settings)('JavaScript decodes what zstd %s makes', async (options) => {
  const random = new Random(settings.indexOf(options))
  for (let round = 0; round < 12; round++) {
    const plain = mixture(random.next(), random.below(2 ** random.between(0, 20)))
    const frame = zstd(plain, `${options} ${random.chance(0.5) ? '--check' : '--no-check'}`)
    expect(decodeZstd(frame, { backend, maxOutput: plain.length }).equals(plain)).toBe(true)
    const { output, error } = await decode(
      (out) => new ZstdDecoder(out, { backend }),
      cut(frame, [random.between(1, 70_000)]),
    )
    expect(error).toBeUndefined()
    expect(output.equals(plain)).toBe(true)
  }
})

test.skipIf(requireTools('zstd').skip)('JavaScript decodes a frame many times the size of its window', async () => {
  const plain = Buffer.concat(Array.from({ length: 40 }, (_, i) => mixture(i % 7, 500_000)))
  for (const options of ['-1 --zstd=wlog=12', '-5 --zstd=wlog=19', '-3 --zstd=wlog=22']) {
    const { output, error } = await decode(
      (out) => new ZstdDecoder(out, { backend }),
      cut(zstd(plain, `${options} --check`), [65_536]),
    )
    expect(error).toBeUndefined()
    expect(output.equals(plain)).toBe(true)
  }
})
