/**
 * The end of a pipeline that makes a tree.
 *
 * @packageDocumentation
 */
import { Writable } from 'node:stream'
import { ComposefsError } from '../errors.ts'
import type { Sink } from '../streams/pipeline.ts'
import type { DumpRecord, StoredRecord } from '../streams/records.ts'
import { recordHighWaterMark } from '../streams/stage.ts'
import { TreeAssembler } from '../tree/assemble.ts'
import type { FileSystem } from '../tree/filesystem.ts'
import { LayerMerger, type MergeOptions } from '../tree/merge.ts'
import { type TransformOptions, transformForOci } from '../tree/transform.ts'
import { deferred } from './deferred.ts'

/** Options of {@link TreeSink}. */
export interface TreeSinkOptions extends MergeOptions {
  /** The layers below: this one is merged onto them. Its tree is the result. */
  readonly onto?: LayerMerger
  /** Apply the rules of OCI images (root, `/run`, xattrs) at the end; `true` for the defaults. Default: none. */
  readonly transform?: TransformOptions | true
}

/**
 * Builds a {@link FileSystem}: from the entries of a layer, or from the lines of a dumpfile. `inline` and `external`
 * records are passed over, so it takes what ObjectWriter gives.
 *
 * Errors: those of `LayerMerger`, `TreeAssembler` and `transformForOci`.
 *
 * @example
 * ```ts
 * import { createReadStream } from 'node:fs'
 * import { DumpfileReader, pipeline } from 'composefs-streams/streams'
 * import { TreeSink } from 'composefs-streams/sinks'
 *
 * const fileSystem = await pipeline(createReadStream('image.dump'), new DumpfileReader(), new TreeSink())
 * ```
 */
export class TreeSink extends Writable implements Sink<StoredRecord | DumpRecord, FileSystem> {
  declare readonly '~takes'?: ((input: StoredRecord | DumpRecord) => void) | undefined
  /** The tree, once everything was taken. */
  readonly result: Promise<FileSystem>
  readonly #deferred = deferred<FileSystem>()
  readonly #merger: LayerMerger
  readonly #transform: TransformOptions | undefined
  #assembler: TreeAssembler | undefined

  constructor(options: TreeSinkOptions = {}) {
    super({ objectMode: true, highWaterMark: recordHighWaterMark })
    this.result = this.#deferred.promise
    this.#merger = options.onto ?? new LayerMerger(options)
    this.#merger.beginLayer()
    this.#transform = options.transform === true ? {} : options.transform
  }

  override _write(
    record: StoredRecord | DumpRecord,
    _encoding: BufferEncoding,
    callback: (error?: Error | null) => void,
  ): void {
    try {
      this.#add(record)
    } catch (error) {
      callback(error as Error)
      return
    }
    callback()
  }

  override _final(callback: (error?: Error | null) => void): void {
    try {
      const fileSystem = this.#assembler?.finish() ?? this.#merger.fileSystem
      if (this.#transform !== undefined) transformForOci(fileSystem, this.#transform)
      this.#deferred.resolve(fileSystem)
    } catch (error) {
      callback(error as Error)
      return
    }
    callback()
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#deferred.abandon(error, 'TreeSink')
    callback(error)
  }

  #add(record: StoredRecord | DumpRecord): void {
    switch (record.kind) {
      case 'entry':
        this.#merger.add(record.entry, record.content)
        break
      case 'inode':
      case 'link':
        this.#assembler ??= new TreeAssembler()
        this.#assembler.add(record)
        break
      case 'inline':
      case 'external':
        break
      default: {
        const { kind } = record as { kind: unknown }
        throw new ComposefsError('ERR_STREAM_ORDER', `a tree cannot be made of a ${kind} record`, { stage: 'TreeSink' })
      }
    }
  }
}
