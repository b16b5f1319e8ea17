/**
 * Writes the dumpfile text format (spec: dumpfile, sections 7.2 and 7.3).
 *
 * @packageDocumentation
 */
import type { FileSystem, WalkItem } from '../tree/filesystem.ts'
import { dumpfileLine } from './dumpfile-format.ts'
import { homeItems } from './dumpfile-homes.ts'
import type { StoredRecord } from './records.ts'
import { type Emit, type Machine, Stage } from './stage.ts'

export { type DumpfileItem, dumpfileLine } from './dumpfile-format.ts'
export { homeItems } from './dumpfile-homes.ts'

/** Bytes of text that are collected before they are handed on. */
const batchSize = 64 * 1024

/**
 * The logic of {@link DumpfileWriter}: one line for each name of a tree and each `entry` of a layer; other records of a
 * layer are passed over.
 */
export class DumpfileWriterMachine implements Machine<WalkItem | StoredRecord, Buffer> {
  #text = ''

  push(item: WalkItem | StoredRecord, emit: Emit<Buffer>): void {
    if (item.kind === 'inline' || item.kind === 'external') return
    this.#text += `${dumpfileLine(item)}\n`
    if (this.#text.length >= batchSize) this.finish(emit)
  }

  finish(emit: Emit<Buffer>): void {
    if (this.#text === '') return
    const bytes = Buffer.from(this.#text, 'latin1')
    this.#text = ''
    emit(bytes)
  }
}

/**
 * Names of a tree (from `walk()` or {@link homeItems}), or the records of a layer, to the text of a dumpfile, in chunks of
 * 64 KiB and more. Prints what `cfsctl oci dump` and `cfsctl oci layer --dumpfile` print, except that modes are reduced
 * to their permission bits. Times before 1970 have negative seconds.
 *
 * Errors: `ERR_TAR_TYPE` for an entry whose type no dumpfile can express.
 *
 * @example
 * ```ts
 * import { Readable } from 'node:stream'
 * import { pipeline } from 'node:stream/promises'
 * import { DumpfileWriter } from 'composefs-streams/streams'
 * import { defaultDirectoryStat, FileSystem } from 'composefs-streams/tree'
 *
 * const fileSystem = new FileSystem(defaultDirectoryStat)
 * await pipeline(Readable.from(fileSystem.walk()), new DumpfileWriter(), process.stdout)
 * ```
 */
export class DumpfileWriter extends Stage<WalkItem | StoredRecord, Buffer> {
  constructor() {
    super(new DumpfileWriterMachine(), { input: 'records', output: 'bytes' })
  }
}

export interface DumpfileTextOptions {
  /**
   * Write a hardlinked inode at its first name, and nothing but links after it, as `cfsctl` wants it. Otherwise it stands
   * where the dumpfile it was read from had it, so that the image made from the text stays the same.
   *
   * @default false
   */
  firstNames?: boolean
}

/**
 * The whole dumpfile of a tree, depth first, siblings in the order of their bytes.
 *
 * @example
 * ```ts
 * import { dumpfileText, readDumpfile } from 'composefs-streams/streams'
 *
 * dumpfileText(readDumpfile(Buffer.from('/ 4096 40755 2 0 0 0 0.0 - - -\n'))).toString('latin1') // '/ 0 40755 …'
 * ```
 */
export function dumpfileText(fileSystem: FileSystem, options: DumpfileTextOptions = {}): Buffer {
  const { firstNames = false } = options
  return Buffer.concat([...dumpfileChunks(firstNames ? fileSystem.walk() : homeItems(fileSystem))])
}

/** The text of a dumpfile in chunks of 64 KiB and more, so that nobody has to hold all of it. */
export function* dumpfileChunks(items: Iterable<WalkItem | StoredRecord>): Generator<Buffer, void, undefined> {
  let ready: Buffer[] = []
  const emit = (chunk: Buffer) => {
    ready.push(chunk)
  }
  const machine = new DumpfileWriterMachine()
  for (const item of items) {
    machine.push(item, emit)
    if (ready.length === 0) continue
    yield* ready
    ready = []
  }
  machine.finish(emit)
  yield* ready
}
