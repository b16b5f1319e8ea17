import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { describe, expect, test, vi } from 'vitest'
import { fsverityDigest, type ObjectId } from '../../../src/fsverity/index.ts'
import {
  ObjectWriter,
  type ObjectWriterOptions,
  type SplitRecord,
  type StoredRecord,
} from '../../../src/streams/index.ts'
import { cut } from '../../support/chunks.ts'
import { KeepingStore } from '../../support/keeping-store.ts'
import { file, symlink } from '../../support/layer-entries.ts'
import { MemoryStore, type MemoryStoreOptions } from '../../support/memory-store.ts'
import { Random } from '../../support/random.ts'
import { entry, pax, run, splitMachine, tar } from '../../support/tar.ts'
import { atRest, turns, until } from '../../support/turns.ts'

const inline = (text: string): SplitRecord => ({ kind: 'inline', bytes: Buffer.from(text) })
const open = (size: number): SplitRecord => ({ kind: 'external-open', size })
const data = (chunk: Buffer | string): SplitRecord => ({ kind: 'external-data', chunk: Buffer.from(chunk as string) })
const close: SplitRecord = { kind: 'external-close' }
const entryRecord = (size: number, body?: Buffer): SplitRecord => ({
  kind: 'entry',
  entry: { ...file('f').entry, size },
  body,
})
const external = (bytes: Buffer) => ({ id: fsverityDigest('sha256', bytes), size: bytes.length })

/** Answers when it is told to. */
class GatedStore extends MemoryStore {
  readonly waiting: (() => void)[] = []

  override async put(bytes: Buffer): Promise<ObjectId> {
    await new Promise<void>((resolve) => this.waiting.push(resolve))
    return super.put(bytes)
  }
}

async function write(
  records: Iterable<SplitRecord>,
  store: MemoryStore,
  options: ObjectWriterOptions = {},
): Promise<StoredRecord[]> {
  const found: StoredRecord[] = []
  await pipeline(Readable.from(records), new ObjectWriter(store, options), async (stored) => {
    for await (const record of stored as AsyncIterable<StoredRecord>) found.push(record)
  })
  return found
}

/** A body in one, or cut, with what stands around it. */
function body(bytes: Buffer, sizes: number[] = [bytes.length]): SplitRecord[] {
  const chunks = cut(bytes, sizes).map(data)
  return [inline('header'), open(bytes.length), ...chunks, close, inline('padding'), entryRecord(bytes.length)]
}

function stored(bytes: Buffer): StoredRecord[] {
  return [
    { kind: 'inline', bytes: Buffer.from('header') },
    { kind: 'external', ...external(bytes) },
    { kind: 'inline', bytes: Buffer.from('padding') },
    { kind: 'entry', entry: expect.anything(), content: { type: 'external', ...external(bytes) } },
  ]
}

const small = Buffer.alloc(100, 'small')
const large = Buffer.alloc(20_000, 'large')
const bodies = Array.from({ length: 60 }, (_, i) => Buffer.alloc(65 + i * 10, `body ${i}`))

describe.each([
  ['a store that answers at once', (options: MemoryStoreOptions = {}) => new MemoryStore(options)],
  [
    'a store that takes its time',
    (options: MemoryStoreOptions = {}) => new MemoryStore({ ...options, delay: () => 1 }),
  ],
] as const)('%s', (_, newStore) => {
  test('bodies become their ids, everything else passes', async () => {
    const store = newStore()
    const records = [...body(small), ...body(large, [1000]), inline('end')]
    expect(await write(records, store, { gather: 1000 })).toEqual([
      ...stored(small),
      ...stored(large),
      { kind: 'inline', bytes: Buffer.from('end') },
    ])
    expect(store.objects.get(external(large).id.hex)).toEqual(large)
    expect(store.sinks).toEqual({ created: 1, finished: 1, aborted: 0 })
  })

  test.each([
    [100, 0],
    [99, 1],
    [0, 1],
  ])('bodies above %i bytes stream', async (gather, created) => {
    const store = newStore()
    expect(await write(body(small, [7]), store, { gather })).toEqual(stored(small))
    expect(store.sinks).toEqual({ created, finished: created, aborted: 0 })
  })

  test('many bodies keep their order', async () => {
    const store = newStore()
    const records = bodies.flatMap((bytes, i) => [...body(bytes, [50]), inline(`after ${i}`)])
    const wanted = bodies.flatMap((bytes, i): StoredRecord[] => [
      ...stored(bytes),
      { kind: 'inline', bytes: Buffer.from(`after ${i}`) },
    ])
    expect(await write(records, store, { gather: 300 })).toEqual(wanted)
    expect(store.objects.size).toBe(bodies.length)
  })

  test('entries without a body of their own', async () => {
    const link: SplitRecord = { kind: 'entry', entry: symlink('s', 'x').entry, body: undefined }
    const tiny: SplitRecord = { kind: 'entry', entry: file('t').entry, body: Buffer.from('tiny') }
    const contents = (await write([...body(small), link, tiny, ...body(small), link], newStore())).flatMap((record) =>
      record.kind === 'entry' ? [record.content] : [],
    )
    expect(contents).toEqual([
      { type: 'external', ...external(small) },
      { type: 'none' },
      { type: 'inline', bytes: Buffer.from('tiny') },
      { type: 'external', ...external(small) },
      { type: 'none' },
    ])
  })

  test.each<[string, SplitRecord[], string]>([
    ['data without open', [data('x')], 'ERR_STREAM_ORDER'],
    ['close without open', [close], 'ERR_STREAM_ORDER'],
    ['open twice', [open(100), open(100)], 'ERR_STREAM_ORDER'],
    ['the end inside a body', [open(100), data('x')], 'ERR_STREAM_ORDER'],
    ['an unknown record', [{ kind: 'data' } as never], 'ERR_STREAM_ORDER'],
    ['too few bytes', [open(100), data('x'), close], 'ERR_SIZE_MISMATCH'],
    ['too many bytes', [open(100), data(Buffer.alloc(101))], 'ERR_SIZE_MISMATCH'],
  ])('%s is refused', async (_, records, code) => {
    for (const gather of [0, 1000]) {
      const store = newStore()
      await expect(write([...body(small), ...records], store, { gather })).rejects.toMatchObject({ code })
      // What was being finished is finished.
      await vi.waitFor(() => expect(store.sinks.finished + store.sinks.aborted).toBe(store.sinks.created))
    }
  })

  test.each([1000, 0])('a failure of the store is that of the pipeline (gather %i)', async (gather) => {
    const fail = (bytes: Buffer) => (bytes.equals(bodies[5]!) ? new Error('the disk is full') : undefined)
    const records = bodies.flatMap((bytes) => body(bytes))
    await expect(write(records, newStore({ fail }), { gather })).rejects.toThrow('the disk is full')
  })

  test('destroyed in the middle of a body it gives up what it was receiving', async () => {
    const store = newStore()
    const writer = new ObjectWriter(store, { gather: 0 })
    function* records(): Generator<SplitRecord> {
      yield* [open(1000), data('x')]
      throw new Error('the source broke')
    }
    const failed = pipeline(Readable.from(records()), writer.resume())
    await expect(failed).rejects.toThrow('the source broke')
    expect(store.sinks).toEqual({ created: 1, finished: 0, aborted: 1 })
  })
})

