import { describe, expect, test } from 'vitest'
import type { Algorithm } from '../../../src/fsverity/object-id.ts'
import type { StoredRecord } from '../../../src/streams/records.ts'
import { contentTypes, parseSplitstreamInfo } from '../../../src/streams/splitstream-format.ts'
import { parseSplitstream } from '../../../src/streams/splitstream-reader.ts'
import {
  encodeSplitstream,
  SplitstreamWriter,
  SplitstreamWriterMachine,
} from '../../../src/streams/splitstream-writer.ts'
import { decodeZstd } from '../../../src/streams/zstd-decoder.ts'
import { failure, id, inline, odd, word, written } from '../../support/splitstream.ts'
import { entryMachine, joined, tar, entry as tarEntry } from '../../support/tar.ts'

const bytes = (text: string): StoredRecord => ({ kind: 'inline', bytes: Buffer.from(text) })
const external = (n: number, size = 100, algorithm: Algorithm = 'sha256'): StoredRecord => ({
  kind: 'external',
  id: id(n, algorithm),
  size,
})
const boundary: StoredRecord = (() => {
  const [record] = joined(entryMachine(), [tar(tarEntry({ type: '5' }))])
  if (record?.kind !== 'entry') throw new Error('no entry')
  return { kind: 'entry', entry: record.entry, content: { type: 'none' } }
})()

/** The stream section as it is. */
function sectionOf(file: Buffer): Buffer {
  const { start, end } = parseSplitstreamInfo(file).stream
  return decodeZstd(file.subarray(start, end), { maxOutput: 1 << 28 })
}

function namesOf(file: Buffer): string {
  const { start, end } = parseSplitstreamInfo(file).namedRefs
  return decodeZstd(file.subarray(start, end), { maxOutput: 1 << 28 }).toString()
}

/** Counts of the chunks. */
function counts(file: Buffer): number[] {
  const section = sectionOf(file)
  const list: number[] = []
  for (let at = 0; at < section.length; ) {
    const count = Number(section.readBigInt64LE(at))
    list.push(count)
    at += 8 + Math.max(0, -count)
  }
  return list
}

describe('sections', () => {
  test('as the reference orders them', () => {
    const file = written([bytes('a'), external(1), bytes('b'), external(2)], { streamRefs: [id(9)] })
    const info = parseSplitstreamInfo(file)
    expect([info.streamRefs, info.objectRefs]).toEqual([
      { start: 112, end: 144 },
      { start: 144, end: 208 },
    ])
    expect(info.namedRefs.start).toBe(208)
    expect(info.stream).toEqual({ start: info.namedRefs.end, end: file.length })
    expect(info).toMatchObject({ algorithm: 'sha256', contentType: contentTypes.layer, streamSize: 202 })
  })

  test('equal those made by hand', () => {
    const file = written([bytes('one'), bytes('two'), external(1), external(2), external(1), bytes('three')])
    const hand = odd({
      objectRefs: [id(1), id(2)],
      stream: Buffer.concat([inline('onetwo'), word(0), word(1), word(0), inline('three')]),
      streamSize: 311,
    })
    expect(sectionOf(file).equals(sectionOf(hand))).toBe(true)
    expect(file.subarray(0, 64).equals(hand.subarray(0, 64))).toBe(true)
    expect(file.subarray(96, 112 + 64).equals(hand.subarray(96, 112 + 64))).toBe(true)
  })

  test('nothing at all is a valid file', () => {
    const file = written([])
    expect(counts(file)).toEqual([])
    expect(parseSplitstream(file)).toMatchObject({ streamSize: 0, streamRefs: [], objectRefs: [] })
  })

  test('empty inline records leave no trace', () => {
    expect(counts(written([bytes(''), external(1), bytes(''), external(2), bytes('')]))).toEqual([0, 1])
  })

  test('of sha512', () => {
    const file = written([external(7, 100, 'sha512')], { algorithm: 'sha512', streamRefs: [id(8, 'sha512')] })
    const { objectRefs, streamRefs } = parseSplitstream(file, { algorithm: 'sha512' })
    expect([objectRefs, streamRefs]).toEqual([[id(7, 'sha512')], [id(8, 'sha512')]])
  })
})

describe('references', () => {
  test('each id once, in the order of the first call; names sorted by their bytes', () => {
    const namedRefs = [
      ['zebra', id(3)],
      ['Ä', id(1)],
      ['a:b', id(3)],
      ['\u{10000}', id(2)],
      ['\uffff', id(2)],
    ] as const
    const file = written([], { streamRefs: [id(1), id(1)], namedRefs })
    expect(parseSplitstream(file).streamRefs).toEqual([id(1), id(3), id(2)])
    expect(namesOf(file)).toBe('1:a:b\x001:zebra\x000:Ä\x002:\uffff\x002:\u{10000}\0')
    expect(parseSplitstream(file).namedRefs).toEqual(new Map(namedRefs))
  })

  test('of a name that comes twice the last one wins', () => {
    const file = written([], {
      namedRefs: [
        ['n', id(1)],
        ['n', id(2)],
      ],
    })
    expect(namesOf(file)).toBe('1:n\0')
  })

  test.each(['a\0b', '\ud800'])('refuses the name %j', (name) => {
    expect(failure(() => written([], { namedRefs: [[name, id(1)]] }))).toMatchObject({ code: 'ERR_ARGUMENT' })
  })

  test('refuses ids of the other hash', () => {
    const code = 'ERR_ALGORITHM_MISMATCH'
    expect(failure(() => written([external(1, 100, 'sha512')]))).toMatchObject({ code })
    expect(failure(() => written([], { streamRefs: [id(1, 'sha512')] }))).toMatchObject({ code })
    expect(failure(() => written([], { algorithm: 'sha512', namedRefs: [['n', id(1)]] }))).toMatchObject({ code })
  })
})

