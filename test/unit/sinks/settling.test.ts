/**
 * A stage that is destroyed, or whose source stops in the middle, settles its pipeline with an error, in every position
 * of the pipeline: nothing waits for ever.
 */
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { Readable, Transform, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { gzipSync } from 'node:zlib'
import { extract } from 'tar-stream'
import { describe, expect, test } from 'vitest'
import * as sinks from '../../../src/sinks/index.ts'
import * as streams from '../../../src/streams/index.ts'
import { cut } from '../../support/chunks.ts'
import { MemoryStore } from '../../support/memory-store.ts'
import { entry, entryMachine, pax, run, splitMachine, tar } from '../../support/tar.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'
import { tool } from '../../support/tools.ts'
import { atRest } from '../../support/turns.ts'

const {
  ArchiveReader,
  ContentSplitter,
  Decompressor,
  DigestVerifier,
  DumpfileReader,
  DumpfileWriter,
  entries,
  fromTarStream,
  fuse,
  ObjectWriter,
  PaxParser,
  Progress,
  parseSplitstream,
  readDumpfile,
  SplitstreamEntries,
  SplitstreamReader,
  SplitstreamWriter,
  TarDecoder,
  tee,
} = streams
const { DirectorySink, SplitstreamSink, TreeSink } = sinks

const names = Array.from({ length: 400 }, (_, i) => `usr/file${i}`)
const bytes = tar(
  entry({ name: 'usr/', type: '5' }),
  ...names.map((name, i) => Buffer.concat([pax({ mtime: '5.5' }), entry({ name }, 'x'.repeat(40 + i))])),
)
const entryRecords = run(entryMachine(), [bytes])
const splitRecords = run(splitMachine(), [bytes])
const storedRecords = await Readable.from(splitRecords).pipe(new ObjectWriter(new MemoryStore())).toArray()
const splitstream = Buffer.concat(
  await Readable.from(storedRecords)
    .pipe(new SplitstreamWriter({ algorithm: 'sha256' }))
    .toArray(),
)
const dumpfile = Buffer.from(
  ['/ 0 40755 2 0 0 0 0.0 - - -', ...names.map((_, i) => `/f${i} 0 100644 1 0 0 0 0.0 - - -`), ''].join('\n'),
)
const never = new Promise<never>(() => {})

/** A stage with input it takes. */
interface Case {
  readonly input: readonly unknown[]
  make(): NodeJS.ReadWriteStream & Transform
}

const onBytes = (make: () => Transform, input: Buffer = bytes): Case => ({
  make,
  input: cut(input, [input.length / 40]),
})

const cases: Record<string, Case> = {
  ArchiveReader: onBytes(() => new ArchiveReader()),
  ContentSplitter: { make: () => new ContentSplitter(), input: entryRecords },
  Decompressor: onBytes(() => new Decompressor()),
  'Decompressor (gzip)': onBytes(() => new Decompressor(), gzipSync(bytes)),
  'Decompressor (gzip, members)': onBytes(() => new Decompressor(), Buffer.concat([gzipSync(bytes), gzipSync(bytes)])),
  'Decompressor (zstd)': onBytes(() => new Decompressor(), streams.encodeZstd(bytes)),
  DigestVerifier: onBytes(() => new DigestVerifier()),
  DumpfileReader: onBytes(() => new DumpfileReader(), dumpfile),
  DumpfileWriter: { make: () => new DumpfileWriter(), input: storedRecords },
  ObjectWriter: { make: () => new ObjectWriter(new MemoryStore()), input: splitRecords },
  'ObjectWriter (streaming bodies)': {
    make: () => new ObjectWriter(new MemoryStore(), { gather: 0 }),
    input: splitRecords,
  },
  'ObjectWriter (a slow store)': {
    make: () => new ObjectWriter(new MemoryStore({ delay: () => 1 })),
    input: splitRecords,
  },
  'ObjectWriter (a store that never answers)': {
    make: () => new ObjectWriter(Object.assign(new MemoryStore(), { put: () => never })),
    input: splitRecords,
  },
  PaxParser: { make: () => new PaxParser(), input: run(new TarDecoder().machine, [bytes]) },
  Progress: onBytes(() => new Progress({ onProgress: () => {} })),
  SplitstreamEntries: { make: () => new SplitstreamEntries(), input: [...parseSplitstream(splitstream).chunks()] },
  SplitstreamReader: onBytes(() => new SplitstreamReader(), splitstream),
  SplitstreamWriter: { make: () => new SplitstreamWriter({ algorithm: 'sha256' }), input: storedRecords },
  TarDecoder: onBytes(() => new TarDecoder()),
  'fused stages': onBytes(() => fuse(new DigestVerifier(), new TarDecoder(), new PaxParser(), new ContentSplitter())),
}
for (const program of ['xz', 'bzip2']) {
  if (tool(program) === undefined) continue
  const packed = execFileSync(program, ['-c'], { input: bytes })
  cases[`Decompressor (${program})`] = onBytes(() => new Decompressor(), packed)
}

const ends: Record<string, { readonly input: readonly unknown[]; make(): Writable & { result: Promise<unknown> } }> = {
  DirectorySink: {
    make: () => new DirectorySink(join(temporaryDirectory(), 'target'), undefined),
    input: [...readDumpfile(dumpfile).walk()],
  },
  SplitstreamSink: { make: () => new SplitstreamSink(new MemoryStore()), input: storedRecords },
  TreeSink: { make: () => new TreeSink(), input: storedRecords },
  'TreeSink (dumpfile)': {
    make: () => new TreeSink(),
    // Directories are filled while a tree is made: no two trees can be made of the same records.
    get input() {
      return run(new DumpfileReader().machine, [dumpfile])
    },
  },
  tee: {
    make: () => tee(new SplitstreamSink(new MemoryStore()), new TreeSink(), new DumpfileWriter()),
    input: storedRecords,
  },
}

/** All of this, then silence, and no end. */
function silent(input: readonly unknown[]): Readable {
  const left = [...input]
  return new Readable({
    objectMode: true,
    read() {
      if (left.length > 0) this.push(left.shift())
    },
  })
}

const halfway = (input: readonly unknown[]): Readable => silent(input.slice(0, Math.ceil(input.length / 2)))

/** Takes everything, or only one chunk. */
function blackHole(kind: 'quick' | 'stuck'): Writable {
  return new Writable({
    objectMode: true,
    highWaterMark: 1,
    write: (_, __, callback) => {
      if (kind === 'quick') callback()
    },
  })
}

const broken = new Error('broken on purpose')

type Victim = 'destroyed' | 'destroyed with an error'
const ways: [string, Victim][] = [
  ['destroyed', 'destroyed'],
  ['destroyed with an error', 'destroyed with an error'],
]

/** The error that it settles with. One that waits for ever is found by the time limit of the test. */
async function settles(running: Promise<unknown>): Promise<Error> {
  return running.then(
    () => expect.fail('it ended as if nothing had happened'),
    (error: Error) => error,
  )
}

type Queues = { readonly readableLength?: number; readonly writableLength?: number }

/** Waits until the stages neither take nor give any more: the source is silent, or the sink is stuck. */
const quiet = (...stages: readonly unknown[]): Promise<void> =>
  atRest(() =>
    (stages as Queues[]).map(({ readableLength, writableLength }) => `${readableLength} ${writableLength}`).join(),
  )

/** Runs the stages until they are in the middle of the input, then strikes. */
async function strike(stages: readonly unknown[], act: (signal: AbortController) => void): Promise<Error> {
  const controller = new AbortController()
  const running = pipeline(stages as never, { signal: controller.signal })
  const settled = settles(running)
  await quiet(...stages)
  act(controller)
  const error = await settled
  for (const stage of stages as { destroyed: boolean }[]) expect(stage.destroyed).toBe(true)
  return error
}

const expected = (way: Victim) => (way === 'destroyed' ? { code: 'ERR_STREAM_PREMATURE_CLOSE' } : broken)
const kill = (stage: { destroy(error?: Error): unknown }, way: Victim) =>
  stage.destroy(way === 'destroyed' ? undefined : broken)

describe.each(Object.entries(cases))('%s', (_, { input, make }) => {
  for (const kind of ['quick', 'stuck'] as const) {
    for (const [what, way] of ways) {
      test.each(['source', 'stage', 'sink'])(`a ${kind} sink: the %s is ${what}`, async (victim) => {
        const stages = { source: halfway(input), stage: make(), sink: blackHole(kind) }
        const error = await strike(Object.values(stages), () => kill(stages[victim as keyof typeof stages], way))
        expect(error).toMatchObject(expected(way))
      })
    }

    test(`a ${kind} sink: the signal fires`, async () => {
      const error = await strike([halfway(input), make(), blackHole(kind)], (signal) => signal.abort())
      expect(error.name).toBe('AbortError')
    })
  }

  test('the source was destroyed before', async () => {
    const source = halfway(input)
    source.destroy()
    await settles(pipeline(source, make(), blackHole('quick')))
  })

  test('the stage was destroyed before', async () => {
    const stage = make()
    stage.destroy()
    await settles(pipeline(halfway(input), stage, blackHole('quick')))
  })

  test('a source that throws', async () => {
    const source = Readable.from(
      (function* () {
        yield* input.slice(0, 3)
        throw broken
      })(),
    )
    expect(await settles(pipeline(source, make(), blackHole('quick')))).toBe(broken)
  })

  test('destroyed while it is finishing', async () => {
    const stage = make()
    const sink = blackHole('stuck')
    const running = settles(pipeline(Readable.from(input), stage, sink))
    await quiet(stage, sink)
    stage.destroy(broken)
    // Where everything is done the sink is still waiting.
    if (stage.readableEnded) sink.destroy(broken)
    expect(await running).toBe(broken)
  })
})

describe.each(Object.entries(ends))('%s', (name, { make }) => {
  for (const [what, way] of ways) {
    test(`the source is ${what}`, async () => {
      const [source, sink] = [halfway(ends[name]!.input), make()]
      expect(await strike([source, sink], () => kill(source, way))).toMatchObject(expected(way))
      await settles(sink.result)
    })

    test(`it is ${what}`, async () => {
      const sink = make()
      expect(await strike([silent(ends[name]!.input), sink], () => kill(sink, way))).toMatchObject(expected(way))
      await settles(sink.result)
    })
  }

  test('the signal fires', async () => {
    const sink = make()
    expect((await strike([halfway(ends[name]!.input), sink], (signal) => signal.abort())).name).toBe('AbortError')
    await settles(sink.result)
  })

  test('it was destroyed before', async () => {
    const sink = make()
    sink.destroy()
    await settles(pipeline(Readable.from(ends[name]!.input), sink))
    await settles(sink.result)
  })
})

describe('a whole pipeline, from a compressed layer to a repository and a tree', () => {
  const packed = cut(gzipSync(bytes), [100])
  const whole = (): (Readable | Transform | Writable)[] => [
    halfway(packed),
    new Progress({ onProgress: () => {} }),
    new Decompressor(),
    new DigestVerifier(),
    new TarDecoder(),
    new PaxParser(),
    new ContentSplitter(),
    new ObjectWriter(new MemoryStore({ delay: () => 1 })),
    tee(new SplitstreamSink(new MemoryStore()), new TreeSink()),
  ]
  const positions = whole().map((stage, i) => [i, stage.constructor.name] as const)

  for (const [what, way] of ways) {
    test.each(positions)(`position %i (%s) is ${what}`, async (i) => {
      const stages = whole()
      expect(await strike(stages, () => kill(stages[i]!, way))).toMatchObject(expected(way))
      await settles((stages.at(-1) as unknown as { result: Promise<unknown> }).result)
    })
  }

  test.each([0, 1])('branch %i of the tee is destroyed', async (i) => {
    const branches = [new SplitstreamSink(new MemoryStore()), new TreeSink()] as const
    const stages = [...whole().slice(0, -1), tee(...branches)]
    expect(await strike(stages, () => branches[i]!.destroy(broken))).toBe(broken)
    for (const { result } of branches) await settles(result)
  })

  test('the input ends too early', async () => {
    const [, ...stages] = whole()
    const error = await settles(pipeline([Readable.from(packed.slice(0, 5)), ...stages] as never))
    expect(error).toMatchObject({ code: 'ERR_COMPRESSION_TRUNCATED' })
  })
})

describe('entries', () => {
  for (const [what, way] of ways) {
    test.each(['between bodies', 'inside a body'])(`the source is ${what} %s`, async (where) => {
      const parser = halfway(cut(bytes, [700]))
        .pipe(new TarDecoder())
        .pipe(new PaxParser())
      const reading = (async () => {
        for await (const { body } of entries(parser)) {
          if (where === 'inside a body') for await (const _ of body);
        }
      })()
      const settled = settles(reading)
      await quiet(parser)
      kill(parser, way)
      await settled
    })
  }
})

describe('fromTarStream', () => {
  for (const [what, way] of ways) {
    test.each(['source', 'extractor', 'records'])(`the %s is ${what}`, async (victim) => {
      const extractor = extract()
      const source = halfway(cut(bytes, [700]))
      const filling = pipeline([source, extractor] as never).catch(() => {})
      const records = fromTarStream(extractor)
      const settled = settles(pipeline(records, blackHole('quick')))
      await quiet(source, extractor, records)
      kill({ source, extractor, records }[victim]!, way)
      await settled
      await filling
    })
  }
})

test('no stage or sink is left out', () => {
  const classes = [...Object.entries(streams), ...Object.entries(sinks)].filter(
    ([, value]) =>
      typeof value === 'function' && (value.prototype instanceof Transform || value.prototype instanceof Writable),
  )
  const bases = ['Stage', 'AsyncStage']
  const looked = [...Object.keys(cases), ...Object.keys(ends), ...bases]
  expect(looked).toEqual(expect.arrayContaining(classes.map(([name]) => name)))
  expect(classes.length).toBeGreaterThan(14)
})
