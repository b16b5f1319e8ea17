import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { ComposefsError } from '../../../src/errors.ts'
import type { TarRecord } from '../../../src/streams/records.ts'
import { TarDecoder, TarDecoderMachine } from '../../../src/streams/tar-decoder.ts'
import type { TarOptions, TarWarning } from '../../../src/streams/tar-options.ts'
import { chunkings } from '../../support/chunks.ts'
import {
  bytesOfRecords,
  endBlocks,
  entry,
  gnuLong,
  header,
  joined,
  magics,
  padded,
  pax,
  run,
  tar,
} from '../../support/tar.ts'

const decode = (bytes: Buffer, options?: TarOptions): TarRecord[] => joined(new TarDecoderMachine(options), [bytes])

/** Kinds, names and sizes, short enough to compare at a glance. */
function outline(records: TarRecord[]): string[] {
  return records.map((record) => {
    if (record.kind === 'header') return `${record.offset} ${record.header.name} ${record.header.bodySize}`
    if (record.kind === 'data') return `data ${record.chunk.length}`
    if (record.kind === 'end') return `end ${record.padding.length}`
    return `trailer ${record.bytes.length}`
  })
}

describe('records', () => {
  test('every header has an end, empty bodies and extension headers too', () => {
    const bytes = tar(entry({ name: 'd/', type: '5' }), gnuLong('L', 'long\0'), entry({ name: 'f' }, 'x'.repeat(512)))
    expect(outline(decode(bytes))).toEqual([
      '0 d/ 0',
      'end 0',
      '512 ././@LongLink 5',
      'data 5',
      'end 507',
      '1536 f 512',
      'data 512',
      'end 0',
      'trailer 1024',
    ])
  })

  test('are the same however the input is cut, and give it back', () => {
    const bytes = Buffer.concat([
      entry({ name: 'a' }, 'abc'),
      pax({ size: '700', path: 'p'.repeat(600) }),
      header({ name: 'b', size: 0 }),
      Buffer.alloc(1024, 'b'),
      entry({ name: 'l', type: '2', linkName: 'x', size: 5 }),
      entry({ name: 'm', type: '2', linkName: 'x' }, 'y'.repeat(600)),
      endBlocks,
      Buffer.from('whatever comes after'),
    ])
    const whole = decode(bytes)
    for (const chunks of chunkings(bytes)) {
      expect(joined(new TarDecoderMachine(), chunks)).toEqual(whole)
      expect(bytesOfRecords(run(new TarDecoderMachine(), chunks)).equals(bytes)).toBe(true)
    }
  })

  test('bodies are handed on without copying', () => {
    const bytes = tar(entry({}, Buffer.alloc(100_000, 1)))
    for (const record of run(new TarDecoderMachine(), [bytes])) {
      if (record.kind === 'data') expect(record.chunk.buffer).toBe(bytes.buffer)
    }
  })
})

describe('size', () => {
  test('PAX overrides the header, for the entry only and not for a long name between', () => {
    const bytes = tar(
      pax({ size: '3' }),
      gnuLong('L', 'a-long-name\0'),
      header({ name: 'f', size: 2000 }),
      padded('abc'),
      entry({ name: 'g' }, 'g'),
    )
    expect(outline(decode(bytes)).filter((line) => !line.startsWith('end'))).toEqual([
      '0 PaxHeaders/f 9',
      'data 9',
      '1024 ././@LongLink 12',
      'data 12',
      '2048 f 3',
      'data 3',
      '3072 g 1',
      'data 1',
      'trailer 1024',
    ])
  })

  test('of a V7 "x" is its own', () => {
    const bytes = tar(pax({ size: '3' }, { magic: magics.v7 }), entry({ name: 'f' }, 'abcd'))
    expect(outline(decode(bytes))).toContain('1024 f 4')
  })

  test('a body of 9 GiB passes in constant memory', () => {
    const size = 9 * 2 ** 30 + 1
    const chunk = Buffer.alloc(2 ** 20)
    const machine = new TarDecoderMachine()
    let bytes = 0
    let chunks = 0
    const records: string[] = []
    const emit = (record: TarRecord) => {
      if (record.kind === 'data') {
        expect(record.chunk.buffer === chunk.buffer || record.chunk.length === 1).toBe(true)
        bytes += record.chunk.length
        chunks++
      } else records.push(...outline([record]))
    }
    const octal = Buffer.alloc(12)
    octal[0] = 0x80
    octal.writeBigUInt64BE(BigInt(size), 4)
    machine.push(header({ name: 'big', size: octal }), emit)
    for (let i = 0; i < 9 * 1024; i++) machine.push(chunk, emit)
    machine.push(Buffer.concat([Buffer.from('x'), Buffer.alloc(511), entry({ name: 'after' }), endBlocks]), emit)
    machine.finish(emit)
    expect([bytes, chunks]).toEqual([size, 9 * 1024 + 1])
    expect(records).toEqual([`0 big ${size}`, 'end 511', `${size + 1023} after 0`, 'end 0', 'trailer 1024'])
  })
})