describe('inline chunks', () => {
  const piece = (size: number): StoredRecord => ({ kind: 'inline', bytes: Buffer.alloc(size, 'x') })

  test('end at an external one, and not at an entry', () => {
    const file = written([piece(512), boundary, piece(512), external(1), piece(5), boundary, piece(7)])
    expect(counts(file)).toEqual([-1024, 0, -12])
  })

  test('end after an entry once there is much in them', () => {
    const records = [piece(1024), boundary, piece(1), boundary, piece(600), boundary, piece(2)]
    expect(counts(written(records, { maxInlineChunk: 1024 }))).toEqual([-1025, -602])
  })

  test('without an entry end where a block does, counted from the start of the tar', () => {
    const records = [piece(512), external(1, 1000), piece(24 + 5000)]
    expect(counts(written(records, { maxInlineChunk: 1024 }))).toEqual([-512, 0, -(24 + 1536), -2048, -1416])
  })

  test('that end in such a way do not depend on how the input is cut', () => {
    const body = Buffer.from(Array.from({ length: 20_000 }, (_, i) => i % 251))
    const whole = written([{ kind: 'inline', bytes: body }], { maxInlineChunk: 512 })
    const cut = Array.from(body, (_, i): StoredRecord => ({ kind: 'inline', bytes: body.subarray(i, i + 1) }))
    expect(written(cut, { maxInlineChunk: 512 }).equals(whole)).toBe(true)
  })

  test.each([0, 511, 512.5, 2 ** 30, Number.NaN])('may not be limited to %d bytes', (maxInlineChunk) => {
    expect(failure(() => written([], { maxInlineChunk }))).toMatchObject({ code: 'ERR_ARGUMENT' })
  })
})

describe('long streams', () => {
  test('become frames that hold the same bytes', () => {
    const body = Buffer.from(Array.from({ length: 700_000 }, (_, i) => (i * i) % 255))
    const records: StoredRecord[] = []
    for (let i = 0; i < 5; i++) records.push({ kind: 'inline', bytes: body }, external(i))
    const file = written(records)
    expect(counts(file)).toEqual([-700_000, 0, -700_000, 1, -700_000, 2, -700_000, 3, -700_000, 4])
    expect(
      sectionOf(file)
        .subarray(8, 8 + body.length)
        .equals(body),
    ).toBe(true)
    expect(written(records).equals(file)).toBe(true)
  })
})

describe('machine', () => {
  test('keeps no view of what it was given', () => {
    const machine = new SplitstreamWriterMachine({ algorithm: 'sha256' })
    const text = Buffer.from('hello')
    machine.push({ kind: 'inline', bytes: text })
    text.fill('X')
    const parts: Buffer[] = []
    machine.finish((part) => {
      parts.push(part)
    })
    expect(sectionOf(Buffer.concat(parts)).toString('latin1', 8)).toBe('hello')
  })

  test('sums up', () => {
    const machine = new SplitstreamWriterMachine({ algorithm: 'sha256' })
    for (const record of [bytes('hello'), external(1, 70), external(1, 70), bytes('!')]) machine.push(record)
    expect(machine.totals).toEqual({ externalObjects: 2, externalSize: 140, inlineSize: 6, streamSize: 146 })
  })
})

test('the stage writes what the machine writes', async () => {
  const records = [bytes('hello'), external(1), boundary, bytes('!')]
  const writer = new SplitstreamWriter({ algorithm: 'sha256' })
  for (const record of records) writer.write(record)
  writer.end()
  const parts = (await writer.toArray()) as Buffer[]
  expect(Buffer.concat(parts).equals(written(records))).toBe(true)
  expect(writer.totals.streamSize).toBe(106)
})

test('the stage fails with the error of the machine', async () => {
  const writer = new SplitstreamWriter({ algorithm: 'sha256' })
  writer.end(external(1, 100, 'sha512'))
  await expect(writer.toArray()).rejects.toMatchObject({ code: 'ERR_ALGORITHM_MISMATCH' })
})

describe('encodeSplitstream', () => {
  test('of a document: one object, also where it is small', () => {
    const namedRefs = new Map([['sha256:abc', id(5)]])
    const body = { type: 'external', id: id(4), size: 2 } as const
    const file = encodeSplitstream({ algorithm: 'sha256', contentType: contentTypes.config, namedRefs, body })
    const read = parseSplitstream(file, { contentType: contentTypes.config })
    expect(read).toMatchObject({ streamSize: 2, objectRefs: [id(4)], streamRefs: [id(5)], namedRefs })
    expect([...read.chunks()]).toEqual([{ kind: 'external', id: id(4) }])
  })

  test.each([
    ['hello', [-5]],
    ['', []],
  ])('of %j inline', (text, expected) => {
    const body = { type: 'inline', bytes: Buffer.from(text) } as const
    expect(counts(encodeSplitstream({ algorithm: 'sha256', contentType: 0n, body }))).toEqual(expected)
  })
})
