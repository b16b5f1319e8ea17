import { fsverityDigest } from '../../src/fsverity/merkle.ts'
import { type Algorithm, digestSize, ObjectId } from '../../src/fsverity/object-id.ts'
import type { Content, SplitRecord, StoredRecord } from '../../src/streams/records.ts'
import type { SplitstreamChunk } from '../../src/streams/splitstream-chunks.ts'
import { contentTypes } from '../../src/streams/splitstream-format.ts'
import { SplitstreamWriterMachine, type SplitstreamWriterOptions } from '../../src/streams/splitstream-writer.ts'

/** Ids that are no digest of anything. */
export function id(n: number, algorithm: Algorithm = 'sha256'): ObjectId {
  return ObjectId.fromBytes(Buffer.alloc(digestSize[algorithm], n))
}

/** The count in front of a chunk. */
export function word(count: bigint | number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigInt64LE(BigInt(count))
  return bytes
}

/** An inline chunk. */
export function inline(bytes: Buffer | string): Buffer {
  const body = Buffer.from(bytes as string, 'latin1')
  return Buffer.concat([word(-body.length), body])
}

/** Raw blocks; not made by the code under test. */
export function rawFrame(bytes: Buffer): Buffer {
  const parts: Buffer[] = [Buffer.from('28b52ffd0058', 'hex')]
  for (let at = 0; at === 0 || at < bytes.length; at += 0x20000) {
    const body = bytes.subarray(at, at + 0x20000)
    const header = Buffer.alloc(3)
    header.writeUIntLE((body.length << 3) | (at + 0x20000 >= bytes.length ? 1 : 0), 0, 3)
    parts.push(header, body)
  }
  return Buffer.concat(parts)
}

export interface OddSplitstream {
  algorithm?: Algorithm
  contentType?: bigint
  streamSize?: number | bigint
  streamRefs?: readonly ObjectId[]
  objectRefs?: readonly ObjectId[]
  names?: Buffer | string
  /** Unpacked. */
  stream?: Buffer
  /** As it stands in the file. */
  packedNames?: Buffer
  packedStream?: Buffer
  /** Writes the header as it was until March 2026. */
  oldHeader?: boolean
  /** Puts the sections in reverse order, with gaps, and bytes after the last. */
  scattered?: boolean
}

/** A splitstream file with anything in it. Its stated size is that of its inline chunks, if they can be summed up. */
export function odd(fields: OddSplitstream): Buffer {
  const { stream = Buffer.alloc(0) } = fields
  const sections = {
    streamRefs: Buffer.concat((fields.streamRefs ?? []).map((ref) => ref.bytes)),
    objectRefs: Buffer.concat((fields.objectRefs ?? []).map((ref) => ref.bytes)),
    namedRefs: fields.packedNames ?? rawFrame(Buffer.from((fields.names ?? '') as string, 'latin1')),
    stream: fields.packedStream ?? rawFrame(stream),
  }
  type Name = keyof typeof sections
  const order: Name[] = ['streamRefs', 'objectRefs', 'namedRefs', 'stream']
  if (fields.scattered) order.reverse()
  const parts: Buffer[] = [Buffer.alloc(112)]
  const starts = {} as Record<Name, number>
  let at = 112
  for (const name of order) {
    const gap = Buffer.alloc(fields.scattered ? 7 : 0, 0xee)
    starts[name] = at + gap.length
    parts.push(gap, sections[name])
    at += gap.length + sections[name].length
  }
  if (fields.scattered) parts.push(Buffer.alloc(99, 0xdd))
  const file = Buffer.concat(parts)
  const header = fields.oldHeader
    ? { magic: 18, flags: 16, algorithm: 30, info: 0 }
    : { magic: 0, flags: 12, algorithm: 14, info: 16 }
  file.write('SplitStream', header.magic, 'latin1')
  file.writeUInt16LE(fields.scattered ? 0xffff : 0, header.flags)
  file[header.algorithm] = fields.algorithm === 'sha512' ? 2 : 1
  file[header.algorithm + 1] = 12
  range(file, header.info, 32, 112)
  const info: Name[] = ['streamRefs', 'objectRefs', 'stream', 'namedRefs']
  info.forEach((name, i) => {
    range(file, 32 + 16 * i, starts[name], starts[name] + sections[name].length)
  })
  file.writeBigUInt64LE(fields.contentType ?? contentTypes.layer, 96)
  file.writeBigUInt64LE(BigInt(fields.streamSize ?? Math.max(0, stream.length - 8)), 104)
  return file
}

/** Overwrites two numbers. */
export function range(file: Buffer, at: number, start: number | bigint, end: number | bigint): Buffer {
  file.writeBigUInt64LE(BigInt(start), at)
  file.writeBigUInt64LE(BigInt(end), at + 8)
  return file
}

/** What a store that gives true ids would make of these records. */
export function storedRecords(records: Iterable<SplitRecord>, algorithm: Algorithm): StoredRecord[] {
  const stored: StoredRecord[] = []
  let body: Buffer[] = []
  let content: Content = { type: 'none' }
  for (const record of records) {
    if (record.kind === 'external-open') body = []
    else if (record.kind === 'external-data') body.push(record.chunk)
    else if (record.kind === 'external-close') {
      const bytes = Buffer.concat(body)
      const external = { id: fsverityDigest(algorithm, bytes), size: bytes.length }
      content = { type: 'external', ...external }
      stored.push({ kind: 'external', ...external })
    } else if (record.kind === 'inline') stored.push(record)
    else {
      const { entry } = record
      stored.push({ kind: 'entry', entry, content: record.body ? { type: 'inline', bytes: record.body } : content })
      content = { type: 'none' }
    }
  }
  return stored
}

/** The file that the writer makes of these records. */
export function written(records: Iterable<StoredRecord>, options: Partial<SplitstreamWriterOptions> = {}): Buffer {
  const machine = new SplitstreamWriterMachine({ algorithm: 'sha256', ...options })
  for (const record of records) machine.push(record)
  const parts: Buffer[] = []
  machine.finish((part) => {
    parts.push(part)
  })
  return Buffer.concat(parts)
}

/** Runs of inline bytes as text, and ids in between. */
export function chunkTexts(chunks: Iterable<SplitstreamChunk>): string[] {
  const texts: string[] = []
  let run: Buffer[] = []
  const flush = () => {
    if (run.length > 0) texts.push(Buffer.concat(run).toString('latin1'))
    run = []
  }
  for (const chunk of chunks) {
    if (chunk.kind === 'inline') run.push(Buffer.from(chunk.bytes))
    else {
      flush()
      texts.push(chunk.id.hex)
    }
  }
  flush()
  return texts
}

/** The code that a call fails with; any other error is thrown on. */
export function failure(call: () => unknown): unknown {
  try {
    call()
  } catch (error) {
    return error
  }
  return undefined
}