describe('entries that can have no contents', () => {
  const types = [...'123456']

  test.each(types)('type %s with a size and no body: the next header follows', (type) => {
    const odd = header({ name: 'odd', type, size: 600 })
    expect(outline(decode(tar(odd, entry({ name: 'next' }, 'n'))))).toEqual([
      '0 odd 0',
      'end 0',
      '512 next 1',
      'data 1',
      'end 511',
      'trailer 1024',
    ])
    expect(outline(decode(tar(odd)))).toEqual(['0 odd 0', 'end 0', 'trailer 1024'])
    expect(outline(decode(odd))).toEqual(['0 odd 0', 'end 0'])
    expect(outline(decode(tar(odd, header({ name: 'odd2', type, size: 1 }))))).toContain('512 odd2 0')
  })

  test.each(types)('type %s with a body: it is kept', (type) => {
    for (const size of [1, 512, 600, 5000]) {
      const bytes = tar(entry({ name: 'odd', type }, 'b'.repeat(size)), entry({ name: 'next' }))
      expect(outline(decode(bytes)).slice(0, 3)).toEqual([`0 odd ${size}`, `data ${size}`, `end ${-size & 511}`])
      expect(bytesOfRecords(decode(bytes)).equals(bytes)).toBe(true)
    }
  })
})

describe('the end', () => {
  const file = entry({ name: 'f' }, 'f')

  test.each([
    ['nothing', Buffer.alloc(0), []],
    ['nothing behind an entry', file, ['0 f 1', 'data 1', 'end 511']],
    ['one zero block', Buffer.concat([file, Buffer.alloc(512)]), ['0 f 1', 'data 1', 'end 511', 'trailer 512']],
    ['two', tar(file), ['0 f 1', 'data 1', 'end 511', 'trailer 1024']],
    ['a record of 10240', padded(Buffer.alloc(10240)), ['trailer 10240']],
    ['another archive', Buffer.concat([tar(), tar(file)]), ['trailer 3072']],
    ['part of a block', Buffer.concat([tar(), Buffer.from('x')]), ['trailer 1025']],
  ])('%s', (_, bytes, expected) => {
    const records = decode(bytes)
    expect(outline(records)).toEqual(expected)
    expect(bytesOfRecords(records).equals(bytes)).toBe(true)
  })

  test('a lone zero block is passed over', () => {
    const bytes = tar(file, Buffer.alloc(512), file)
    expect(outline(decode(bytes)).slice(3)).toEqual(['trailer 512', '1536 f 1', 'data 1', 'end 511', 'trailer 1024'])
  })
})

