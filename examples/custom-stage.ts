/**
 * A stage of one's own between those of this package: /usr/share/doc is left out of the image.
 *
 *   node build/examples/custom-stage.js < layer.tar > image.cfs
 */
import { pipeline as nodePipeline } from 'node:stream/promises'
import { imageStream } from 'composefs-streams/erofs'
import { ObjectDirectory } from 'composefs-streams/repository'
import { TreeSink } from 'composefs-streams/sinks'
import {
  ContentSplitter,
  Decompressor,
  type Emit,
  type EntryRecord,
  type Machine,
  ObjectWriter,
  PaxParser,
  pipeline,
  Stage,
  TarDecoder,
} from 'composefs-streams/streams'
import { components } from 'composefs-streams/tree'

const unwanted = 'usr/share/doc/'

/** The logic: what it emits goes on, what it does not emit is gone. */
class Dropper implements Machine<EntryRecord, EntryRecord> {
  #dropping = false

  push(record: EntryRecord, emit: Emit<EntryRecord>): void {
    if (record.kind === 'entry') this.#dropping = `${components(record.entry.path).join('/')}/`.startsWith(unwanted)
    if (!this.#dropping || record.kind === 'trailer') emit(record)
  }

  finish(): void {}
}

/** The stage around it. */
class DropDocumentation extends Stage<EntryRecord, EntryRecord> {
  constructor() {
    super(new Dropper(), { input: 'records', output: 'records' })
  }
}

const fileSystem = await pipeline(
  process.stdin,
  new Decompressor(),
  new TarDecoder(),
  new PaxParser(),
  new DropDocumentation(),
  new ContentSplitter(),
  new ObjectWriter(new ObjectDirectory(process.argv[2] ?? './objects', 'sha256')),
  new TreeSink(),
)
await nodePipeline(imageStream(fileSystem), process.stdout)
