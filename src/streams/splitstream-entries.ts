/**
 * Entries of a stored layer, read from its splitstream.
 *
 * @packageDocumentation
 */
import { printable } from '../bytes.ts'
import { ComposefsError, type ErrorCode } from '../errors.ts'
import type { ObjectId } from '../fsverity/object-id.ts'
import { PaxParserMachine } from './pax-parser.ts'
import {
  type Content,
  type Entry,
  type EntryRecord,
  inlineLimit,
  type StoredRecord,
  type TarRecord,
} from './records.ts'
import { Slab } from './slab.ts'
import type { SplitstreamChunk } from './splitstream-chunks.ts'
import { contentTypes, invalidSplitstream, type SplitstreamFile } from './splitstream-format.ts'
import { parseSplitstream, type Splitstream, type SplitstreamOptions } from './splitstream-reader.ts'
import { type Emit, type Machine, Stage } from './stage.ts'
import { TarDecoderMachine } from './tar-decoder.ts'
import type { PaxParserOptions } from './tar-options.ts'

/** An entry and its stored contents. */
export type StoredEntry = Extract<StoredRecord, { kind: 'entry' }>

/** What tar reading understands, and the size of the whole layer where it is known. */
export interface SplitstreamEntriesOptions extends PaxParserOptions {
  /** Bytes of the reassembled tar; anything else that comes is an error. */
  readonly streamSize?: number
}

const stage = 'SplitstreamEntries'
const none: Content = { type: 'none' }

/** The logic of {@link SplitstreamEntries}. Holds one small file at most. */
export class SplitstreamEntriesMachine implements Machine<SplitstreamChunk, StoredEntry> {
  readonly #tar: TarDecoderMachine
  readonly #pax: PaxParserMachine
  readonly #streamSize: number | undefined
  readonly #slab = new Slab()
  /** Bytes of the tar so far. */
  #position = 0
  #entry: Entry | undefined
  #body: Buffer | undefined
  #bodyLength = 0
  #external: ObjectId | undefined
  /** The last entry is a file that has no body, and nothing came after it. */
  #emptyFile: Entry | undefined
  #emit: Emit<StoredEntry> = () => {}

  /** @throws {@link ComposefsError} `ERR_ARGUMENT` for a limit that is none. */
  constructor(options: SplitstreamEntriesOptions = {}) {
    this.#tar = new TarDecoderMachine(options)
    this.#pax = new PaxParserMachine(options)
    this.#streamSize = options.streamSize
  }

  push(chunk: SplitstreamChunk, emit: Emit<StoredEntry>): void {
    this.#emit = emit
    if (chunk.kind === 'external') {
      this.#reference(chunk.id)
      return
    }
    this.#tar.push(chunk.bytes, this.#tarRecord)
    this.#position += chunk.bytes.length
  }

  finish(emit: Emit<StoredEntry>): void {
    this.#emit = emit
    this.#tar.finish(this.#tarRecord)
    this.#pax.finish()
    if (this.#streamSize === undefined || this.#streamSize === this.#position) return
    throw invalidSplitstream('a splitstream does not hold what it says', this.#position, {
      expected: this.#streamSize,
      actual: this.#position,
    })
  }

