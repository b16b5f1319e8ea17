/**
 * Which bytes stay in the stream, and which become objects.
 *
 * @packageDocumentation
 */
import { ComposefsError } from '../errors.ts'
import { type Entry, type EntryRecord, inlineLimit, type SplitRecord } from './records.ts'
import { Slab } from './slab.ts'
import { type Emit, type Machine, Stage } from './stage.ts'

/** What ContentSplitter can be told. */
export interface ContentSplitterOptions {
  /**
   * Files of at most this many bytes stay inline; they are held in memory. Default 64, and other programs refuse
   * splitstreams that were written with anything else.
   */
  readonly inlineLimit?: number
}

/** The logic of {@link ContentSplitter}. Holds one small file at most. */
export class ContentSplitterMachine implements Machine<EntryRecord, SplitRecord> {
  readonly #inlineLimit: number
  readonly #slab = new Slab()
  #entry: Entry | undefined
  #external = false
  /** The contents of a small file. */
  #body: Buffer | undefined
  #bodyLength = 0

  /** @throws {@link ComposefsError} `ERR_ARGUMENT` unless the limit is a whole number from 0 to 1 MiB. */
  constructor(options: ContentSplitterOptions = {}) {
    this.#inlineLimit = options.inlineLimit ?? inlineLimit
    if (!Number.isInteger(this.#inlineLimit) || this.#inlineLimit < 0 || this.#inlineLimit > 1024 * 1024) {
      throw new ComposefsError('ERR_ARGUMENT', `inlineLimit must be from 0 to 1048576, not ${this.#inlineLimit}`)
    }
  }

  push(record: EntryRecord, emit: Emit<SplitRecord>): void {
    switch (record.kind) {
      case 'entry': {
        const { entry, raw } = record
        if (this.#entry !== undefined) throw outOfOrder('entry')
        for (const bytes of raw) emit({ kind: 'inline', bytes })
        const isFile = entry.type === 'file'
        this.#entry = entry
        this.#bodyLength = 0
        this.#external = isFile && entry.size > this.#inlineLimit
        this.#body = isFile && !this.#external ? this.#slab.take(entry.size) : undefined
        if (this.#external) emit({ kind: 'external-open', size: entry.size })
        return
      }
      case 'data': {
        const { chunk } = record
        if (this.#entry === undefined || chunk.length > this.#entry.size - this.#bodyLength) throw outOfOrder('data')
        this.#body?.set(chunk, this.#bodyLength)
        this.#bodyLength += chunk.length
        emit(this.#external ? { kind: 'external-data', chunk } : { kind: 'inline', bytes: chunk })
        return
      }
      case 'end': {
        const entry = this.#entry
        if (entry === undefined || this.#bodyLength < entry.size) throw outOfOrder('end')
        if (this.#external) emit({ kind: 'external-close' })
        if (record.padding.length > 0) emit({ kind: 'inline', bytes: record.padding })
        emit({ kind: 'entry', entry, body: this.#body })
        this.#entry = undefined
        this.#body = undefined
        return
      }
      case 'trailer':
        if (this.#entry !== undefined) throw outOfOrder('trailer')
        emit({ kind: 'inline', bytes: record.bytes })
        return
    }
  }

  finish(): void {
    if (this.#entry !== undefined) throw outOfOrder('end of input')
  }
}

/**
 * Separates the contents of larger files (`external-…` records, exactly `size` bytes) from everything else (`inline`):
 * headers, padding, small files, and whatever other types have for a body (spec: tar-layer, section 1).
 *
 * The order of the records is that of {@link SplitRecord}: an `entry` comes after its bytes. Its `body` is a copy of a
 * small file's contents and may be kept; all other bytes are views of the input.
 *
 * Errors: `ERR_STREAM_ORDER` for a body that is not as long as its entry says.
 *
 * @example
 * ```ts
 * import { createReadStream } from 'node:fs'
 * import { pipeline } from 'node:stream'
 * import { ContentSplitter, PaxParser, TarDecoder } from 'composefs-streams/streams'
 *
 * const layer = createReadStream('layer.tar')
 * pipeline(layer, new TarDecoder(), new PaxParser(), new ContentSplitter(), () => {})
 * ```
 */
export class ContentSplitter extends Stage<EntryRecord, SplitRecord> {
  constructor(options: ContentSplitterOptions = {}) {
    super(new ContentSplitterMachine(options), { input: 'records', output: 'records' })
  }
}

function outOfOrder(kind: string): ComposefsError {
  return new ComposefsError('ERR_STREAM_ORDER', `${kind} came too early, or more bytes than the entry's size`, {
    stage: 'ContentSplitter',
    hint: 'each entry is followed by data records of its size in sum, and one end record',
  })
}
