/**
 * The members of an image archive, in one pass (spec: clients).
 *
 * @packageDocumentation
 */
import { type ByteString, fromLatin1, printable } from '../bytes.ts'
import { ComposefsError } from '../errors.ts'
import { components } from '../tree/path.ts'
import { type Compression, detectCompression } from './compression.ts'
import { PaxParserMachine } from './pax-parser.ts'
import type { Data, Entry, EntryRecord } from './records.ts'
import { type Emit, type Machine, Stage } from './stage.ts'
import { TarDecoderMachine } from './tar-decoder.ts'
import { blockSize, hasValidChecksum, isZeroBlock } from './tar-header.ts'
import { beginsWithText, describeStart, tellingSize } from './tar-hint.ts'

/**
 * What a member's first bytes say it is: `json` (small enough to be kept), `layer` (a tar, possibly compressed or
 * empty) or `blob` (anything else). Whether it really is one, only the manifest tells, which may come last.
 */
export type MemberKind = 'json' | 'layer' | 'blob'

/** ArchiveReader's output: a member, its bytes, its end; or a link from one member's name to another's. */
export type ArchiveRecord =
  | {
      readonly kind: 'member'
      /** Normalised: no leading `./` or slash. */
      readonly name: ByteString
      readonly size: number
      readonly content: MemberKind
      readonly compression: Compression
    }
  | { readonly kind: 'link'; readonly name: ByteString; readonly target: ByteString }
  | Data
  | { readonly kind: 'end' }

/** Options of {@link ArchiveReader}. */
export interface ArchiveReaderOptions {
  /** Largest member that counts as JSON, in bytes. Default 8 MiB. */
  readonly maxJson?: number
  /** Most members, without directories. Default 32,768. */
  readonly maxMembers?: number
}

