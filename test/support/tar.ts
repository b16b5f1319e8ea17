import { ContentSplitterMachine } from '../../src/streams/content-splitter.ts'
import { PaxParserMachine } from '../../src/streams/pax-parser.ts'
import type { EntryRecord, SplitRecord, TarRecord } from '../../src/streams/records.ts'
import type { Emit, Machine } from '../../src/streams/stage.ts'
import { TarDecoderMachine } from '../../src/streams/tar-decoder.ts'
import type { PaxParserOptions } from '../../src/streams/tar-options.ts'

/** A number as octal text with its NUL, or a field byte for byte. Texts are latin1 everywhere here. */
type Field = number | string | Buffer

export interface OddHeader {
  name?: string
  /** One character. */
  type?: string
  mode?: Field
  uid?: Field
  gid?: Field
  size?: Field
  mtime?: Field
  linkName?: string
  /** Magic and version, 8 bytes. */
  magic?: string
  prefix?: string
  major?: Field
  minor?: Field
  /** The last four bytes. */
  trailer?: string
  /** The checksum as a field of its own, or how to sum. */
  checksum?: 'unsigned' | 'signed' | Buffer
}

export const magics = { ustar: 'ustar\x0000', gnu: 'ustar  \0', v7: '\0\0\0\0\0\0\0\0' }

/** A header block with anything in its fields: not made by the code under test. */
export function header(fields: OddHeader): Buffer {
  const block = Buffer.alloc(512)
  const put = (value: Field, start: number, length: number) => {
    const bytes = typeof value === 'number' ? value.toString(8).padStart(length - 1, '0') : value
    Buffer.from(bytes as string, 'latin1').copy(block, start, 0, length)
  }
  put(fields.name ?? 'f', 0, 100)
  put(fields.mode ?? 0o644, 100, 8)
  put(fields.uid ?? 0, 108, 8)
  put(fields.gid ?? 0, 116, 8)
  put(fields.size ?? 0, 124, 12)
  put(fields.mtime ?? 0, 136, 12)
  put('        ', 148, 8)
  put(fields.type ?? '0', 156, 1)
  put(fields.linkName ?? '', 157, 100)
  put(fields.magic ?? magics.ustar, 257, 8)
  put(fields.major ?? '', 329, 8)
  put(fields.minor ?? '', 337, 8)
  put(fields.prefix ?? '', 345, 155)
  put(fields.trailer ?? '', 508, 4)
  const { checksum = 'unsigned' } = fields
  let sum = 0
  for (const byte of block) sum += checksum === 'signed' && byte > 127 ? byte - 256 : byte
  put(Buffer.isBuffer(checksum) ? checksum : `${sum.toString(8).padStart(6, '0')}\0 `, 148, 8)
  return block
}

/** The bytes, filled with zeros to whole blocks. */
export function padded(body: Buffer | string): Buffer {
  const bytes = Buffer.from(body as string, 'latin1')
  return Buffer.concat([bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)])
}

/** Header and body; the size is that of the body unless the fields say otherwise. */
export function entry(fields: OddHeader, body: Buffer | string = ''): Buffer {
  return Buffer.concat([header({ size: Buffer.from(body as string, 'latin1').length, ...fields }), padded(body)])
}

/** `LENGTH KEY=VALUE\n` */
export function paxRecord(key: string, value: Buffer | string): Buffer {
  const rest = Buffer.concat([
    Buffer.from(` ${key}=`, 'latin1'),
    Buffer.from(value as string, 'latin1'),
    Buffer.from('\n'),
  ])
  let digits = 1
  while (String(rest.length + digits).length !== digits) digits++
  return Buffer.concat([Buffer.from(String(rest.length + digits)), rest])
}

/** A local PAX header with these records, a body byte for byte, or a global one with `type: 'g'`. */
export function pax(records: Record<string, Buffer | string> | Buffer, fields: OddHeader = {}): Buffer {
  const body = Buffer.isBuffer(records)
    ? records
    : Buffer.concat(Object.entries(records).map(([key, value]) => paxRecord(key, value)))
  return entry({ name: 'PaxHeaders/f', type: 'x', ...fields }, body)
}