describe('a store that takes its time', () => {
  test('is asked for several bodies at once, but not for too many', async () => {
    const random = new Random(1)
    for (const inFlight of [1, 4, 16]) {
      const store = new GatedStore()
      const writing = write(
        bodies.flatMap((bytes) => body(bytes)),
        store,
        { inFlight },
      )
      for (let left = bodies.length; left > 0; ) {
        await until(() => store.waiting.length === Math.min(inFlight, left))
        // No more come, and they may be answered in any order.
        await turns(20)
        expect(store.waiting.length).toBe(Math.min(inFlight, left))
        left -= store.waiting.length
        while (store.waiting.length > 0) store.waiting.splice(random.below(store.waiting.length), 1)[0]!()
      }
      expect(await writing).toEqual(bodies.flatMap(stored))
    }
  })

  test('is waited for at the end', async () => {
    const store = new MemoryStore({ delay: () => 30 })
    expect(await write(body(small), store)).toEqual(stored(small))
  })

  test('what comes behind a slow body does not pile up', async () => {
    const store = new GatedStore()
    let given = 0
    function* records(): Generator<SplitRecord> {
      yield* body(small)
      for (; given < 100_000; given++) yield inline('x')
    }
    const writing = write(records(), store)
    await until(() => store.waiting.length === 1)
    await atRest(() => `${given}`)
    expect(given).toBeGreaterThan(0)
    expect(given).toBeLessThan(5000)
    store.waiting[0]!()
    expect(await writing).toHaveLength(4 + 100_000)
  })

  test('fails early, not when its turn comes', async () => {
    const fail = (bytes: Buffer) => (bytes.length === small.length ? undefined : new Error('refused'))
    const store = new MemoryStore({ fail, delay: (size) => (size === small.length ? 60_000 : 1) })
    await expect(write([...body(small), ...body(large), inline('more')], store)).rejects.toThrow('refused')
  })
})

test.each([
  ['at once', {}],
  ['later', { late: true }],
])('what a store was given is its own, whatever becomes of the input (%s)', async (_, options) => {
  for (const gather of [0, 300, 1000]) {
    const keeping = new KeepingStore(options)
    const writer = new ObjectWriter(keeping, { gather }).resume()
    const write = (record: SplitRecord) => new Promise((done) => writer.write(record, done))
    for (const bytes of bodies) {
      await write(open(bytes.length))
      for (const chunk of cut(bytes, [50])) {
        const used = Buffer.from(chunk)
        await write({ kind: 'external-data', chunk: used })
        used.fill(0xff)
      }
      await write(close)
      await write(entryRecord(bytes.length))
    }
    await new Promise<void>((done) => writer.end(() => done()))
    expect(keeping.kept.map(({ id }) => id.hex)).toEqual(bodies.map((bytes) => external(bytes).id.hex))
    expect(keeping.changed).toBe(0)
  }
})

test('a tar that went through keeps every byte', async () => {
  const bytes = tar(
    pax({ 'SCHILY.xattr.user.a': 'b' }),
    entry({ name: 'a' }, 'x'.repeat(64)),
    entry({ name: 'b' }, 'y'.repeat(65)),
    entry({ name: 'c' }, 'z'.repeat(2048)),
  )
  const store = new MemoryStore({ delay: (size) => (size > 1000 ? 1 : 5) })
  const records = await write(run(splitMachine(), [bytes]), store, { gather: 1000 })
  const parts = records.flatMap((record) =>
    record.kind === 'inline' ? [record.bytes] : record.kind === 'external' ? [store.objects.get(record.id.hex)!] : [],
  )
  expect(Buffer.concat(parts)).toEqual(bytes)
})
