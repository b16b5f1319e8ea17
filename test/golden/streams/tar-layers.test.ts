/**
 * Layers that the reference implementation has split and read: the same chunks, the same bytes, the same entries, the
 * same refusals; and what is right where the reference is wrong.
 */
import { decompress } from 'fzstd'
import { describe, expect, test } from 'vitest'
import { ComposefsError } from '../../../src/errors.ts'
import { fsverityDigest } from '../../../src/fsverity/merkle.ts'
import type { SplitRecord } from '../../../src/streams/records.ts'
import { chunkings } from '../../support/chunks.ts'
import { type DumpLine, dumpLineOf, parseDumpLine } from '../../support/dump-line.ts'
import { shared } from '../../support/shared.ts'
import { bytesOfRecords, joined, splitMachine } from '../../support/tar.ts'

interface Vector {
  import?: { outcome: 'accept' | 'reject'; error?: string }
  chunks?: number[]
  read?: Read
  observed_read?: Read
  right?: { dumpfile?: string }
  sha256?: {
    exit?: number
    splitstream_base64?: string
    object_refs?: string[]
    layer_dumpfile?: string
  }
}

interface Read {
  outcome: 'accept' | 'reject'
  entries?: string
  entries_before?: string
}

const more: Record<string, Vector> = shared.available ? shared.json('vectors/splitstreams.json') : {}
const first: Record<string, Vector> = shared.available ? shared.json('vectors/layers.json') : {}

/** What the reference calls an error, and we. Kinds that mean two things to us are told by layer below. */
const codes: Record<string, string> = {
  number: 'ERR_TAR_NUMBER',
  'size-overflow': 'ERR_TAR_NUMBER',
  sparse: 'ERR_TAR_SPARSE',
  'pax-value': 'ERR_PAX_VALUE',
  'pax-malformed': 'ERR_PAX_RECORD',
  'pax-key-not-utf8': 'ERR_PAX_RECORD',
  'extension-twice': 'ERR_TAR_EXTENSION',
  'extension-orphaned': 'ERR_TAR_EXTENSION',
  'eof-in-header': 'ERR_TAR_TRUNCATED',
  'eof-in-body': 'ERR_TAR_TRUNCATED',
  'eof-in-padding': 'ERR_TAR_TRUNCATED',
}

/** Layers that are refused, where the code is another one than the reference's kind, or where it is wrong. */
const refused: Record<string, string> = {
  'not-a-tar': 'ERR_TAR_CHECKSUM',
  'bad-checksum': 'ERR_TAR_CHECKSUM',
  'cut-in-body': 'ERR_TAR_TRUNCATED',
  'pax-bad-length': 'ERR_PAX_RECORD',
  'pax-size-huge': 'ERR_PAX_VALUE',
  'pax-sparse-1.0': 'ERR_TAR_SPARSE',
  // bugs of the reference, which takes these, or never ends
  'name-pax-nul': 'ERR_PAX_VALUE',
  'pax-uid-33-bits': 'ERR_PAX_VALUE',
  'sparse-pax-1.0-no-map': 'ERR_TAR_SPARSE',
}

/** Layers that ours takes and the reference refuses: wrongly, or either way is right. */
const taken = new Set([
  'pax-negative-mtime',
  'pax-mtime-negative',
  'name-pax-empty-path',
  'one-end-block',
  'dev-bad-number-on-file',
])

/** A line of the reference that is wrong, and the right one. */
const wrongLines: Record<string, [string, string]> = {
  v7: ['/usr/dirslash 0 100755', '/usr/dirslash 0 40755'],
  // The magic is ustar's, whatever the version.
  'magic-odd-version': ['/t/a 1', '/pre/t/a 1'],
}

const names = [...Object.keys(first), ...Object.keys(more)]

describe.skipIf(!shared.available)('layers', () => {
  test('there are vectors', () => expect(names).toHaveLength(150))

  describe.each(names)('%s', (name) => {
    const vector = first[name] ?? more[name]!
    const bytes = shared.bytes(`vectors/${name in first ? 'layers' : 'layers-more'}/${name}.tar`)
    const isTaken = (vector.import?.outcome === 'accept' || vector.sha256?.exit === 0) && !(name in refused)

    test.each(chunkings(bytes).map((chunks) => [chunks.length, chunks] as const))('in %i chunks', (_, chunks) => {
      if (!isTaken && !taken.has(name)) {
        const code = refused[name] ?? codes[vector.import?.error ?? ''] ?? 'no code is known for this error'
        expect(failure(chunks)).toMatchObject({ code })
        return
      }
      const records = joined(splitMachine(), chunks)
      expect(bytesOfRecords(records).equals(bytes)).toBe(true)
      if (vector.chunks !== undefined) expect(chunksOf(records)).toEqual(vector.chunks)
      if (vector.sha256?.object_refs !== undefined) expect(objectsOf(records)).toEqual(vector.sha256.object_refs)
      const stored = vector.sha256?.splitstream_base64
      if (stored !== undefined)
        expect(texts(storedOf(records))).toEqual(texts(readStored(Buffer.from(stored, 'base64'))))
      compareEntries(name, vector, records)
    })
  })
})

