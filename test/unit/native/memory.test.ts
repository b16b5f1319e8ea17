import { expect, test } from 'vitest'
import { returnUnusedMemory } from '../../../src/native/memory.ts'

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
