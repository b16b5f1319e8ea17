/** What the typed pipeline accepts, and what does not compile. */
import type { Readable, Writable } from 'node:stream'
import { assertType, expectTypeOf, test } from 'vitest'
import { type FinishedSplitstream, SplitstreamSink, TreeSink } from '../../src/sinks/index.ts'
import {
  ArchiveReader,
  type ArchiveRecord,
  ContentSplitter,
  Decompressor,
  DigestVerifier,
  DumpfileReader,
  DumpfileWriter,
  type EntryRecord,
  fuse,
  type ObjectStore,
  ObjectWriter,
  PaxParser,
  Progress,
  pipeline,
  type Sink,
  type SplitRecord,
  SplitstreamEntries,
  SplitstreamReader,
  type Stage,
  TarDecoder,
  tee,
} from '../../src/streams/index.ts'
import type { FileSystem } from '../../src/tree/index.ts'

declare const store: ObjectStore
declare const source: Readable
declare const buffers: AsyncIterable<Buffer>
declare const bytesSink: Sink<Buffer, string>

test('stages in their order compile, and the result is the sink’s', () => {
  const split = new ContentSplitter()
  expectTypeOf(
    pipeline(
      source,
      new Decompressor(),
      new TarDecoder(),
      new PaxParser(),
      split,
      new ObjectWriter(store),
      new TreeSink(),
    ),
  ).toEqualTypeOf<Promise<FileSystem>>()
  expectTypeOf(
    pipeline(buffers, new TarDecoder(), new PaxParser(), split, new ObjectWriter(store), new SplitstreamSink(store)),
  ).toEqualTypeOf<Promise<FinishedSplitstream>>()
  expectTypeOf(pipeline(buffers, new DumpfileReader(), new TreeSink())).toEqualTypeOf<Promise<FileSystem>>()
  expectTypeOf(pipeline(buffers, new SplitstreamReader(), new SplitstreamEntries(), new TreeSink())).toEqualTypeOf<
    Promise<FileSystem>
  >()
  expectTypeOf(
    pipeline(buffers, new Progress({ onProgress: () => {} }), new DigestVerifier(), bytesSink, {
      signal: new AbortController().signal,
    }),
  ).toEqualTypeOf<Promise<string>>()
  expectTypeOf(
    pipeline(
      buffers,
      fuse(new DigestVerifier(), new TarDecoder(), new PaxParser()),
      split,
      new ObjectWriter(store),
      new TreeSink(),
    ),
  ).toEqualTypeOf<Promise<FileSystem>>()
})

async function* passOn(records: AsyncIterable<EntryRecord>) {
  yield* records
}
async function* nameOf(records: AsyncIterable<EntryRecord>) {
  for await (const record of records) yield record.kind
}

test('any number of stages, and async generators between them', () => {
  const progress = () => new Progress({ onProgress: () => {} })
  const stages = [progress(), new DigestVerifier(), new Decompressor(), progress(), new TarDecoder()] as const
  const more = [new PaxParser(), passOn, passOn, new ContentSplitter(), new ObjectWriter(store)] as const
  expectTypeOf(pipeline(source, ...stages, ...more, new TreeSink())).toEqualTypeOf<Promise<FileSystem>>()
  expectTypeOf(
    pipeline(
      buffers,
      progress(),
      new DigestVerifier(),
      new Decompressor(),
      progress(),
      new TarDecoder(),
      new PaxParser(),
      passOn,
      async function* (records: AsyncIterable<EntryRecord>) {
        for await (const record of records) if (record.kind !== 'trailer') yield record
      },
      new ContentSplitter(),
      new ObjectWriter(store),
      new TreeSink(),
      { signal: undefined },
    ),
  ).toEqualTypeOf<Promise<FileSystem>>()
  const decoded = [new TarDecoder(), new PaxParser()] as const
  const split = [new ContentSplitter(), new ObjectWriter(store), new TreeSink()] as const
  // @ts-expect-error entries are wanted, names come
  pipeline(buffers, ...decoded, nameOf, ...split)
  // @ts-expect-error entries are wanted, tar records come
  pipeline(buffers, new TarDecoder(), passOn, ...split)
})

test('options may be undefined', () => {
  const options = undefined as { signal?: AbortSignal } | undefined
  expectTypeOf(pipeline(buffers, new DumpfileReader(), new TreeSink(), options)).toEqualTypeOf<Promise<FileSystem>>()
  expectTypeOf(pipeline(buffers, bytesSink, undefined)).toEqualTypeOf<Promise<string>>()
})

test('a wrong order does not', () => {
  // @ts-expect-error entries are wanted, tar records come
  pipeline(buffers, new TarDecoder(), new ContentSplitter(), new ObjectWriter(store), new TreeSink())
  // @ts-expect-error bytes are wanted, entries come
  pipeline(buffers, new TarDecoder(), new PaxParser(), new TarDecoder(), new TreeSink())
  // @ts-expect-error stored records are wanted: there is no ObjectWriter
  pipeline(buffers, new TarDecoder(), new PaxParser(), new ContentSplitter(), new TreeSink())
  // @ts-expect-error a splitstream cannot be made of the lines of a dumpfile
  pipeline(buffers, new DumpfileReader(), new SplitstreamSink(store))
  // @ts-expect-error bytes are no records
  pipeline(buffers, new TreeSink())
  // @ts-expect-error records are no bytes
  pipeline(buffers, new ArchiveReader(), bytesSink)
  // @ts-expect-error texts are not what a decoder takes
  pipeline(['text'], new TarDecoder(), new PaxParser(), new ContentSplitter(), new ObjectWriter(store), new TreeSink())
  // @ts-expect-error the end must be a sink
  pipeline(buffers, new TarDecoder())
})

test('fuse', () => {
  expectTypeOf(fuse(new TarDecoder(), new PaxParser(), new ContentSplitter())).toEqualTypeOf<
    Stage<Buffer, SplitRecord>
  >()
  expectTypeOf(fuse(new DigestVerifier(), new ArchiveReader())).toEqualTypeOf<Stage<Buffer, ArchiveRecord>>()
  const verify = () => new DigestVerifier()
  expectTypeOf(
    fuse(verify(), verify(), verify(), verify(), new TarDecoder(), new PaxParser(), new ContentSplitter()),
  ).toEqualTypeOf<Stage<Buffer, SplitRecord>>()
  // @ts-expect-error entries are wanted, tar records come
  fuse(verify(), verify(), verify(), verify(), new TarDecoder(), new ContentSplitter())
  // @ts-expect-error the wrong way round
  fuse(new PaxParser(), new TarDecoder())
  // @ts-expect-error one is not enough
  fuse(new PaxParser())
  // @ts-expect-error what takes I/O cannot be fused
  fuse(new ContentSplitter(), new ObjectWriter(store))
})

test('tee', () => {
  const both = tee(new SplitstreamSink(store), new TreeSink())
  expectTypeOf(both.result).toEqualTypeOf<Promise<[FinishedSplitstream, FileSystem]>>()
  const stages = [new TarDecoder(), new PaxParser(), new ContentSplitter(), new ObjectWriter(store)] as const
  expectTypeOf(pipeline(buffers, ...stages, both)).toEqualTypeOf<Promise<[FinishedSplitstream, FileSystem]>>()
  expectTypeOf(tee(new DumpfileWriter(), new TreeSink()).result).toEqualTypeOf<Promise<[undefined, FileSystem]>>()
  assertType<Writable>(both)
  // @ts-expect-error the branches must take what comes
  pipeline(buffers, new TarDecoder(), new PaxParser(), tee(new SplitstreamSink(store), new TreeSink()))
})
