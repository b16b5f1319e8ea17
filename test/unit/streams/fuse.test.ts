import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { describe, expect, test } from 'vitest'
import {
  ContentSplitter,
  DigestVerifier,
  fuse,
  type Machine,
  PaxParser,
  type SplitRecord,
  Stage,
  TarDecoder,
} from '../../../src/streams/index.ts'
import { chunkings, cut } from '../../support/chunks.ts'
import { bytesOfRecords, entry, pax, tar } from '../../support/tar.ts'

const bytes = tar(
  entry({ name: 'd/', type: '5' }),
  pax({ path: 'd/a long name', mtime: '5.5' }),
  entry({ name: 'short' }, 'x'.repeat(5000)),
  entry({ name: 'small' }, 'small'),
  entry({ name: 'link', type: '2', linkName: 'small' }),
)

async function records(chunks: readonly Buffer[], ...stages: NodeJS.ReadWriteStream[]): Promise<SplitRecord[]> {
  const found: SplitRecord[] = []
  await pipeline([
    Readable.from(chunks),
    ...stages,
    async (source: AsyncIterable<SplitRecord>) => {
      for await (const record of source) found.push(record)
    },
  ] as never)
  return found
}

/** Doubles each number; says how often it was finished. */
class Doubler implements Machine<number, number> {
  finished = 0
  push(input: number, emit: (output: number) => void): void {
    if (input === 13) throw new Error('unlucky')
    emit(input)
    emit(input)
  }
  finish(emit: (output: number) => void): void {
    this.finished++
    emit(0)
  }
}

const numbers = (machine: Machine<number, number>) =>
  new Stage<number, number>(machine, { input: 'records', output: 'records' })

describe('fused stages', () => {
  test('give what the same stages give in a pipeline', async () => {
    for (const chunks of chunkings(bytes)) {
      const piped = await records(chunks, new TarDecoder(), new PaxParser(), new ContentSplitter())
      const fused = await records(chunks, fuse(new TarDecoder(), new PaxParser(), new ContentSplitter()))
      expect(fused).toEqual(piped)
      expect(bytesOfRecords(fused)).toEqual(bytes)
    }
  })

  test('may be fused again', async () => {
    const all = fuse(fuse(new DigestVerifier(), new TarDecoder()), fuse(new PaxParser(), new ContentSplitter()))
    expect(bytesOfRecords(await records(cut(bytes, [700]), all))).toEqual(bytes)
    expect(all.inputMode).toBe('bytes')
    expect(all.outputMode).toBe('records')
  })

  test('what they learn can be asked of the stages themselves', async () => {
    const meter = new DigestVerifier()
    await records([bytes], fuse(meter, new TarDecoder(), new PaxParser(), new ContentSplitter()))
    expect(meter.size).toBe(bytes.length)
    expect(meter.digest).toMatch(/^sha256:/)
  })

  test('finish in their order, once, each seeing what the one before gave at its end', () => {
    const machines = [new Doubler(), new Doubler(), new Doubler()] as const
    const { machine } = fuse(numbers(machines[0]), numbers(machines[1]), numbers(machines[2]))
    const found: number[] = []
    machine.push(1, (output) => found.push(output))
    // Another function than before: records go where they are wanted now.
    const later: number[] = []
    machine.push(2, (output) => later.push(output))
    machine.finish((output) => later.push(output))
    expect(found).toEqual(new Array(8).fill(1))
    expect(later).toEqual([...new Array(8).fill(2), ...new Array(4 + 2 + 1).fill(0)])
    expect(machines.map(({ finished }) => finished)).toEqual([1, 1, 1])
  })

  test('fail as each alone would', async () => {
    await expect(
      records(cut(bytes.subarray(0, 3000), [100]), fuse(new TarDecoder(), new PaxParser())),
    ).rejects.toMatchObject({
      code: 'ERR_TAR_TRUNCATED',
    })
    const { machine } = fuse(numbers(new Doubler()), numbers(new Doubler()))
    expect(() => machine.push(13, () => {})).toThrow('unlucky')
  })
})