/** A GNU long name (`L`) or link target (`K`). */
export function gnuLong(type: 'L' | 'K', text: string): Buffer {
  return entry({ name: '././@LongLink', type, magic: magics.gnu }, text)
}

export const endBlocks: Buffer = Buffer.alloc(1024)

/** An archive of these parts and the end blocks. */
export function tar(...parts: Buffer[]): Buffer {
  return Buffer.concat([...parts, endBlocks])
}

/** Feeds a machine by hand. */
export function run<In, Out>(machine: Machine<In, Out>, inputs: Iterable<In>): Out[] {
  const outputs: Out[] = []
  feed(machine, inputs, (output) => outputs.push(output))
  return outputs
}

export function feed<In, Out>(machine: Machine<In, Out>, inputs: Iterable<In>, emit: Emit<Out>): void {
  for (const input of inputs) machine.push(input, emit)
  machine.finish(emit)
}

/** Two machines, one behind the other. */
export function join<A, B, C>(first: Machine<A, B>, second: Machine<B, C>): Machine<A, C> {
  return {
    push: (input, emit) => first.push(input, (record) => second.push(record, emit)),
    finish: (emit) => {
      first.finish((record) => second.push(record, emit))
      second.finish(emit)
    },
  }
}

export function entryMachine(options?: PaxParserOptions): Machine<Buffer, EntryRecord> {
  return join(new TarDecoderMachine(options), new PaxParserMachine(options))
}

export function splitMachine(options?: PaxParserOptions): Machine<Buffer, SplitRecord> {
  return join(entryMachine(options), new ContentSplitterMachine())
}

type AnyRecord = TarRecord | EntryRecord | SplitRecord

/** The records with runs of data, inline and trailer bytes joined, so that chunking does not show; copies all bytes. */
class Joined<R extends AnyRecord> {
  readonly #records: R[] = []
  /** The bytes of the run that the last record is. */
  #run: Buffer[] = []

  readonly add = (record: R): void => {
    const copy = copied(record)
    const bytes = runBytes(copy)
    if (bytes === undefined || this.#records.at(-1)?.kind !== copy.kind) {
      this.#close()
      this.#records.push(copy)
    }
    if (bytes !== undefined) this.#run.push(bytes)
  }

  records(): R[] {
    this.#close()
    return this.#records
  }

  #close(): void {
    const last = this.#records.pop()
    if (last === undefined) return
    const bytes = Buffer.concat(this.#run)
    this.#records.push(this.#run.length < 2 ? last : 'chunk' in last ? { ...last, chunk: bytes } : { ...last, bytes })
    this.#run = []
  }
}

function runBytes(record: AnyRecord): Buffer | undefined {
  return 'chunk' in record ? record.chunk : 'bytes' in record ? record.bytes : undefined
}

function copied<R extends AnyRecord>(record: R): R {
  const copy: { [key: string]: unknown } = { ...record }
  for (const [key, value] of Object.entries(copy)) {
    if (Buffer.isBuffer(value)) copy[key] = Buffer.from(value)
    // How the headers of an entry are cut into buffers is free; what they hold is not.
    else if (Array.isArray(value)) copy[key] = [Buffer.concat(value)]
  }
  return copy as unknown as R
}

/** All records of the bytes, joined. */
export function joined<In, R extends AnyRecord>(machine: Machine<In, R>, inputs: Iterable<In>): R[] {
  const all = new Joined<R>()
  feed(machine, inputs, all.add)
  return all.records()
}

/** The bytes that records stand for, in order. */
export function bytesOfRecords(records: Iterable<AnyRecord>): Buffer {
  const parts: Buffer[] = []
  for (const record of records) {
    if (record.kind === 'header') parts.push(record.block)
    else if (record.kind === 'data' || record.kind === 'external-data') parts.push(record.chunk)
    else if (record.kind === 'end') parts.push(record.padding)
    else if (record.kind === 'trailer' || record.kind === 'inline') parts.push(record.bytes)
    else if (record.kind === 'entry' && 'raw' in record) parts.push(...record.raw)
  }
  return Buffer.concat(parts)
}
