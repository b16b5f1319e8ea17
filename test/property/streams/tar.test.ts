import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type ByteString, fromLatin1, toBuffer } from '../../../src/bytes.ts'
import { ComposefsError } from '../../../src/errors.ts'
import type { Entry, EntryRecord, EntryType, SplitRecord } from '../../../src/streams/records.ts'
import { encodeEntry, endBlocks, zeroPadding } from '../../../src/streams/tar-encoder.ts'
import { encodeHeader, headerBlock, parseHeader } from '../../../src/streams/tar-header.ts'
import { seconds } from '../../../src/tree/stat.ts'
import { type Xattr, Xattrs } from '../../../src/tree/xattrs.ts'
import { cut } from '../../support/chunks.ts'
import { runs } from '../../support/runs.ts'
import { bytesOfRecords, entryMachine, gnuLong, joined, pax, splitMachine } from '../../support/tar.ts'

const bytesUpTo = (maxLength: number, min = 0): fc.Arbitrary<ByteString> =>
  fc.array(fc.integer({ min, max: 255 }), { maxLength }).map((list) => fromLatin1(String.fromCharCode(...list)))

const time = fc.oneof(
  fc.integer({ min: -100, max: 2 ** 34 }),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(seconds),
)

const headerFields = fc
  .record({
    format: fc.constantFrom('ustar', 'gnu', 'v7'),
    name: bytesUpTo(100, 1),
    prefix: bytesUpTo(155, 1),
    typeflag: fc.nat(255),
    mode: fc.nat(0o177777),
    uid: fc.nat(0xffffffff),
    gid: fc.nat(0xffffffff),
    size: fc.nat(Number.MAX_SAFE_INTEGER),
    mtime: time,
    linkName: bytesUpTo(100, 1),
    deviceMajor: fc.nat(0xfff),
    deviceMinor: fc.nat(0xfffff),
  })
  .map((fields) => {
    const isDevice = fields.format !== 'v7' && (fields.typeflag === 0x33 || fields.typeflag === 0x34)
    return {
      ...fields,
      prefix: fields.format === 'ustar' ? fields.prefix : fromLatin1(''),
      deviceMajor: isDevice ? fields.deviceMajor : 0,
      deviceMinor: isDevice ? fields.deviceMinor : 0,
    }
  })

test('a header comes back as it was', () => {
  fc.assert(
    fc.property(headerFields, (fields) => {
      const block = headerBlock(fields)
      expect(parseHeader(block)).toEqual({ ...fields, bodySize: fields.size })
      const { name, prefix, linkName } = fields
      const buffers = { name: toBuffer(name), prefix: toBuffer(prefix), linkName: toBuffer(linkName) }
      expect(encodeHeader({ ...fields, ...buffers })).toEqual(block)
    }),
    { numRuns: runs(500) },
  )
})

const flags: [EntryType, number][] = [
  ['file', 0x30],
  ['directory', 0x35],
  ['symlink', 0x32],
  ['hardlink', 0x31],
  ['character-device', 0x33],
  ['fifo', 0x36],
]

const xattr: fc.Arbitrary<Xattr> = fc.tuple(
  fc.stringMatching(/^(user|trusted)\.[a-z.é]{1,12}$/).map((name) => fromLatin1(Buffer.from(name).toString('latin1'))),
  fc.uint8Array({ maxLength: 80 }).map((bytes) => Buffer.from(bytes)),
)

/** An entry and its body. */
interface Sample {
  entry: Entry
  body: Buffer
}

const sample: fc.Arbitrary<Sample> = fc
  .record({
    type: fc.constantFrom(...flags),
    path: fc.oneof(bytesUpTo(20, 1), bytesUpTo(300, 1)).filter((path) => path !== ''),
    mode: fc.nat(0o7777),
    uid: fc.nat(0xffffffff),
    gid: fc.nat(2 ** 22),
    mtime: time,
    mtimeNsec: fc.oneof(fc.constant(0), fc.nat(999_999_999)),
    body: fc.oneof(
      fc.uint8Array({ maxLength: 70 }),
      fc.integer({ min: 60, max: 3000 }).map((size) => Buffer.alloc(size, size)),
    ),
    linkTarget: fc.oneof(bytesUpTo(20, 1), bytesUpTo(200, 1)),
    xattrs: fc.array(xattr, { maxLength: 3 }),
  })
  .map(({ type: [type, typeflag], body, linkTarget, xattrs, ...rest }) => ({
    entry: {
      ...rest,
      type,
      typeflag,
      // -2^63 s and a fraction of a second cannot be said in PAX.
      mtimeNsec: rest.mtime < -(2n ** 62n) ? 0 : rest.mtimeNsec,
      size: type === 'file' ? body.length : 0,
      rdev: type === 'character-device' ? 0xfedcba98 : 0,
      linkTarget: type === 'symlink' || type === 'hardlink' ? linkTarget : fromLatin1(''),
      xattrs: Xattrs.of(xattrs),
      offset: 0,
    },
    body: Buffer.from(type === 'file' ? body : []),
  }))

const samples = fc.array(sample, { maxLength: 6 })
const sizes = fc.array(fc.integer({ min: 1, max: 2000 }), { minLength: 1, maxLength: 6 })

function archive(list: readonly Sample[]): Buffer {
  const parts = list.flatMap(({ entry, body }) => [encodeEntry(entry), body, zeroPadding(body.length)])
  return Buffer.concat([...parts, endBlocks()])
}

