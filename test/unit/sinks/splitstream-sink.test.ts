import { Readable } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { type Algorithm, fsverityDigest } from '../../../src/fsverity/index.ts'
import { SplitstreamSink } from '../../../src/sinks/index.ts'
import {
  contentTypes,
  ObjectWriter,
  parseSplitstream,
  pipeline,
  readSplitstreamEntries,
  type StoredRecord,
} from '../../../src/streams/index.ts'
import { KeepingStore } from '../../support/keeping-store.ts'
import { file } from '../../support/layer-entries.ts'
import { MemoryStore } from '../../support/memory-store.ts'
import { entry, run, splitMachine, tar } from '../../support/tar.ts'

const large = 'x'.repeat(1000)
const bytes = tar(entry({ name: 'a' }, 'small'), entry({ name: 'b' }, large), entry({ name: 'c' }, large))

async function write(store: MemoryStore, options = {}) {
  return pipeline(
    Readable.from(run(splitMachine(), [bytes])),
    new ObjectWriter(store),
    new SplitstreamSink(store, options),
  )
}

describe('SplitstreamSink', () => {
  test.each<Algorithm>(['sha256', 'sha512'])('%s', async (algorithm) => {
    const store = new MemoryStore({ algorithm })
    const stream = await write(store)
    expect(stream.streamSize).toBe(bytes.length)
    const id = await stream.store()
    expect(id.algorithm).toBe(algorithm)
    const stored = store.objects.get(id.hex)!
    expect(stored).toHaveLength(stream.length)
    const parsed = parseSplitstream(stored, { algorithm, contentType: contentTypes.layer })
    expect(parsed.streamSize).toBe(bytes.length)
    expect(parsed.objectRefs).toEqual([fsverityDigest(algorithm, Buffer.from(large))])
    const parts = [...parsed.chunks()].map((chunk) =>
      chunk.kind === 'inline' ? chunk.bytes : store.objects.get(chunk.id.hex)!,
    )
    expect(Buffer.concat(parts).equals(bytes)).toBe(true)
    expect([...readSplitstreamEntries(stored)].map(({ entry }) => entry.path)).toEqual(['a', 'b', 'c'])
  })

  test('stores nothing until it is told to', async () => {
    const store = new MemoryStore()
    const stream = await write(store)
    expect(store.objects.size).toBe(1)
    const first = await stream.store()
    expect(store.objects.size).toBe(2)
    // The same bytes have the same name.
    expect(await stream.store()).toEqual(first)
    expect(store.objects.size).toBe(2)
  })

  test('a store that keeps what it is given keeps it whole', async () => {
    const keeping = new KeepingStore({ late: true })
    const source = Readable.from(run(splitMachine(), [bytes]))
    const stream = await pipeline(source, new ObjectWriter(keeping), new SplitstreamSink(keeping))
    const id = await stream.store()
    expect(await stream.store()).toEqual(id)
    expect(keeping.kept.map(({ id }) => id.hex)).toHaveLength(4)
    expect(keeping.changed).toBe(0)
  })

  test('the content type may be another, and refs may be named', async () => {
    const store = new MemoryStore()
    const id = fsverityDigest('sha256', Buffer.from('x'))
    const stream = await write(store, { contentType: contentTypes.blob, namedRefs: new Map([['name', id]]) })
    const parsed = parseSplitstream(store.objects.get((await stream.store()).hex)!)
    expect(parsed.contentType).toBe(contentTypes.blob)
    expect([...parsed.namedRefs]).toEqual([['name', id]])
  })

  test('an empty stream', async () => {
    const store = new MemoryStore()
    const stream = await pipeline([] as StoredRecord[], new SplitstreamSink(store))
    expect(stream.streamSize).toBe(0)
    const stored = store.objects.get((await stream.store()).hex)!
    expect([...parseSplitstream(stored).chunks()]).toEqual([])
  })

  test('entries are passed over', async () => {
    const { entry, content } = file('a')
    const records: StoredRecord[] = [{ kind: 'entry', entry, content }]
    expect((await pipeline(records, new SplitstreamSink(new MemoryStore()))).streamSize).toBe(0)
  })

  test('an id of another hash is refused', async () => {
    const id = fsverityDigest('sha512', Buffer.from('x'))
    const writing = pipeline([{ kind: 'external', id, size: 100 } as const], new SplitstreamSink(new MemoryStore()))
    await expect(writing).rejects.toMatchObject({ code: 'ERR_ALGORITHM_MISMATCH' })
  })

  test('a store that fails is given up', async () => {
    const store = new MemoryStore()
    const stream = await write(store)
    const failing = new MemoryStore({ fail: () => new Error('full') })
    const other = await pipeline([] as StoredRecord[], new SplitstreamSink(failing))
    await expect(other.store()).rejects.toThrow('full')
    expect(failing.sinks).toEqual({ created: 1, finished: 0, aborted: 1 })
    await expect(stream.store()).resolves.toBeDefined()
  })

  test('destroyed before the end it has no result', async () => {
    for (const error of [undefined, new Error('enough')]) {
      const sink = new SplitstreamSink(new MemoryStore())
      sink.on('error', () => {})
      sink.destroy(error)
      await expect(sink.result).rejects.toMatchObject(error ?? { code: 'ERR_STREAM_ORDER', stage: 'SplitstreamSink' })
    }
  })
})
