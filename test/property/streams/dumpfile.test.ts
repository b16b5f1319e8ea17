import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ComposefsError } from '../../../src/errors.ts'
import { escapeField, escapeOptional, escapeXattr, unescapeField } from '../../../src/streams/dumpfile-escape.ts'
import { DumpfileReaderMachine, readDumpfile } from '../../../src/streams/dumpfile-reader.ts'
import { dumpfileText, homeItems } from '../../../src/streams/dumpfile-writer.ts'
import type { DumpRecord } from '../../../src/streams/records.ts'
import type { FileSystem } from '../../../src/tree/filesystem.ts'
import { chunkings, cut } from '../../support/chunks.ts'
import { mutateDumpfile } from '../../support/mutate-dumpfile.ts'
import { Random } from '../../support/random.ts'
import { randomDumpfile } from '../../support/random-dumpfile.ts'
import { runs } from '../../support/runs.ts'

const bytes = fc.uint8Array({ maxLength: 200 }).map((array) => Buffer.from(array).toString('latin1'))
const seed = fc.nat()

/** All that a tree says, name by name; an inode with several names stands where it is at home. */
function snapshot(fileSystem: FileSystem): unknown[] {
  return [...homeItems(fileSystem)].map((item) => {
    if (item.kind === 'link') return [item.path, item.target]
    const { stat } = item.inode
    const xattrs = [...stat.xattrs].map(([name, value]) => [name, value.toString('latin1')])
    const content = item.inode.kind === 'leaf' ? item.inode.content : undefined
    return [item.path, item.nlink, { ...stat, xattrs }, content]
  })
}

function records(chunks: Buffer[]): DumpRecord[] {
  const all: DumpRecord[] = []
  const machine = new DumpfileReaderMachine()
  for (const chunk of chunks) {
    machine.push(chunk, (record) => all.push(record))
    // Whoever keeps a view of it, shall see nonsense.
    chunk.fill(0xee)
  }
  machine.finish((record) => all.push(record))
  return all
}

describe('escapes', () => {
  test('what was written is read', () => {
    fc.assert(
      fc.property(bytes, (text) => {
        for (const write of [escapeField, escapeXattr]) {
          const escaped = write(text)
          expect(escaped).toMatch(/^[!-~]*$/)
          expect(unescapeField(escaped)).toBe(text)
        }
        expect(escapeXattr(text)).not.toContain('=')
        if (text !== '') expect(unescapeField(escapeOptional(text))).toBe(text)
      }),
    )
  })

  test('whatever is read can be written and read again', () => {
    const field = fc.string({ unit: fc.constantFrom('\\', 'x', 'n', 't', '0', 'f', 'g', 'A', ' '), maxLength: 12 })
    fc.assert(
      fc.property(field, (text) => {
        const read = unescapeField(text)
        if (read !== undefined) expect(unescapeField(escapeField(read))).toBe(read)
      }),
    )
  })
})

describe('random dumpfiles', () => {
  test('the same seed gives the same text', () => {
    fc.assert(
      fc.property(seed, (n) => {
        expect(randomDumpfile(n).text.equals(randomDumpfile(n).text)).toBe(true)
      }),
      { numRuns: runs(20) },
    )
  })

  test('a tree survives being written and read', () => {
    fc.assert(
      fc.property(seed, fc.boolean(), (n, rust) => {
        const fileSystem = readDumpfile(randomDumpfile(n, { rust }).text)
        const text = dumpfileText(fileSystem)
        const again = readDumpfile(text)
        expect(snapshot(again)).toEqual(snapshot(fileSystem))
        expect(dumpfileText(again).equals(text)).toBe(true)
      }),
      { numRuns: runs(150) },
    )
  })

  test('chunks make no difference', () => {
    fc.assert(
      fc.property(seed, fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 5 }), (n, sizes) => {
        const { text } = randomDumpfile(n)
        const expected = records([Buffer.from(text)])
        expect(records(cut(text, sizes))).toEqual(expected)
      }),
      { numRuns: runs(50) },
    )
    const { text } = randomDumpfile(1)
    const expected = records([Buffer.from(text)])
    for (const chunks of chunkings(text)) expect(records(chunks)).toEqual(expected)
  })
})

describe('bad input', () => {
  const attempt = (text: Buffer, strict = false) => {
    try {
      readDumpfile(text, { strict })
      return 'taken'
    } catch (error) {
      if (!(error instanceof ComposefsError)) throw error
      expect(error.message.length).toBeLessThan(20_000)
      return error.code
    }
  }

  test('spoilt dumpfiles are read or refused, with an error of ours', () => {
    const outcomes = new Set<string>()
    fc.assert(
      fc.property(seed, fc.boolean(), (n, strict) => {
        outcomes.add(attempt(mutateDumpfile(new Random(n), randomDumpfile(n).text), strict))
      }),
      { numRuns: runs(1000) },
    )
    expect(outcomes.size).toBeGreaterThan(5)
  })

  test('random bytes are refused', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (array) => {
        expect(attempt(Buffer.from(array))).toMatch(/^ERR_/)
      }),
    )
  })

  test('random fields are read or refused', () => {
    const field = fc.constantFrom('/', '/a', '-', '0', '1', '40755', '@100644', '0.0', '\\x', 'a=', '', '\0', '\r')
    const line = fc.array(field, { maxLength: 14 }).map((fields) => fields.join(' '))
    fc.assert(
      fc.property(fc.array(line, { maxLength: 5 }), (lines) => {
        expect(attempt(Buffer.from(lines.join('\n')))).toMatch(/^ERR_|^taken$/)
      }),
      { numRuns: runs(1000) },
    )
  })
})