const defaultMaxJson = 8 * 1024 * 1024
const defaultMaxMembers = 32 * 1024
/** An object or array; null is what tools write that found no image. */
const beginsJson = /^(?:\xef\xbb\xbf)?\s*(?:[{[]|null\s*$)/
const progressTexts = ['Getting image source', 'Copying blob', 'Copying config', 'Writing manifest', 'Trying to pull']

/** The logic of {@link ArchiveReader}. */
export class ArchiveReaderMachine implements Machine<Buffer, ArchiveRecord> {
  readonly #maxJson: number
  readonly #maxMembers: number
  #members = 0
  readonly #tar = new TarDecoderMachine()
  readonly #pax = new PaxParserMachine()
  /** The input until it is known to be a tar. */
  #start: Buffer | undefined = Buffer.alloc(0)
  /** A member whose first bytes are being gathered. */
  #member: { entry: Entry; name: ByteString; head: Buffer[]; length: number } | undefined
  #inMember = false

  constructor(options: ArchiveReaderOptions = {}) {
    this.#maxJson = options.maxJson ?? defaultMaxJson
    this.#maxMembers = options.maxMembers ?? defaultMaxMembers
  }

  push(input: Buffer, emit: Emit<ArchiveRecord>): void {
    let chunk = input
    if (this.#start !== undefined) {
      this.#start = Buffer.concat([this.#start, chunk])
      chunk = this.#start
      // What begins with zeros is no archive, and tells what it is only later.
      if (
        chunk.length <
        (chunk.length >= blockSize && isZeroBlock(chunk.subarray(0, blockSize)) ? tellingSize : blockSize)
      )
        return
      this.#check(chunk)
      this.#start = undefined
    }
    this.#tar.push(chunk, (record) => this.#pax.push(record, (entry) => this.#take(entry, emit)))
  }

  finish(emit: Emit<ArchiveRecord>): void {
    if (this.#start !== undefined) this.#check(this.#start)
    const take = (entry: EntryRecord): void => this.#take(entry, emit)
    this.#tar.finish((record) => this.#pax.push(record, take))
    this.#pax.finish()
  }

  /** Says what it is, and what to type instead, where the input is something else. */
  #check(start: Buffer): void {
    const block = start.subarray(0, blockSize)
    const isZero = block.length === blockSize && isZeroBlock(block)
    if (block.length === blockSize && !isZero && hasValidChecksum(block)) return
    const text = start.toString('latin1', 0, blockSize)
    if (progressTexts.some((line) => text.startsWith(line))) {
      throw new ComposefsError('ERR_ARCHIVE_PROGRESS_TEXT', 'progress text is mixed into the archive', {
        offset: 0,
        hint: 'use: skopeo copy -q … docker-archive:/dev/stdout',
      })
    }
    if (start.length === 0) {
      throw new ComposefsError('ERR_ARCHIVE_UNKNOWN', 'the input is empty', {
        hint: 'the program before the pipe may have failed; its own message says why',
      })
    }
    const known =
      describeStart(start) ?? (isZero ? 'nothing but zeros at its beginning: empty, or a disk image' : undefined)
    const what = known === undefined ? '' : `: it is ${known}`
    // A message of the program before the pipe is what helps most.
    const said = known === undefined && beginsWithText(start) ? ` (it begins with ${firstLine(start)})` : ''
    throw new ComposefsError('ERR_ARCHIVE_UNKNOWN', `the input is no docker-archive or oci-archive${what}${said}`, {
      hint: 'make one with: skopeo copy -q docker://IMAGE docker-archive:/dev/stdout',
    })
  }

  #take(record: EntryRecord, emit: Emit<ArchiveRecord>): void {
    switch (record.kind) {
      case 'entry':
        this.#begin(record.entry, emit)
        break
      case 'data':
        this.#data(record, emit)
        break
      case 'end':
        if (this.#member !== undefined) this.#decide(emit)
        if (this.#inMember) emit({ kind: 'end' })
        this.#inMember = false
        break
      default:
    }
  }

  #begin(entry: Entry, emit: Emit<ArchiveRecord>): void {
    const name = fromLatin1(components(entry.path).join('/'))
    const isLink = entry.type === 'symlink' || entry.type === 'hardlink'
    if ((isLink || entry.type === 'file') && ++this.#members > this.#maxMembers) {
      throw new ComposefsError('ERR_LIMIT', `the archive has more than ${this.#maxMembers} members`, {
        offset: entry.offset,
        hint: 'the tar of a layer is imported with --layer DIFFID; for a large archive raise maxMembers (--max-members)',
      })
    }
    if (entry.type === 'file') this.#member = { entry, name, head: [], length: 0 }
    if (!isLink) return
    // A hardlink's target is a path in the archive, a symlink's is relative to its directory.
    const base = entry.type === 'symlink' ? name.split('/').slice(0, -1) : []
    emit({ kind: 'link', name, target: resolve(base, entry.linkTarget, entry) })
  }

  #data(record: Data, emit: Emit<ArchiveRecord>): void {
    const member = this.#member
    if (member === undefined) {
      if (this.#inMember) emit(record)
      return
    }
    const wanted = Math.min(member.entry.size, blockSize)
    // What comes before a decision is short, and outlives its chunk.
    if (member.length + record.chunk.length < wanted) {
      member.head.push(Buffer.from(record.chunk))
      member.length += record.chunk.length
      return
    }
    member.head.push(record.chunk)
    this.#decide(emit)
  }

  #decide(emit: Emit<ArchiveRecord>): void {
    const { entry, name, head } = this.#member!
    this.#member = undefined
    this.#inMember = true
    const bytes = head.length === 1 ? head[0]! : Buffer.concat(head)
    emit({ kind: 'member', name, size: entry.size, ...this.#kindOf(bytes, entry.size) })
    if (bytes.length > 0) emit({ kind: 'data', chunk: bytes })
  }

  #kindOf(head: Buffer, size: number): { content: MemberKind; compression: Compression } {
    const block = head.subarray(0, blockSize)
    // First of all: the name of a tar's first entry may begin like anything else.
    const tar = size === 0 || (block.length === blockSize && (hasValidChecksum(block) || isZeroBlock(block)))
    if (tar) return { content: 'layer', compression: 'none' }
    const compression = detectCompression(head, true) ?? 'none'
    if (compression !== 'none') return { content: 'layer', compression }
    const json = size <= this.#maxJson && beginsJson.test(block.toString('latin1'))
    return { content: json ? 'json' : 'blob', compression }
  }
}

/**
 * Takes a docker-archive or oci-archive apart: uncompressed bytes in, members and their bytes out, whatever their order.
 *
 * Errors: `ERR_ARCHIVE_PROGRESS_TEXT` and `ERR_ARCHIVE_UNKNOWN` for input that is none, `ERR_LIMIT`, and those of
 * TarDecoder and PaxParser.
 *
 * @example
 * ```ts
 * import { ArchiveReader, Decompressor } from 'composefs-streams/streams'
 * import { pipeline } from 'node:stream'
 *
 * const archive = pipeline(process.stdin, new Decompressor(), new ArchiveReader(), () => {})
 * for await (const record of archive) if (record.kind === 'member') console.log(record.name, record.content)
 * ```
 */
export class ArchiveReader extends Stage<Buffer, ArchiveRecord> {
  constructor(options: ArchiveReaderOptions = {}) {
    super(new ArchiveReaderMachine(options), { input: 'bytes', output: 'records' })
  }
}

function resolve(base: readonly string[], target: ByteString, entry: Entry): ByteString {
  const parts = target.startsWith('/') ? [] : [...base]
  for (const part of target.split('/')) {
    if (part === '' || part === '.') continue
    if (part !== '..') parts.push(part)
    else if (parts.pop() === undefined) {
      throw new ComposefsError('ERR_PATH_INVALID', 'a link of the archive leads outside', {
        path: printable(entry.path),
      })
    }
  }
  return fromLatin1(parts.join('/'))
}

function firstLine(start: Buffer): string {
  const line = start
    .toString('latin1', 0, 120)
    .trimStart()
    .split(/[\r\n]/)[0]!
  return `"${printable(fromLatin1(line))}${line.length === 120 ? '…' : ''}"`
}