  readonly #tarRecord = (record: TarRecord): void => {
    if (record.kind !== 'end') this.#emptyFile = undefined
    this.#pax.push(record, this.#entryRecord)
  }

  readonly #entryRecord = (record: EntryRecord): void => {
    switch (record.kind) {
      case 'entry': {
        const { entry } = record
        this.#entry = entry
        this.#bodyLength = 0
        this.#external = undefined
        this.#body = entry.type === 'file' && entry.size <= inlineLimit ? this.#slab.take(entry.size) : undefined
        return
      }
      case 'data': {
        const entry = this.#entry!
        if (this.#body !== undefined) {
          this.#body.set(record.chunk, this.#bodyLength)
          this.#bodyLength += record.chunk.length
        } else if (entry.type === 'file') {
          throw ruleBroken('ERR_SPLITSTREAM_LARGE_INLINE', entry)
        }
        return
      }
      case 'end': {
        const entry = this.#entry!
        if (entry.type === 'file' && entry.size === 0) this.#emptyFile = entry
        this.#emit({ kind: 'entry', entry, content: this.#content(entry) })
        return
      }
    }
  }

  #content(entry: Entry): Content {
    if (this.#body !== undefined) return { type: 'inline', bytes: this.#body }
    // An old tar may mark a directory by its name only; a writer that did not see that has stored its body.
    if (entry.type !== 'file' || this.#external === undefined) return none
    return { type: 'external', id: this.#external, size: entry.size }
  }

  #reference(id: ObjectId): void {
    const entry = this.#entry
    if (this.#emptyFile !== undefined) throw ruleBroken('ERR_SPLITSTREAM_SMALL_EXTERNAL', this.#emptyFile)
    this.#external = id
    const size = this.#tar.skipBody(this.#tarRecord)
    if (size === -1) {
      throw invalidSplitstream('a splitstream refers to an object where no contents of a file begin', this.#position)
    }
    if (size <= inlineLimit) throw ruleBroken('ERR_SPLITSTREAM_SMALL_EXTERNAL', entry!)
    this.#position += size
  }
}

/**
 * Reads the entries of a layer from the chunks of its splitstream. A body that became an object is passed over; small
 * ones come with their entry, as a copy.
 *
 * Reading ends cleanly with or without end blocks; what follows them is passed over.
 *
 * Errors: those of TarDecoder and PaxParser, `ERR_SPLITSTREAM_SMALL_EXTERNAL` and `ERR_SPLITSTREAM_LARGE_INLINE` where
 * the limit of 64 bytes was not kept, `ERR_SPLITSTREAM_INVALID` for an object that is no file's body.
 *
 * @example
 * ```ts
 * import { createReadStream } from 'node:fs'
 * import { pipeline } from 'node:stream/promises'
 * import { DumpfileWriter, SplitstreamEntries, SplitstreamReader } from 'composefs-streams/streams'
 *
 * const layer = createReadStream('layer.splitstream')
 * await pipeline(layer, new SplitstreamReader(), new SplitstreamEntries(), new DumpfileWriter(), process.stdout)
 * ```
 */
export class SplitstreamEntries extends Stage<SplitstreamChunk, StoredEntry> {
  constructor(options: SplitstreamEntriesOptions = {}) {
    super(new SplitstreamEntriesMachine(options), { input: 'records', output: 'records' })
  }
}

/** Options of {@link readSplitstreamEntries}. The content type is that of a layer unless another is given. */
export type ReadEntriesOptions = SplitstreamOptions & PaxParserOptions

/**
 * The entries of a layer, synchronously: the quick way for a file that is in memory.
 *
 * @throws {@link ComposefsError} those of {@link parseSplitstream} and {@link SplitstreamEntries}, and
 * `ERR_SPLITSTREAM_INVALID` where the tar is not as long as the splitstream says.
 *
 * @example
 * ```ts
 * import { readFileSync } from 'node:fs'
 * import { readSplitstreamEntries } from 'composefs-streams/streams'
 *
 * for (const { entry, content } of readSplitstreamEntries(readFileSync('layer.splitstream'))) {
 *   if (content.type === 'external') content.id.path
 * }
 * ```
 */
export function* readSplitstreamEntries(
  file: SplitstreamFile | Splitstream,
  options: ReadEntriesOptions = {},
): Generator<StoredEntry, void, undefined> {
  let ready: StoredEntry[] = []
  const emit = (entry: StoredEntry): void => {
    ready.push(entry)
  }
  const layer = 'chunks' in file ? file : parseSplitstream(file, { contentType: contentTypes.layer, ...options })
  const machine = new SplitstreamEntriesMachine({ ...options, streamSize: layer.streamSize })
  for (const chunk of layer.chunks()) {
    machine.push(chunk, emit)
    if (ready.length === 0) continue
    yield* ready
    ready = []
  }
  machine.finish(emit)
  yield* ready
}

function ruleBroken(code: ErrorCode, entry: Entry): ComposefsError {
  const small = code === 'ERR_SPLITSTREAM_SMALL_EXTERNAL'
  const what = small ? 'a splitstream stores a small file as an object' : 'a splitstream stores a large file inline'
  return new ComposefsError(code, what, {
    stage,
    path: printable(entry.path),
    offset: entry.offset,
    expected: small ? 'more than 64 bytes' : 'at most 64 bytes',
    actual: entry.size,
    hint: 'it was not written by a current program; import the layer again',
  })
}
