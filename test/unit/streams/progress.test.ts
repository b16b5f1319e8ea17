import { expect, test } from 'vitest'
import { Progress, type ProgressEvent, ProgressMachine } from '../../../src/streams/progress.ts'
import { TarDecoderMachine } from '../../../src/streams/tar-decoder.ts'
import { entry, entryMachine, pax, run, splitMachine, tar } from '../../support/tar.ts'

/** A clock that shows the given times, one after the other. */
function clock(...times: number[]): () => number {
  return () => times.shift()!
}

test('tells now and then, and once at the end', () => {
  const events: ProgressEvent[] = []
  const onProgress = (event: ProgressEvent) => events.push(event)
  const machine = new ProgressMachine<Buffer>({ onProgress, total: 40, now: clock(1000, 1050, 1100, 1150, 1230, 1240) })
  const inputs = [1, 2, 3, 4].map((n) => Buffer.alloc(n))
  expect(run(machine, inputs)).toEqual(inputs)
  expect(events).toEqual([
    { bytes: 3, total: 40, elapsed: 100 },
    { bytes: 10, total: 40, elapsed: 230 },
    { bytes: 10, total: 40, elapsed: 240 },
  ])
})

test('the interval can be another, and the total unknown', () => {
  const events: ProgressEvent[] = []
  const onProgress = (event: ProgressEvent) => events.push(event)
  run(new ProgressMachine<Buffer>({ onProgress, interval: 0, now: clock(0, 0, 0, 5) }), [
    Buffer.alloc(1),
    Buffer.alloc(1),
  ])
  expect(events).toEqual([
    { bytes: 1, elapsed: 0 },
    { bytes: 2, elapsed: 0 },
    { bytes: 2, elapsed: 5 },
  ])
})

test('counts the bytes that records carry', () => {
  const bytes = tar(pax({ path: 'p' }), entry({}, 'x'.repeat(1000)), entry({ name: 'd', type: '5' }))
  for (const machine of [new TarDecoderMachine(), entryMachine(), splitMachine()]) {
    const counts: number[] = []
    const counter = new ProgressMachine<unknown>({ onProgress: (event) => counts.push(event.bytes) })
    run(counter, run<Buffer, unknown>(machine, [bytes]))
    expect(counts.at(-1)).toBe(bytes.length)
  }
})

test('Progress passes bytes and records unchanged', async () => {
  const events: ProgressEvent[] = []
  const progress = new Progress<object>({ mode: 'records', onProgress: (event) => events.push(event) })
  progress.write({ kind: 'odd' })
  progress.end({ chunk: Buffer.alloc(7) })
  expect(await progress.toArray()).toEqual([{ kind: 'odd' }, { chunk: Buffer.alloc(7) }])
  expect(events.at(-1)).toEqual({ bytes: 7, elapsed: expect.any(Number) })
})