describe('refusals', () => {
  test.each([
    ['text', Buffer.from('Getting image source signatures\nCopying blob 1'.padEnd(600, '.')), 'skopeo'],
    ['gzip', gzipSync(Buffer.alloc(9000, 'abcdefgh')), 'gzip'],
    ['gzip', Buffer.concat([gzipSync('x'), Buffer.alloc(600)]), 'Decompressor'],
    ['zstd', Buffer.concat([Buffer.from('28b52ffd', 'hex'), Buffer.alloc(600, 7)]), 'zstd'],
    ['anything', Buffer.alloc(600, 7), 'something else'],
  ])('%s is no tar', (_, bytes, hint) => {
    const code = bytes.length < 512 ? 'ERR_TAR_TRUNCATED' : 'ERR_TAR_CHECKSUM'
    expect(() => decode(bytes)).toThrow(expect.objectContaining({ code, hint: expect.stringContaining(hint) }))
  })

  test('a damaged header says where', () => {
    const bytes = tar(entry({ name: 'a' }, 'abc'), entry({ name: 'b' }))
    bytes[1024 + 3] = 1
    expect(() => decode(bytes)).toThrow(expect.objectContaining({ code: 'ERR_TAR_CHECKSUM', offset: 1024 }))
  })

  test('an archive cut anywhere but before a header is refused, with offset and entry', () => {
    const bytes = Buffer.concat([
      entry({ name: 'a' }, 'abc'),
      pax({ size: '700' }),
      header({ name: 'b' }),
      Buffer.alloc(1024),
      entry({ name: 'c' }, 'c'.repeat(512)),
    ])
    const boundaries = new Map([
      [0, 'nothing'],
      [1024, 'a'],
      [2048, 'PaxHeaders/f'],
      [4096 - 512, 'b'],
      [4608, 'c'],
    ])
    for (let length = 0; length < bytes.length; length++) {
      let error: unknown
      try {
        decode(bytes.subarray(0, length))
      } catch (e) {
        error = e
      }
      if (boundaries.has(length)) expect(error).toBeUndefined()
      else expect(error, `${length} bytes`).toMatchObject({ code: 'ERR_TAR_TRUNCATED', offset: length })
    }
    expect(() => decode(bytes.subarray(0, 3000))).toThrow(
      expect.objectContaining({ path: 'b', offset: 3000, expected: 1024, actual: 3000 - 2560 }),
    )
  })

  test('a PAX header of 1 GB fails before a byte of it is read, or memory taken', () => {
    const machine = new TarDecoderMachine()
    expect(() => machine.push(header({ type: 'x', size: 2 ** 30 }), () => {})).toThrow(
      expect.objectContaining({ code: 'ERR_TAR_EXTENSION_SIZE', actual: 2 ** 30, offset: 0 }),
    )
    expect(() => decode(tar(pax({ comment: 'c'.repeat(100) })), { maxExtensionSize: 99 })).toThrow(
      expect.objectContaining({ code: 'ERR_TAR_EXTENSION_SIZE' }),
    )
  })

  test('GNU sparse entries are refused, but not a V7 type S', () => {
    const sparse = (magic: string) => tar(entry({ name: 's', type: 'S', magic }, 'x'))
    expect(() => decode(sparse(magics.gnu))).toThrow(expect.objectContaining({ code: 'ERR_TAR_SPARSE', path: 's' }))
    expect(outline(decode(sparse(magics.v7)))[0]).toBe('0 s 1')
  })

  test('a PAX size that is none', () => {
    expect(() => decode(tar(pax({ size: 'x' }), entry({})))).toThrow(
      expect.objectContaining({ code: 'ERR_PAX_VALUE', offset: 512 }),
    )
  })
})

describe('warnings', () => {
  const cases: [TarWarning['code'], Buffer, number][] = [
    ['TAR_END_MISSING', entry({ name: 'f' }), 512],
    ['TAR_ZERO_BLOCK', Buffer.concat([entry({ name: 'f' }), Buffer.alloc(512)]), 512],
    ['TAR_ZERO_BLOCK', tar(Buffer.alloc(512), entry({ name: 'f' })), 0],
    ['TAR_SIZE_IGNORED', tar(header({ type: '1', size: 5 })), 0],
    ['TAR_BODY_IGNORED', tar(entry({ type: '5' }, 'body')), 0],
  ]

  test.each(cases)('%s', (code, bytes, offset) => {
    const warnings: TarWarning[] = []
    decode(bytes, { onWarning: (warning) => warnings.push(warning) })
    expect(warnings).toEqual([expect.objectContaining({ code, offset, message: expect.any(String) })])
    expect(() => decode(bytes, { strict: true })).toThrow(
      expect.objectContaining({ code: 'ERR_TAR_STRICT', offset, message: expect.stringContaining(code) }),
    )
  })

  test('an ordinary archive has none', () => {
    expect(() => decode(tar(pax({ mtime: '1.5' }), entry({ name: 'f' }, 'f')), { strict: true })).not.toThrow()
  })
})

describe('TarDecoder', () => {
  test('is a Transform', async () => {
    const decoder = new TarDecoder()
    decoder.end(tar(entry({ name: 'f' }, 'abc')))
    expect(outline(await decoder.toArray())).toEqual(['0 f 3', 'data 3', 'end 509', 'trailer 1024'])
  })

  test('fails with the error of its machine', async () => {
    const decoder = new TarDecoder({ strict: true })
    decoder.end(entry({ name: 'f' }))
    await expect(decoder.toArray()).rejects.toThrow(ComposefsError)
  })
})

test('nothing is kept of the input', () => {
  const bytes = Buffer.concat([
    pax({ size: '700', comment: 'c'.repeat(1000) }),
    header({ name: 'f' }),
    Buffer.alloc(1024, 'f'),
    header({ name: 'l', type: '1', linkName: 'f', size: 700 }),
    entry({ name: 'd', type: '5' }, 'd'.repeat(700)),
    endBlocks,
  ])
  const whole = decode(bytes)
  for (const chunks of chunkings(bytes)) {
    const machine = new TarDecoderMachine()
    const poisoned = (function* () {
      for (const chunk of chunks) {
        yield chunk
        chunk.fill(0xa5)
      }
    })()
    expect(joined(machine, poisoned)).toEqual(whole)
  }
})
