/** ObjectWriter with another thread for the digests, which exists only where the package is compiled. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { finished } from 'node:stream/promises'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { ObjectId } from '../../../src/fsverity/object-id.ts'
import { native } from '../../../src/native/libc.ts'
import { DigestStore } from '../../../src/repository/digest-store.ts'
import { ObjectDirectory } from '../../../src/repository/objects.ts'
import { ObjectWriter } from '../../../src/streams/object-writer.ts'
import type { Entry, ObjectStore, SplitRecord, StoredRecord } from '../../../src/streams/records.ts'
import { compileInto } from '../../support/compiled.ts'
import { KeepingStore } from '../../support/keeping-store.ts'
import { Random } from '../../support/random.ts'

let directory = ''
let Compiled: typeof ObjectWriter

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'composefs-test-'))
  compileInto(directory)
  const url = pathToFileURL(join(directory, 'src', 'streams', 'object-writer.js')).href
  Compiled = ((await import(url)) as { ObjectWriter: typeof ObjectWriter }).ObjectWriter
})
afterAll(() => rmSync(directory, { recursive: true, force: true }))

/** Bodies of many sizes, about 30 MB, with inline records and entries as ContentSplitter gives them. */
function* records(seed: number): Generator<SplitRecord> {
  const random = new Random(seed)
  const entry = { type: 'file' } as Entry
  for (let i = 0; i < 9000; i++) {
    yield { kind: 'inline', bytes: Buffer.from(`header ${i}`) }
    if (i % 3 === 0) {
      yield { kind: 'entry', entry, body: Buffer.from(`small ${i}`) }
      continue
    }
    const size = i === 5000 ? 3_000_000 : i === 6000 ? 1024 * 1024 : 65 + random.below(9000)
    yield { kind: 'external-open', size }
    const body = Buffer.alloc(size, i)
    const middle = random.below(size)
    if (middle > 0) yield { kind: 'external-data', chunk: body.subarray(0, middle) }
    yield { kind: 'external-data', chunk: body.subarray(middle) }
    yield { kind: 'external-close' }
    yield { kind: 'inline', bytes: Buffer.from('padding') }
    yield { kind: 'entry', entry, body: undefined }
  }
}

/** What comes out, as text. */
async function output(writer: ObjectWriter, seed = 1): Promise<string[]> {
  const lines: string[] = []
  const stage = Readable.from(records(seed)).pipe(writer)
  for await (const record of stage) lines.push(JSON.stringify(record as StoredRecord))
  return lines
}

test('gives the same records in the same order', async () => {
  for (const algorithm of ['sha256', 'sha512'] as const) {
    const store = new DigestStore(algorithm)
    let computedElsewhere = 0
    const counting: ObjectStore = {
      algorithm,
      takesIds: true,
      put: (bytes, id) => {
        if (id !== undefined) computedElsewhere++
        const own = store.put(bytes)
        if (id !== undefined) expect(id.hex).toBe(own.hex)
        return own
      },
      create: (size) => store.create(size),
    }
    const alone = await output(
      new ObjectWriter({ algorithm, put: (b) => store.put(b), create: (n) => store.create(n) }),
    )
    expect(await output(new Compiled(counting))).toEqual(alone)
    expect(computedElsewhere).toBeGreaterThan(3000)
    expect(alone.length).toBe(9000 + 3000 + 3 * 6000)
  }
})

test('a store that keeps what it is given keeps it whole', async () => {
  const expected = await output(new ObjectWriter(new DigestStore('sha256')))
  for (const options of [{ takesIds: true }, { takesIds: true, late: true }, { late: true }]) {
    const keeping = new KeepingStore(options)
    expect(await output(new Compiled(keeping))).toEqual(expected)
    expect(keeping.kept.length).toBe(6000)
    expect(keeping.changed).toBe(0)
  }
})

const openFiles = (): number => readdirSync('/proc/self/fd').length

// Files without a name become objects by a call that Node does not have.
const drafts = native() !== undefined

