import { Readable, Writable } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { TreeSink } from '../../../src/sinks/index.ts'
import {
  ContentSplitter,
  DumpfileReader,
  ObjectWriter,
  PaxParser,
  pipeline,
  type Sink,
  tee,
} from '../../../src/streams/index.ts'
import { cut } from '../../support/chunks.ts'
import { paths } from '../../support/layer-entries.ts'
import { MemoryStore } from '../../support/memory-store.ts'

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

/** A sink as a user writes it: nothing looks at its result. */
class Unobserved extends Writable implements Sink<number, number> {
  readonly result: Promise<number>
  readonly #options: { failAt?: number; stuckAt?: number }
  #reject!: (error: Error) => void

  constructor(options: { failAt?: number; stuckAt?: number } = {}) {
    super({ objectMode: true })
    this.#options = options
    this.result = new Promise((resolve, reject) => {
      this.#reject = reject
      this.once('finish', () => resolve(0))
      this.once('close', () => reject(new Error('closed')))
    })
  }

  override _write(value: number, _: BufferEncoding, callback: (error?: Error) => void): void {
    if (value === this.#options.stuckAt) this.#reject(new Error('stuck'))
    else callback(value === this.#options.failAt ? new Error('the sink broke') : undefined)
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

  test('options that are none, or without a signal, change nothing', async () => {
    for (const options of [{}, { signal: undefined }, undefined]) {
      expect(await pipeline([1], new Counter(), options)).toBe(1)
    }
  })

  test('a pipeline without a sink is refused', async () => {
    for (const rest of [[], [undefined], [{}], [undefined, undefined], [null]]) {
      const running = (pipeline as (...args: unknown[]) => Promise<unknown>)([1], ...rest)
      await expect(running).rejects.toMatchObject({ code: 'ERR_ARGUMENT' })
    }
  })

  test('async generators may stand between, and any number of stages', async () => {
    async function* twice(numbers: AsyncIterable<number>) {
      for await (const number of numbers) yield* [number, number]
    }
    expect(await pipeline([1], twice, twice, twice, twice, twice, twice, twice, twice, new Counter())).toBe(256)
    async function* broken(numbers: AsyncIterable<number>) {
      for await (const number of numbers) {
        if (number === 2) throw new Error('no twos')
        yield number
      }
    }
    const sink = new Counter()
    await expect(pipeline([1, 2, 3], broken, sink)).rejects.toThrow('no twos')
    expect(sink.destroyed).toBe(true)
  })

  describe('a result that nobody looks at', () => {
    const unhandled: unknown[] = []
    const note = (error: unknown) => void unhandled.push(error)
    beforeEach(() => void process.on('unhandledRejection', note))
    afterEach(() => {
      process.off('unhandledRejection', note)
      expect(unhandled.splice(0)).toEqual([])
    })

    test('does not end the process where the source fails, in a pipeline and in a tee', async () => {
      for (const end of [
        (sink: Unobserved): Sink<number, unknown> => sink,
        (sink: Unobserved) => tee(sink, new Unobserved()),
      ]) {
        const sink = new Unobserved()
        const source = Readable.from(
          (function* () {
            yield 1
            throw new Error('the source broke')
          })(),
        )
        await expect(pipeline(source, end(sink))).rejects.toThrow('the source broke')
        await expect(pipeline([1], end(new Unobserved({ failAt: 1 })))).rejects.toThrow('the sink broke')
        await turn()
      }
    })

    test('ends the pipeline where it is rejected before the end, also where the sink never asks for more', async () => {
      for (const end of [
        (sink: Unobserved): Sink<number, unknown> => sink,
        (sink: Unobserved) => tee(new Unobserved(), sink),
      ]) {
        const sink = new Unobserved({ stuckAt: 2 })
        const running = pipeline([1, 2, 3], end(sink))
        await expect(running).rejects.toThrow('stuck')
        expect(sink.destroyed).toBe(true)
        await turn()
      }
    })
  })
})

describe('plain JavaScript', () => {
  test('bytes in the place of records are refused', async () => {
    for (const stage of [new PaxParser(), new ContentSplitter(), new ObjectWriter(new MemoryStore())]) {
      const work = pipeline(Readable.from([Buffer.alloc(512)]), stage as never, new Counter() as never)
      await expect(work).rejects.toMatchObject({ code: 'ERR_STREAM_ORDER' })
    }
  })

  test('a pipeline without a sink is refused', async () => {
    const work = pipeline(Readable.from([dumpfile]), new DumpfileReader() as never)
    await expect(work).rejects.toMatchObject({ code: 'ERR_ARGUMENT' })
  })
})
