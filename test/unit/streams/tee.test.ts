import { PassThrough, Readable, Writable } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { SplitstreamSink, TreeSink } from '../../../src/sinks/index.ts'
import {
  ContentSplitter,
  DumpfileWriter,
  ObjectWriter,
  PaxParser,
  pipeline,
  type Sink,
  TarDecoder,
  tee,
} from '../../../src/streams/index.ts'
import { cut } from '../../support/chunks.ts'
import { MemoryStore } from '../../support/memory-store.ts'
import { entry, tar } from '../../support/tar.ts'

/** Takes numbers when it is told to, or at once. */
class Collector extends Writable implements Sink<number, number[]> {
  readonly taken: number[] = []
  readonly result: Promise<number[]>
  mostWaiting = 0
  readonly #slow: boolean
  readonly #failAt: number | undefined

  constructor(options: { slow?: boolean; failAt?: number } = {}) {
    super({ objectMode: true, highWaterMark: 4 })
    this.#slow = options.slow ?? false
    this.#failAt = options.failAt
    this.result = new Promise((resolve, reject) => {
      this.once('finish', () => resolve(this.taken))
      this.once('error', reject)
      this.once('close', () => reject(new Error('closed')))
    })
    this.result.catch(() => {})
  }

  override _write(value: number, _: BufferEncoding, callback: (error?: Error) => void): void {
    this.mostWaiting = Math.max(this.mostWaiting, this.writableLength)
    const error = value === this.#failAt ? new Error('the branch broke') : undefined
    if (error === undefined) this.taken.push(value)
    if (this.#slow) setImmediate(() => callback(error))
    else callback(error)
  }
}

const numbers = Array.from({ length: 1000 }, (_, i) => i)

describe('tee', () => {
  test('every branch takes everything, as fast as the slowest', async () => {
    const [fast, slow] = [new Collector(), new Collector({ slow: true })]
    expect(await pipeline(Readable.from(numbers), tee(fast, slow))).toEqual([numbers, numbers])
    expect(fast.mostWaiting).toBeLessThanOrEqual(4)
    expect(slow.mostWaiting).toBeLessThanOrEqual(5)
  })

  test('a branch that does not go on stops the source', async () => {
    let given = 0
    function* source() {
      for (; given < 100_000; given++) yield given
    }
    const never = new Writable({ objectMode: true, highWaterMark: 4, write: () => {} })
    const stopped = pipeline(Readable.from(source()), tee(new Collector(), never)).catch(
      (error: Error) => error.message,
    )
    for (let i = 0; i < 20; i++) await turn()
    expect(given).toBeLessThan(1000)
    never.destroy(new Error('enough'))
    expect(await stopped).toBe('enough')
  })

  test.each([0, 500, 999])('an error of one branch at %i is that of all', async (failAt) => {
    const branches = [new Collector(), new Collector({ failAt }), new Collector({ slow: true })]
    const running = tee(...branches)
    await expect(pipeline(Readable.from(numbers), running)).rejects.toThrow('the branch broke')
    expect(branches.every(({ destroyed }) => destroyed)).toBe(true)
    await expect(running.result).rejects.toThrow('the branch broke')
  })

  test('an error at the very end counts', async () => {
    const failing = new Writable({
      objectMode: true,
      write: (_, __, done) => done(),
      final: (done) => done(new Error('late')),
    })
    const other = new Collector()
    await expect(pipeline(Readable.from(numbers), tee(other, failing))).rejects.toThrow('late')
  })

  test('an error of the source destroys every branch', async () => {
    const branches = [new Collector(), new Collector({ slow: true })]
    const source = Readable.from(
      (function* () {
        yield* numbers.slice(0, 10)
        throw new Error('the source broke')
      })(),
    )
    await expect(pipeline(source, tee(...branches))).rejects.toThrow('the source broke')
    expect(branches.every(({ destroyed }) => destroyed)).toBe(true)
    for (const { result } of branches) await expect(result).rejects.toThrow()
  })

  test('a branch that was destroyed or ended before fails everything', async () => {
    const destroyed = new Collector()
    destroyed.destroy()
    await expect(pipeline(Readable.from(numbers), tee(new Collector(), destroyed))).rejects.toThrow()
    const ended = new Collector()
    ended.end()
    const early = { code: 'ERR_STREAM_ORDER' }
    await expect(pipeline(Readable.from(numbers), tee(new Collector(), ended))).rejects.toMatchObject(early)
  })

  test('a branch that is ended meanwhile fails everything', async () => {
    for (const slow of [false, true]) {
      const branch = new Collector({ slow })
      function* source() {
        yield* numbers.slice(0, 50)
        branch.end()
        yield* numbers
      }
      const running = pipeline(Readable.from(source()), tee(new Collector(), branch))
      await expect(running).rejects.toMatchObject({ code: 'ERR_STREAM_ORDER' })
    }
  })

  test('branches without a result give undefined, once everything was taken', async () => {
    const plain = new PassThrough({ objectMode: true, highWaterMark: 4 })
    const running = tee(plain, new Collector())
    let settled = false
    void running.result.then(() => {
      settled = true
    })
    const reading = (async () => {
      const found: number[] = []
      for await (const value of plain) found.push(value as number)
      return found
    })()
    expect(settled).toBe(false)
    expect(await pipeline(Readable.from(numbers), running)).toEqual([undefined, numbers])
    expect(await reading).toEqual(numbers)
  })

  test('the result fails where the tee is destroyed before the end', async () => {
    for (const error of [undefined, new Error('stopped')]) {
      const running = tee(new PassThrough({ objectMode: true }))
      running.destroy(error)
      running.on('error', () => {})
      await expect(running.result).rejects.toThrow(error?.message)
    }
  })

  test('no branches: everything is dropped', async () => {
    expect(await pipeline(Readable.from(numbers), tee())).toEqual([])
  })

  test('one pass makes a splitstream, a tree and a dumpfile', async () => {
    const bytes = tar(
      entry({ name: 'usr/', type: '5' }),
      entry({ name: 'usr/large' }, 'l'.repeat(1000)),
      entry({ name: 'usr/small' }, 's'),
    )
    const store = new MemoryStore({ delay: () => 1 })
    const split = new ContentSplitter()
    const dumpfile = new DumpfileWriter()
    const text = dumpfile.setEncoding('latin1').toArray()
    const sinks = tee(new SplitstreamSink(store), new TreeSink(), dumpfile)
    const [stream, fileSystem] = await pipeline(
      Readable.from(cut(bytes, [100])),
      new TarDecoder(),
      new PaxParser(),
      split,
      new ObjectWriter(store),
      sinks,
    )
    expect(stream.streamSize).toBe(bytes.length)
    expect(fileSystem.get('usr/large')).toMatchObject({ content: { type: 'external', size: 1000 } })
    expect((await text).join('').split('\n')).toHaveLength(4)
  })
})
