/**
 * Reads the dumpfile text format (spec: dumpfile).
 *
 * @packageDocumentation
 */
import { ComposefsError } from '../errors.ts'
import { type DumpRecord, TreeAssembler } from '../tree/assemble.ts'
import type { FileSystem } from '../tree/filesystem.ts'
import { DumpfileLineParser } from './dumpfile-line.ts'
import { type Emit, type Machine, Stage } from './stage.ts'

export interface DumpfileReaderOptions {
  /**
   * Refuse what the C tool refuses when `CFS_PARSE_STRICT` is set: a last line without newline, a device number on what
   * is no device, and a symlink with content or with a size that is not its target's length.
   *
   * @default false
   */
  strict?: boolean
  /**
   * Longest line, in bytes.
   *
   * @default 16 MiB
   */
  maxLineLength?: number
}

const defaultMaxLineLength = 16 * 1024 * 1024
/**
 * How much text is decoded at once. Large inputs may come in one chunk, and a string of more than about a million bytes
 * lies outside the heap, where walking through it takes ten times as long.
 */
const stepSize = 256 * 1024
const newline = 10
const backslash = /\\/g

/**
 * Where the next backslash is; Infinity where there is none. No `indexOf`: of that the compiler knows that it has no
 * effect, and moves it in front of the condition it depends on; then each line would search all the text behind it.
 */
function findBackslash(text: string, from: number): number {
  backslash.lastIndex = from
  return backslash.test(text) ? backslash.lastIndex - 1 : Number.POSITIVE_INFINITY
}

/**
 * The logic of {@link DumpfileReader}. Lines may be cut anywhere; nothing of a chunk is kept as a view.
 *
 * What C and Rust tools disagree about is read as the C tool reads it. Refused though it takes them: numbers that are
 * not plain digits or do not fit their field, NUL in paths, payloads and names of xattrs, digests that are not 64 or 128
 * hex digits (where one counts, a missing one too), hardlinks without target, and lines that end in a carriage return.
 * Nanoseconds of a second and more pass. Sizes above 2^53 of what has no size become 2^53.
 */
export class DumpfileReaderMachine implements Machine<Buffer, DumpRecord> {
  readonly #strict: boolean
  readonly #maxLineLength: number
  readonly #parser: DumpfileLineParser
  /** The beginning of a line whose end has not come yet. */
  #parts: string[] = []
  #partsLength = 0
  #line = 0

  constructor(options: DumpfileReaderOptions = {}) {
    this.#strict = options.strict ?? false
    this.#maxLineLength = options.maxLineLength ?? defaultMaxLineLength
    this.#parser = new DumpfileLineParser(this.#strict)
  }

  push(chunk: Buffer, emit: Emit<DumpRecord>): void {
    for (let at = 0; at < chunk.length; at += stepSize) this.#step(chunk.subarray(at, at + stepSize), emit)
  }

  finish(emit: Emit<DumpRecord>): void {
    if (this.#partsLength === 0) return
    if (this.#strict) {
      throw new ComposefsError('ERR_DUMPFILE_SYNTAX', `line ${this.#line + 1}: the last line has no newline`, {
        hint: 'the dumpfile may be incomplete; without strict it is taken as it is',
      })
    }
    this.#readLines(`${this.#takeParts()}\n`, emit)
  }

  /** Decodes what it needs piece by piece: parts of longer strings are several times slower to walk through. */
  #step(chunk: Buffer, emit: Emit<DumpRecord>): void {
    const end = chunk.lastIndexOf(newline) + 1
    let start = 0
    if (this.#partsLength > 0 && end > 0) {
      start = chunk.indexOf(newline) + 1
      this.#keep(chunk.toString('latin1', 0, start))
      this.#readLines(this.#takeParts(), emit)
    }
    if (start < end) this.#readLines(chunk.toString('latin1', start, end), emit)
    if (end < chunk.length) this.#keep(chunk.toString('latin1', end))
  }

