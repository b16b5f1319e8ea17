import { getHeapSpaceStatistics } from 'node:v8'
import { describe, expect, test } from 'vitest'
import { returnGrownMemory, returnUnusedMemory } from '../../../src/cli/memory.ts'

const megabyte = 1024 * 1024

/** Buffers that nobody uses once this has returned. */
function leaveBuffers(count: number): number {
  const buffers = Array.from({ length: count }, () => Buffer.allocUnsafeSlow(megabyte))
  return buffers.length
}

test('buffers that nobody uses are gone afterwards, and the engine is left as it was', () => {
  const exposed = globalThis.gc
  returnUnusedMemory()
  const before = process.memoryUsage().arrayBuffers
  leaveBuffers(48)
  returnUnusedMemory()
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(4 * megabyte)
  expect(globalThis.gc).toBe(exposed)
})

const youngSize = () => getHeapSpaceStatistics().find(({ space_name: name }) => name === 'new_space')!.space_size

/** Survivors make the young generation grow. */
function growYoung(): void {
  let survivors: object[] = []
  for (let i = 0; i < 5_000_000 && youngSizeEvery(i) < 33e6; i++) {
    survivors.push({ i })
    if (survivors.length > 200_000) survivors = []
  }
}

const youngSizeEvery = (i: number) => (i % 10_000 === 0 ? youngSize() : 0)

// V8 before 12 cannot be told to make it smaller.
const engine = Number(process.versions.v8.split('.')[0])
describe.runIf(engine >= 12)('a young generation that has grown', () => {
  test('is made small', (context) => {
    growYoung()
    // V8 decides by how fast objects come.
    if (youngSize() < 33e6) context.skip('it did not grow')
    returnGrownMemory()
    expect(youngSize()).toBeLessThan(10e6)
  })

  test('is left alone where the heap is large for other reasons', (context) => {
    const large = new Array<number>(30_000_000).fill(1.5)
    growYoung()
    if (youngSize() < 33e6) context.skip('it did not grow')
    returnGrownMemory()
    expect(youngSize()).toBeGreaterThan(33e6)
    expect(large).toHaveLength(30_000_000)
  })
})