test.skipIf(!drafts)('has another thread write what is new, and leaves no file open', async () => {
  const path = join(directory, 'objects')
  const before = openFiles()
  let drafts = 0
  class Counting extends ObjectDirectory {
    override putDraft(fd: number, size: number, id: ObjectId): ObjectId {
      drafts++
      return super.putDraft(fd, size, id)
    }
  }
  const store = new Counting(path, 'sha256')
  const lines = await output(new Compiled(store))
  expect(lines).toEqual(await output(new ObjectWriter(new DigestStore('sha256'))))
  expect(drafts).toBeGreaterThan(500)
  expect(store.stats).toMatchObject({ newObjects: [...store.ids()].length, replacedObjects: 0 })
  for (const id of store.ids()) store.verify(id)
  // Nothing is written that is there.
  const written = drafts
  const again = new Counting(path, 'sha256')
  expect(await output(new Compiled(again))).toEqual(lines)
  expect(again.stats.newObjects).toBe(0)
  expect(drafts).toBe(written)
  expect(openFiles()).toBe(before)
})

test.skipIf(!drafts)('leaves no file open where the store fails, or the stage is destroyed', async () => {
  const before = openFiles()
  class Failing extends ObjectDirectory {
    override putDraft(fd: number, size: number, id: ObjectId): ObjectId {
      super.putDraft(fd, size, id)
      if (this.stats.newObjects > 1500) throw new Error('full')
      return id
    }
  }
  await expect(output(new Compiled(new Failing(join(directory, 'failing'), 'sha256')))).rejects.toThrow('full')
  for (const after of [9000, 12_000, 15_000]) {
    const writer = new Compiled(new ObjectDirectory(join(directory, `destroyed-${after}`), 'sha256'))
    Readable.from(records(2)).pipe(writer)
    let seen = 0
    writer.on('data', () => {
      if (++seen === after) writer.destroy(new Error('enough'))
    })
    const closed = new Promise((resolve) => writer.once('close', resolve))
    await expect(finished(writer)).rejects.toThrow('enough')
    await closed
    expect(writer.errored).toMatchObject({ message: 'enough' })
  }
  await vi.waitFor(() => expect(openFiles()).toBe(before), 30_000)
})

test('an error of the store fails the stage, in whichever batch', async () => {
  const id = ObjectId.fromHex('0'.repeat(64))
  for (const fatal of [3000, 5990]) {
    let puts = 0
    const store: ObjectStore = {
      algorithm: 'sha256',
      takesIds: true,
      put: () => {
        if (++puts === fatal) throw new Error('full')
        return id
      },
      create: (size) => new DigestStore('sha256').create(size),
    }
    await expect(output(new Compiled(store))).rejects.toThrow('full')
  }
})

test('one that is destroyed ends, and its thread with it', async () => {
  const writer = new Compiled(new DigestStore('sha256'))
  const source = Readable.from(records(2))
  source.pipe(writer)
  let seen = 0
  writer.on('data', () => {
    if (++seen === 20_000) writer.destroy(new Error('enough'))
  })
  await expect(finished(writer)).rejects.toThrow('enough')
  expect(seen).toBe(20_000)
})

test('holds neither the chunks that headers came in nor much of what stands inline', async () => {
  const size = 1024 * 1024
  const body = Buffer.alloc(size)
  const writer = new Compiled(new DigestStore('sha256'))
  const kept = new Set<ArrayBufferLike>()
  let handedOn = 0
  writer.on('data', (record: StoredRecord) => {
    if (record.kind !== 'inline') return
    kept.add(record.bytes.buffer)
    handedOn += record.bytes.length
  })
  const write = async (record: SplitRecord) => {
    if (!writer.write(record)) await new Promise((resolve) => writer.once('drain', resolve))
  }
  for (let i = 0; i < 32; i++) {
    const chunk = Buffer.alloc(256 * 1024)
    await write({ kind: 'inline', bytes: chunk.subarray(0, 512) })
    await write({ kind: 'external-open', size })
    await write({ kind: 'external-data', chunk: body })
    await write({ kind: 'external-close' })
    await write({ kind: 'entry', entry: { type: 'file' } as Entry, body: undefined })
    // The first ones go through without a batch.
    if (i > 16) expect(kept.has(chunk.buffer)).toBe(false)
  }
  const before = handedOn
  for (let i = 0; i < 256; i++) await write({ kind: 'inline', bytes: Buffer.alloc(256 * 1024) })
  expect(handedOn - before).toBeGreaterThan(56 * 1024 * 1024)
  writer.end()
  await finished(writer)
  expect(handedOn - before).toBeGreaterThanOrEqual(64 * 1024 * 1024)
})