  /** Reads whole lines, the last one with its newline as well. */
  #readLines(text: string, emit: Emit<DumpRecord>): void {
    if (text.includes('\0')) throw this.#nul(text)
    let slash = findBackslash(text, 0)
    let start = 0
    let end = text.indexOf('\n')
    while (end !== -1) {
      this.#line++
      if (end - start > this.#maxLineLength) throw this.#tooLong()
      if (slash < start) slash = findBackslash(text, start)
      emit(this.#parser.parse(text, start, end, this.#line, slash < end))
      start = end + 1
      end = text.indexOf('\n', start)
    }
  }

  #keep(text: string): void {
    this.#parts.push(text)
    this.#partsLength += text.length
    if (this.#partsLength > this.#maxLineLength + 1) {
      this.#line++
      throw this.#tooLong()
    }
  }

  #takeParts(): string {
    const text = this.#parts.join('')
    this.#parts = []
    this.#partsLength = 0
    return text
  }

  #nul(text: string): ComposefsError {
    const at = text.indexOf('\0')
    const line = this.#line + text.slice(0, at).split('\n').length
    const column = at - text.lastIndexOf('\n', at)
    return new ComposefsError('ERR_DUMPFILE_SYNTAX', `line ${line}: NUL byte at column ${column}`, {
      hint: 'a dumpfile is text; in contents and values of xattrs NUL is written \\x00',
    })
  }

  #tooLong(): ComposefsError {
    return new ComposefsError('ERR_LIMIT', `line ${this.#line} is longer than ${this.#maxLineLength} bytes`, {
      hint: 'raise maxLineLength if this is a dumpfile',
    })
  }
}

/**
 * Bytes of a dumpfile to {@link DumpRecord}s, one a line, in the order of the lines.
 *
 * Errors: `ERR_DUMPFILE_SYNTAX`, `ERR_DUMPFILE_VALUE`, `ERR_PATH_INVALID`, `ERR_SYMLINK_TARGET`, `ERR_HARDLINK_TARGET`,
 * `ERR_DIGEST_SYNTAX`, `ERR_LIMIT`, each with the number of the line and its path.
 *
 * @example
 * ```ts
 * import { createReadStream } from 'node:fs'
 * import { DumpfileReader } from 'composefs-streams/streams'
 *
 * for await (const record of createReadStream('root.dump').pipe(new DumpfileReader())) console.log(record.path)
 * ```
 */
export class DumpfileReader extends Stage<Buffer, DumpRecord> {
  constructor(options: DumpfileReaderOptions = {}) {
    super(new DumpfileReaderMachine(options), { input: 'bytes', output: 'records' })
  }
}

/**
 * The tree that a whole dumpfile describes.
 *
 * @throws {@link ComposefsError} what {@link DumpfileReader} and {@link TreeAssembler} throw.
 *
 * @example
 * ```ts
 * import { readDumpfile } from 'composefs-streams/streams'
 *
 * const fileSystem = readDumpfile(Buffer.from('/ 0 40755 2 0 0 0 0.0 - - -\n'))
 * ```
 */
export function readDumpfile(text: Buffer, options: DumpfileReaderOptions = {}): FileSystem {
  const { push, finish } = treeReader(options)
  push(text)
  return finish()
}

/**
 * {@link readDumpfile} for a text that comes in pieces: what a pipeline of DumpfileReader and TreeSink does, without the
 * hop of every record from one stream to the next.
 *
 * @throws {@link ComposefsError} as {@link readDumpfile} does, and whatever the source throws.
 *
 * @example
 * ```ts
 * import { createReadStream } from 'node:fs'
 * import { readDumpfileFrom } from 'composefs-streams/streams'
 *
 * const fileSystem = await readDumpfileFrom(createReadStream('root.dump'))
 * ```
 */
export async function readDumpfileFrom(
  source: AsyncIterable<Buffer>,
  options: DumpfileReaderOptions = {},
): Promise<FileSystem> {
  const { push, finish } = treeReader(options)
  for await (const chunk of source) push(chunk)
  return finish()
}

function treeReader(options: DumpfileReaderOptions) {
  const machine = new DumpfileReaderMachine(options)
  const assembler = new TreeAssembler()
  const emit = (record: DumpRecord) => assembler.add(record)
  return {
    push: (chunk: Buffer) => machine.push(chunk, emit),
    finish: () => {
      machine.finish(emit)
      return assembler.finish()
    },
  }
}
