import { expect, test } from 'vitest'
import { FrameQueue } from '../../../src/streams/frame-queue.ts'

const mib = 1024 * 1024

/** A scratch that keeps what it is given, for the test to look at. */
function scratch() {
  const written: Buffer[] = []
  let closed = 0
  return {
    written,
    closed: () => closed,
    open: () => ({ write: (bytes: Buffer) => written.push(bytes), read: () => written, close: () => closed++ }),
  }
}

test('a few frames stay in memory', () => {
  const place = scratch()
  const queue = new FrameQueue(place.open)
  for (let i = 0; i < 8; i++) queue.push(Buffer.alloc(mib, i))
  expect([...queue].map((frame) => frame[0])).toEqual([0, 1, 2, 3, 4, 5, 6, 7])
  expect([queue.size, place.written.length]).toEqual([8 * mib, 0])
})

test('many are in the scratch but for the last, and come back in order, more than once', () => {
  const place = scratch()
  const queue = new FrameQueue(place.open)
  for (let i = 0; i < 100; i++) {
    queue.push(Buffer.alloc(mib, i))
    expect(i + 1 - place.written.length).toBeLessThanOrEqual(8)
  }
  for (let again = 0; again < 2; again++) expect([...queue].map((frame) => frame[0])).toEqual([...Array(100).keys()])
  expect(queue.size).toBe(100 * mib)
  queue.close()
  queue.close()
  expect(place.closed()).toBe(1)
  expect([...queue]).toEqual([])
})

test('without a scratch all stay in memory', () => {
  const queue = new FrameQueue()
  for (let i = 0; i < 20; i++) queue.push(Buffer.alloc(mib, i))
  expect([...queue]).toHaveLength(20)
})
