import { posix } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ComposefsError } from '../../../src/errors.ts'
import { fsverityDigest } from '../../../src/fsverity/index.ts'
import {
  decodeTag,
  encodeTag,
  formatMetadata,
  linkTarget,
  type Metadata,
  ObjectDirectory,
  parseMetadata,
} from '../../../src/repository/index.ts'
import { checkRefName } from '../../../src/repository/names.ts'
import { cut } from '../../support/chunks.ts'
import { filesBelow } from '../../support/files.ts'
import { runs } from '../../support/runs.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

/** Text with what matters to names in plenty. */
const nameText = fc.string({
  unit: fc.constantFrom('a', 'B', '.', '..', '/', '%', '%2F', '%25', '@', ':', '\0', 'ü', ' '),
})

describe('names', () => {
  test('a tag that can be encoded comes back, as one file name', () => {
    fc.assert(
      fc.property(fc.oneof(nameText, fc.string(), fc.string({ unit: 'binary' })), (tag) => {
        let name: string
        try {
          name = encodeTag(tag)
        } catch (error) {
          expect(error).toBeInstanceOf(ComposefsError)
          return
        }
        expect(decodeTag(name)).toBe(tag)
        expect(name).not.toMatch(/[/\0]/)
        expect(['', '.', '..']).not.toContain(name)
        expect(Buffer.from(name).toString()).toBe(name)
      }),
      { numRuns: runs(2000) },
    )
  })

  test('a ref name that passes stays below its directory', () => {
    fc.assert(
      fc.property(fc.oneof(nameText, fc.string()), (name) => {
        try {
          checkRefName(name)
        } catch (error) {
          expect(error).toBeInstanceOf(ComposefsError)
          return
        }
        expect(posix.normalize(posix.join('/refs', name))).toBe(`/refs/${name}`)
      }),
      { numRuns: runs(2000) },
    )
  })
})

test('a link leads to its target, with as few steps up as possible', () => {
  const path = fc
    .array(fc.constantFrom('a', 'b', 'refs', 'streams'), { minLength: 1, maxLength: 5 })
    .map((parts) => parts.join('/'))
  fc.assert(
    fc.property(path, path, (link, target) => {
      const text = linkTarget(link, `${target}/file`)
      expect(posix.join(posix.dirname(link), text)).toBe(`${target}/file`)
      expect(text).toBe(posix.relative(posix.dirname(`/${link}`), `/${target}/file`))
    }),
  )
})

describe('metadata', () => {
  const formatVersion = fc.constantFrom(0, 1, 2)
  const strings = fc.array(fc.string(), { maxLength: 3 })
  const metadata: fc.Arbitrary<Metadata> = fc.record({
    version: fc.constantFrom(0, 1),
    algorithm: fc.constantFrom('sha256', 'sha512'),
    features: fc.record({ compatible: strings, readOnlyCompatible: strings, incompatible: fc.constant([]) }),
    erofsFormats: fc.option(
      fc
        .tuple(formatVersion, fc.uniqueArray(formatVersion))
        .map(([first, extra]) => ({ default: first, extra: extra.filter((version) => version !== first).sort() })),
      { nil: undefined },
    ),
  }) as fc.Arbitrary<Metadata>

  test('what is written is read back', () => {
    fc.assert(
      fc.property(metadata, (value) => {
        expect(parseMetadata(formatMetadata(value))).toEqual(value)
      }),
    )
  })

  test('any JSON, and any text, is read or refused', () => {
    const part = fc.oneof(fc.jsonValue(), fc.constantFrom(0, 1, 2, 3, 'fsverity-sha256-12', 'fsverity-', [], {}, null))
    const almost = fc.record(
      {
        version: part,
        algorithm: part,
        features: part,
        erofs_formats: fc.oneof(part, fc.record({ default: part, extra: part })),
      },
      { requiredKeys: [] },
    )
    fc.assert(
      fc.property(
        fc.oneof(
          almost.map((value) => JSON.stringify(value)),
          fc.json(),
          fc.string(),
        ),
        (text) => {
          try {
            expect(parseMetadata(text).version).toBeLessThanOrEqual(1)
          } catch (error) {
            expect(error).toBeInstanceOf(ComposefsError)
          }
        },
      ),
      { numRuns: runs(1000) },
    )
  })
})

test('a store holds exactly what was put into it, in whatever way', async () => {
  const contents = fc.tuple(
    fc.nat({ max: 4 }),
    fc.constantFrom(0, 1, 64, 4096, 5000, 2 ** 20, 2 ** 20 + 1, 3 * 2 ** 20 + 7),
  )
  const operation = fc.record({
    contents,
    how: fc.constantFrom('put', 'pieces', 'abort'),
    sizes: fc.array(fc.integer({ min: 1000, max: 2_000_000 }), { minLength: 1, maxLength: 3 }),
  })
  const root = temporaryDirectory()
  let run = 0
  await fc.assert(
    fc.asyncProperty(fc.array(operation, { maxLength: 8 }), async (operations) => {
      const objects = new ObjectDirectory(`${root}/${run++}`, 'sha256')
      const expected = new Map<string, Buffer>()
      await Promise.all(
        operations.map(async ({ contents: [fill, size], how, sizes }) => {
          const bytes = Buffer.alloc(size, fill)
          const id = fsverityDigest('sha256', bytes)
          if (how !== 'abort') expected.set(id.hex, bytes)
          if (how === 'put') {
            expect(objects.put(bytes)).toEqual(id)
            return
          }
          const sink = objects.create(size)
          for (const chunk of cut(bytes, sizes)) {
            await sink.write(chunk)
            chunk.fill(0x77)
          }
          if (how === 'abort') await sink.abort()
          else expect(await sink.finish()).toEqual(id)
        }),
      )
      const ids = [...objects.ids()]
      expect(ids.map(({ hex }) => hex)).toEqual([...expected.keys()].sort())
      for (const id of ids) expect(objects.read(id).equals(expected.get(id.hex)!)).toBe(true)
      expect(objects.stats.newObjects).toBe(ids.length)
      if (operations.length > 0 && ids.length > 0) expect(filesBelow(objects.path)).toHaveLength(ids.length)
    }),
    { numRuns: runs(40) },
  )
})