function failure(chunks: Buffer[]): unknown {
  try {
    joined(splitMachine(), chunks)
  } catch (error) {
    expect(error).toBeInstanceOf(ComposefsError)
    return error
  }
  return undefined
}

function compareEntries(name: string, vector: Vector, records: SplitRecord[]): void {
  const ours = linesOf(records)
  if (vector.right?.dumpfile !== undefined && !name.startsWith('wh-')) {
    // The reference reads this layer wrongly. What it makes of an unambiguous one, laid over a base, is right.
    const lines = new Map(
      vector.right.dumpfile
        .trimEnd()
        .split('\n')
        .map((line) => [line.split(' ')[0], parseDumpLine(line)]),
    )
    for (const line of ours) expect(lines.get(line.path)).toEqual(line)
    const paths = ours.map((line) => line.path)
    expect([...lines.keys()].filter((path) => /^\/[tu](\/|$)/.test(path!)).sort()).toEqual(paths.sort())
    return
  }
  const read = vector.read ?? vector.observed_read
  const text = read?.entries ?? read?.entries_before ?? vector.sha256?.layer_dumpfile
  if (text === undefined) return
  const wrong = wrongLines[name] ?? ['', '']
  const lines = text.replace(wrong[0], wrong[1]).split('\n').slice(0, -1).map(parseDumpLine)
  expect(ours.slice(0, lines.length)).toEqual(lines)
  if (read?.outcome === 'reject') {
    const entries = records.filter((record) => record.kind === 'entry')
    expect(entries[lines.length]?.entry.type).toBe('unsupported')
  } else expect(ours).toHaveLength(lines.length)
}

type Piece = { inline: Buffer } | { external: string }

/** Buffers compare slowly. */
function texts(pieces: Piece[]): string[] {
  return pieces.map((piece) => ('inline' in piece ? piece.inline.toString('latin1') : piece.external))
}

/** What a splitstream would hold: runs of inline bytes, and ids in between. */
function storedOf(records: SplitRecord[]): Piece[] {
  const pieces: Piece[] = []
  let body: Buffer[] | undefined
  for (const record of records) {
    if (record.kind === 'external-open') body = []
    else if (record.kind === 'external-data') body?.push(record.chunk)
    else if (record.kind === 'external-close') pieces.push({ external: idOf(Buffer.concat(body!)) })
    else if (record.kind === 'inline') {
      const last = pieces.at(-1)
      if (last !== undefined && 'inline' in last) last.inline = Buffer.concat([last.inline, record.bytes])
      else pieces.push({ inline: record.bytes })
    }
  }
  return pieces
}

function idOf(bytes: Buffer): string {
  return fsverityDigest('sha256', bytes).hex
}

function objectsOf(records: SplitRecord[]): string[] {
  return [...new Set(storedOf(records).flatMap((piece) => ('external' in piece ? [piece.external] : [])))]
}

function chunksOf(records: SplitRecord[]): number[] {
  const objects = objectsOf(records)
  return storedOf(records).map((piece) => ('inline' in piece ? -piece.inline.length : objects.indexOf(piece.external)))
}

/** Takes a stored splitstream apart (spec: splitstream, section 1); what is right in it is not in question here. */
function readStored(file: Buffer): Piece[] {
  const info = Number(file.readBigUInt64LE(16))
  const range = (at: number) => file.subarray(Number(file.readBigUInt64LE(at)), Number(file.readBigUInt64LE(at + 8)))
  const ids = range(info + 16)
  const stream = Buffer.from(decompress(range(info + 32)))
  const pieces: Piece[] = []
  for (let at = 0; at < stream.length; ) {
    const count = Number(stream.readBigInt64LE(at))
    at += 8
    if (count >= 0) pieces.push({ external: ids.subarray(count * 32, count * 32 + 32).toString('hex') })
    else {
      pieces.push({ inline: stream.subarray(at, at - count) })
      at -= count
    }
  }
  return pieces
}

function linesOf(records: SplitRecord[]): DumpLine[] {
  const lines: DumpLine[] = []
  let object = ''
  let body: Buffer[] = []
  for (const record of records) {
    if (record.kind === 'external-open') body = []
    else if (record.kind === 'external-data') body.push(record.chunk)
    else if (record.kind === 'external-close') object = idOf(Buffer.concat(body))
    else if (record.kind === 'entry') {
      lines.push(dumpLineOf(record.entry, record.body === undefined ? { id: object } : { bytes: record.body }))
    }
  }
  return lines
}
