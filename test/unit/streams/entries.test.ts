import { PassThrough, pipeline, Readable, Writable } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { type EntryWithBody, entries } from '../../../src/streams/entries.ts'
import { PaxParser } from '../../../src/streams/pax-parser.ts'
import type { EntryRecord } from '../../../src/streams/records.ts'
import { TarDecoder } from '../../../src/streams/tar-decoder.ts'
import { cut } from '../../support/chunks.ts'
import { entry, entryMachine, run, tar } from '../../support/tar.ts'

const bytes = tar(
  entry({ name: 'a' }, 'aaa'),
  entry({ name: 'd', type: '5' }),
  Buffer.alloc(512),
  entry({ name: 'b' }, Buffer.alloc(10_000, 'b')),
  entry({ name: 'c' }, 'c'),
)
const records = (chunkSize = 1000) => run(entryMachine(), cut(bytes, [chunkSize]))

test('pairs each entry with its body', async () => {
  const seen: string[] = []
  for await (const { entry, body } of entries(Readable.from(records()))) {
    seen.push(`${entry.path} ${(await body.concat()).length}`)
  }
  expect(seen).toEqual(['a 3', 'd 0', 'b 10000', 'c 1'])
})

describe('a body can be read by', () => {
  const ways: [string, (body: EntryWithBody['body']) => Promise<number>][] = [
    [
      'for await',
      async (body) => {
        let size = 0
        for await (const chunk of body) size += chunk.length
        return size
      },
    ],
    [
      'pipe',
      (body) =>
        new Promise((resolve, reject) => {
          let size = 0
          const sink = new Writable({
            highWaterMark: 10,
            write(chunk, _, callback) {
              size += chunk.length
              setImmediate(callback)
            },
          })
          sink.on('finish', () => resolve(size)).on('error', reject)
          body.pipe(sink)
        }),
    ],
    [
      'data events, with pauses',
      (body) =>
        new Promise((resolve) => {
          let size = 0
          body.on('end', () => resolve(size))
          body.on('data', (chunk) => {
            size += chunk.length
            body.pause()
            setImmediate(() => body.resume())
          })
        }),
    ],
    [
      'read',
      async (body) => {
        let size = 0
        while (!body.emittedEnd) {
          size += body.read()?.length ?? 0
          await new Promise(setImmediate)
        }
        return size
      },
    ],
  ]

  test.each(ways)('%s', async (_, read) => {
    const sizes: number[] = []
    for await (const { body } of entries(Readable.from(records()))) sizes.push(await read(body))
    expect(sizes).toEqual([3, 0, 10_000, 1])
  })
})

test('bodies may be left, or left in the middle', async () => {
  const paths: string[] = []
  for await (const { entry, body } of entries(Readable.from(records()))) {
    paths.push(entry.path)
    if (entry.path === 'b') for await (const _ of body) break
  }
  expect(paths).toEqual(['a', 'd', 'b', 'c'])
})

test('a body that was left fails when it is read too late', async () => {
  const bodies: EntryWithBody['body'][] = []
  for await (const { body } of entries(Readable.from(records()))) bodies.push(body)
  await expect(bodies[2]!.concat()).rejects.toMatchObject({ code: 'ERR_STREAM_ORDER' })
  await expect(bodies[2]![Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: 'ERR_STREAM_ORDER' })
  expect((await bodies[1]!.concat()).length).toBe(0)
})

test('a body that is being read when its turn ends arrives whole', async () => {
  const reading: Promise<Buffer>[] = []
  for await (const { body } of entries(Readable.from(records(100)))) reading.push(body.concat())
  expect((await Promise.all(reading)).map((body) => body.length)).toEqual([3, 0, 10_000, 1])
})

test('the source is read no faster than the body', async () => {
  const [head] = records()
  let taken = 0
  const source = (async function* (): AsyncGenerator<EntryRecord> {
    yield head!
    for (;;) {
      taken++
      yield { kind: 'data', chunk: Buffer.alloc(100) }
    }
  })()
  for await (const { body } of entries(source)) {
    for (let i = 0; i < 20; i++) await new Promise(setImmediate)
    expect(taken).toBe(1)
    expect(body.read()?.length).toBe(100)
    for (let i = 0; i < 20; i++) await new Promise(setImmediate)
    expect(taken).toBe(2)
    break
  }
})

describe('leaving the loop early', () => {
  test('destroys the source, wherever it stands', async () => {
    for (const leave of ['d', 'b']) {
      const source = Readable.from(records())
      for await (const { entry } of entries(source)) if (entry.path === leave) break
      expect(source.destroyed).toBe(true)
    }
  })

  test('destroys a whole pipeline, also one that waits for input', async () => {
    const input = new PassThrough()
    input.write(bytes.subarray(0, 5000))
    const source = pipeline(input, new TarDecoder(), new PaxParser(), () => {})
    for await (const { entry, body } of entries(source)) {
      if (entry.path !== 'b') continue
      body.on('data', () => {})
      break
    }
    await new Promise(setImmediate)
    expect([source.destroyed, input.destroyed]).toEqual([true, true])
  })

  test('ends a generator', async () => {
    let ended = false
    const source = (async function* () {
      try {
        yield* records()
      } finally {
        ended = true
      }
    })()
    for await (const _ of entries(source)) break
    expect(ended).toBe(true)
  })

  test('by throwing keeps the error', async () => {
    const source = Readable.from(records())
    const loop = async () => {
      for await (const _ of entries(source)) throw new Error('mine')
    }
    await expect(loop()).rejects.toThrow('mine')
    expect(source.destroyed).toBe(true)
  })

  test('fails who still waits for the body', async () => {
    const input = new PassThrough({ objectMode: true })
    input.write(records()[0])
    let waiting: Promise<Buffer> | undefined
    for await (const { body } of entries(input)) {
      waiting = body.concat()
      break
    }
    await expect(waiting).rejects.toMatchObject({ code: 'ERR_STREAM_ORDER' })
  })
})

describe('an error of the source', () => {
  const cutOff = () =>
    pipeline(Readable.from(cut(bytes.subarray(0, 8000), [1000])), new TarDecoder(), new PaxParser(), () => {})

  test('reaches the loop where nobody reads the body', async () => {
    const loop = async () => {
      for await (const _ of entries(cutOff())) await new Promise(setImmediate)
    }
    await expect(loop()).rejects.toMatchObject({ code: 'ERR_TAR_TRUNCATED' })
  })

  test('reaches the body', async () => {
    const source = (async function* () {
      yield* records().slice(0, 2)
      throw new Error('broken')
    })()
    const errors: unknown[] = []
    const loop = async () => {
      for await (const { body } of entries(source)) await body.concat().catch((error) => errors.push(error))
    }
    await expect(loop()).rejects.toThrow('broken')
    expect(errors).toEqual([new Error('broken')])
  })
})

test.each([
  ['data first', records().slice(1)],
  ['an entry in a body', [records()[0]!, records()[0]!]],
  ['no end', records().slice(0, 2)],
])('refuses %s', async (_, list) => {
  const loop = async () => {
    for await (const { body } of entries(Readable.from(list))) body.resume()
  }
  await expect(loop()).rejects.toMatchObject({ code: 'ERR_STREAM_ORDER', stage: 'entries' })
})
