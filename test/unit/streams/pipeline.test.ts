import { Readable, Writable } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { TreeSink } from '../../../src/sinks/index.ts'
import { DumpfileReader, pipeline, type Sink } from '../../../src/streams/index.ts'
import { cut } from '../../support/chunks.ts'
import { paths } from '../../support/layer-entries.ts'

const dumpfile = Buffer.from('/ 0 40755 2 0 0 0 0.0 - - -\n/a 0 100644 1 0 0 0 0.0 - - -\n')

/** Counts what it takes; its result may come late, or fail. */
class Counter extends Writable implements Sink<unknown, number> {
  readonly result: Promise<number>
  #count = 0

  constructor(settle: (count: number) => number | Promise<number> = (count) => count) {
    super({ objectMode: true })
    this.result = new Promise((resolve) => {
      this.once('finish', () => resolve(settle(this.#count)))
    })
    this.result.catch(() => {})
  }

  override _write(_: unknown, __: BufferEncoding, callback: () => void): void {
    this.#count++
    callback()
  }
}

describe('pipeline', () => {
  test('resolves to the result of the sink', async () => {
    const fileSystem = await pipeline(Readable.from([dumpfile]), new DumpfileReader(), new TreeSink())
    expect(paths(fileSystem)).toEqual(['/a'])
  })

  test('begins with any iterable', async () => {
    async function* source() {
      yield* cut(dumpfile, [5])
    }
    expect(await pipeline(source(), new DumpfileReader(), new Counter())).toBe(2)
    expect(await pipeline([dumpfile], new DumpfileReader(), new Counter())).toBe(2)
    expect(await pipeline([1, 2, 3], new Counter())).toBe(3)
    expect(await pipeline([] as number[], new Counter())).toBe(0)
  })

  test('waits for a result that comes late', async () => {
    const late = new Counter((count) => new Promise((resolve) => setTimeout(() => resolve(count + 1), 5)))
    expect(await pipeline([1, 2], late)).toBe(3)
  })

  test('rejects where the result does', async () => {
    const failing = new Counter(() => Promise.reject(new Error('not made')))
    await expect(pipeline([1], failing)).rejects.toThrow('not made')
  })

  test('rejects with the error of the stage that failed, and destroys all', async () => {
    const source = Readable.from([Buffer.from('what is this\n'), dumpfile])
    const [reader, sink] = [new DumpfileReader(), new TreeSink()]
    await expect(pipeline(source, reader, sink)).rejects.toMatchObject({ code: 'ERR_DUMPFILE_SYNTAX' })
    expect([source, reader, sink].map(({ destroyed }) => destroyed)).toEqual([true, true, true])
    await expect(sink.result).rejects.toMatchObject({ code: 'ERR_DUMPFILE_SYNTAX' })
  })

  test('rejects with the error of the sink', async () => {
    const reading = pipeline([dumpfile, dumpfile], new DumpfileReader(), new TreeSink())
    await expect(reading).rejects.toMatchObject({ code: 'ERR_ENTRY_EXISTS' })
  })

  test('stops when it is told to', async () => {
    for (const before of [true, false]) {
      const controller = new AbortController()
      if (before) controller.abort()
      const source = new Readable({ read: () => {} })
      source.push(dumpfile)
      const sink = new TreeSink()
      const running = pipeline(source, new DumpfileReader(), sink, { signal: controller.signal })
      setTimeout(() => controller.abort(), 2)
      await expect(running).rejects.toMatchObject({ name: 'AbortError' })
      expect(source.destroyed).toBe(true)
      await expect(sink.result).rejects.toThrow()
    }
  })

  test('options without a signal change nothing', async () => {
    expect(await pipeline([1], new Counter(), {})).toBe(1)
  })
})