const plain = (entry: Entry) => ({ ...entry, offset: 0, xattrs: [...entry.xattrs] })

describe('any archive', () => {
  test('gives its entries and bodies back, however it is cut', () => {
    fc.assert(
      fc.property(samples, sizes, (list, chunkSizes) => {
        const bytes = archive(list)
        const records: EntryRecord[] = joined(entryMachine({ strict: true }), cut(bytes, chunkSizes))
        expect(records.flatMap((r) => (r.kind === 'entry' ? [plain(r.entry)] : []))).toEqual(
          list.map(({ entry }) => plain(entry)),
        )
        const bodies = Buffer.concat(records.flatMap((r) => (r.kind === 'data' ? [r.chunk] : [])))
        expect(bodies.equals(Buffer.concat(list.map(({ body }) => body)))).toBe(true)
        expect(bytesOfRecords(records).equals(bytes)).toBe(true)
      }),
    )
  })

  test('splits the same way, however it is cut and whatever becomes of the chunks afterwards', () => {
    fc.assert(
      fc.property(samples, sizes, (list, chunkSizes) => {
        const bytes = archive(list)
        const whole: SplitRecord[] = joined(splitMachine(), [bytes])
        const poisoned = (function* () {
          for (const chunk of cut(bytes, chunkSizes)) {
            yield chunk
            chunk.fill(0xa5)
          }
        })()
        expect(joined(splitMachine(), poisoned)).toEqual(whole)
      }),
    )
  })
})

/** The records, or the code of a refusal; anything else that is thrown fails the test. */
function outcome(chunks: Buffer[]): SplitRecord[] | string {
  try {
    return joined(splitMachine(), chunks)
  } catch (error) {
    if (error instanceof ComposefsError) return error.code
    throw error
  }
}

function checkOutcome(bytes: Buffer, chunkSizes: number[]): void {
  const whole = outcome([bytes])
  expect(outcome(cut(bytes, chunkSizes))).toEqual(whole)
  if (typeof whole !== 'string') expect(bytesOfRecords(whole).equals(bytes)).toBe(true)
}

describe('anything is either taken byte for byte or refused, the same way however it is cut', () => {
  test('random bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 3000, size: 'max' }), sizes, (bytes, chunkSizes) => {
        checkOutcome(Buffer.from(bytes), chunkSizes)
      }),
    )
  })

  test('archives with bytes changed, left out and doubled', () => {
    const change = fc.record({
      at: fc.nat(),
      kind: fc.constantFrom('byte', 'cut', 'double', 'end'),
      value: fc.nat(255),
    })
    fc.assert(
      fc.property(samples, fc.array(change, { minLength: 1, maxLength: 3 }), sizes, (list, changes, chunkSizes) => {
        let bytes = archive(list)
        for (const { at, kind, value } of changes) {
          const place = at % bytes.length
          const block = place - (place % 512)
          if (kind === 'byte') bytes[place] = value
          else if (kind === 'end') bytes = bytes.subarray(0, place + 1)
          else {
            const rest = bytes.subarray(kind === 'cut' ? block + 512 : block)
            bytes = Buffer.concat([bytes.subarray(0, kind === 'cut' ? block : block + 512), rest, Buffer.alloc(1)])
          }
        }
        checkOutcome(bytes, chunkSizes)
      }),
      { numRuns: runs(300) },
    )
  })

  test('headers with good checksums and anything in their fields', () => {
    const field = (length: number) =>
      fc.oneof(
        fc.stringMatching(new RegExp(`^[0-7]{0,${length - 1}}$`)),
        fc.constant(''),
        fc.uint8Array({ maxLength: length }).map((bytes) => Buffer.from(bytes).toString('latin1')),
      )
    const block = fc
      .tuple(headerFields, fc.constantFrom(...'0123456789xgLKS\0'), field(12), field(8), field(12))
      .map(([fields, type, size, uid, mtime]) => {
        const bytes = headerBlock({ ...fields, typeflag: type.charCodeAt(0), size: fields.size % 2000 })
        for (const [text, at, length] of [
          [size, 124, 12],
          [uid, 108, 8],
          [mtime, 136, 12],
        ] as const) {
          if (text !== '') Buffer.from(text.padEnd(length, '\0'), 'latin1').copy(bytes, at)
        }
        let sum = 256
        for (let i = 0; i < 512; i++) sum += i >= 148 && i < 156 ? 0 : bytes[i]!
        bytes.write(sum.toString(8).padStart(6, '0'), 148)
        return bytes
      })
    const extension = fc.oneof(
      fc
        .dictionary(
          fc.constantFrom('path', 'linkpath', 'size', 'uid', 'mtime', 'SCHILY.xattr.user.a', 'x'),
          fc.string({ maxLength: 9 }),
        )
        .map((records) => pax(records)),
      fc.uint8Array({ maxLength: 40 }).map((bytes) => pax(Buffer.from(bytes))),
      fc.string({ maxLength: 9 }).map((name) => gnuLong('L', name)),
    )
    const parts = fc.array(fc.oneof(block, extension, fc.constant(Buffer.alloc(512))), { maxLength: 8 })
    fc.assert(
      fc.property(parts, sizes, (list, chunkSizes) => checkOutcome(Buffer.concat(list), chunkSizes)),
      { numRuns: runs(500) },
    )
  })
})
