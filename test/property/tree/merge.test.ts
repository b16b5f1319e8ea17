import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { writeImage } from '../../../src/erofs/index.ts'
import { ComposefsError } from '../../../src/errors.ts'
import { dumpfileText, readDumpfile } from '../../../src/streams/index.ts'
import { type EntryType, type FileSystem, transformForOci } from '../../../src/tree/index.ts'
import { directory, file, hardlink, type Item, item, merge, symlink, whiteout } from '../../support/layer-entries.ts'
import { runs } from '../../support/runs.ts'

const name = fc.constantFrom('a', 'b', 'c', 'usr', 'run')
const path = fc.array(name, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'))
const time = fc.integer({ min: 0, max: 9 })

/** Entries of few names, so that they meet. */
const anyItem: fc.Arbitrary<Item> = fc.oneof(
  { weight: 4, arbitrary: fc.tuple(path, time).map(([path, mtime]) => directory(path, { mtime })) },
  { weight: 4, arbitrary: fc.tuple(path, fc.string({ maxLength: 3 })).map(([path, text]) => file(path, text)) },
  { weight: 2, arbitrary: fc.tuple(path, path).map(([path, target]) => hardlink(path, target)) },
  { weight: 1, arbitrary: path.map((path) => symlink(path, 'target')) },
  { weight: 2, arbitrary: path.map((path) => whiteout(path.replace(/[^/]+$/, '.wh.$&'))) },
  { weight: 1, arbitrary: path.map((path) => whiteout(path.replace(/[^/]+$/, '.wh..wh..opq'))) },
)

/** Entries of any bytes and any type. */
const oddPath = fc.oneof(
  path,
  fc.string({ unit: 'binary', maxLength: 12 }).map((text) => Buffer.from(text).toString('latin1')),
  fc.constantFrom('', '/', './', '..', 'a/../b', 'a//b', '.wh.', '.wh..wh.', '/.wh..wh..opq', 'n'.repeat(256)),
)
const types: EntryType[] = [
  ...(['file', 'directory', 'symlink', 'hardlink', 'character-device'] as const),
  ...(['block-device', 'fifo', 'socket', 'unsupported'] as const),
]
const oddItem = fc
  .tuple(fc.constantFrom(...types), oddPath, oddPath, fc.nat({ max: 0o7777 }), fc.nat())
  .map(([type, path, linkTarget, mode, rdev]) => item(type, path, { linkTarget, mode, rdev }))

const layers = <T>(items: fc.Arbitrary<T>) =>
  fc.array(fc.array(items, { maxLength: 12 }), { minLength: 1, maxLength: 4 })

function text(fileSystem: FileSystem): string {
  return dumpfileText(fileSystem).toString('latin1')
}

describe('merging', () => {
  test('gives a tree that dumpfiles and images can hold, or an error of ours', () => {
    fc.assert(
      fc.property(layers(fc.oneof(anyItem, oddItem)), fc.boolean(), (layers, implicitParents) => {
        let fileSystem: FileSystem
        try {
          fileSystem = merge(layers, { implicitParents })
          transformForOci(fileSystem, { root: 'newest', xattrs: 'all' })
        } catch (error) {
          expect(error).toBeInstanceOf(ComposefsError)
          return
        }
        expect(text(readDumpfile(dumpfileText(fileSystem)))).toBe(text(fileSystem))
        for (const version of [0, 1, 2] as const) {
          expect(writeImage(readDumpfile(dumpfileText(fileSystem)), { version })).toEqual(
            writeImage(fileSystem, { version }),
          )
        }
      }),
      { numRuns: runs(400) },
    )
  })

  test('an empty layer in between changes nothing', () => {
    fc.assert(
      fc.property(layers(anyItem), fc.nat(), (layers, at) => {
        const i = at % (layers.length + 1)
        const more = [...layers.slice(0, i), [], ...layers.slice(i)]
        const options = { implicitParents: true }
        expect(result(more, options)).toBe(result(layers, options))
      }),
    )
  })

  test('implicit parents change nothing where none are needed', () => {
    fc.assert(
      fc.property(layers(anyItem), (layers) => {
        const strict = result(layers, {})
        if (strict !== 'ERR_PARENT_MISSING') expect(result(layers, { implicitParents: true })).toBe(strict)
      }),
    )
  })

  function result(layers: Item[][], options: { implicitParents?: boolean }): string {
    try {
      return text(merge(layers, options))
    } catch (error) {
      expect(error).toBeInstanceOf(ComposefsError)
      return (error as ComposefsError).code
    }
  }
})

/** What a path is: a directory (undefined), or the contents of a file. */
type Flat = Map<string, string | undefined>

/** Directories come with all directories above them. */
const ownTree: fc.Arbitrary<Flat> = fc
  .array(fc.tuple(path, fc.option(fc.string({ maxLength: 2 }), { nil: undefined })), { maxLength: 8 })
  .map((entries) => {
    const flat: Flat = new Map()
    for (const [path, text] of entries) {
      const parts = path.split('/')
      const above = parts.slice(1).map((_, i) => parts.slice(0, i + 1).join('/'))
      if (above.some((path) => flat.get(path) !== undefined) || flat.has(path)) continue
      for (const path of above) flat.set(path, undefined)
      flat.set(path, text)
    }
    return flat
  })

const inside = (path: string, top: string) => top === '' || path.startsWith(`${top}/`)

/** The OCI image specification, word for word: first what the layer hides, then what it brings. */
function stacked(lower: Flat, upper: Flat, hidden: readonly string[], opaque: readonly string[]): Flat {
  const flat: Flat = new Map(
    [...lower].filter(
      ([path]) =>
        !hidden.some((gone) => path === gone || inside(path, gone)) && !opaque.some((top) => inside(path, top)),
    ),
  )
  for (const [path, text] of upper) {
    if (text !== undefined || flat.get(path) !== undefined)
      for (const below of [...flat.keys()]) if (inside(below, path)) flat.delete(below)
    flat.set(path, text)
  }
  return flat
}

test('whiteouts hide lower layers only, wherever they stand in their layer', () => {
  const numbers = fc.array(fc.nat(), { minLength: 12, maxLength: 12 })
  fc.assert(
    fc.property(ownTree, ownTree, fc.array(name, { maxLength: 4 }), numbers, (lower, upper, hide, numbers) => {
      const number = () => numbers.push(numbers.shift()!) && numbers.at(-1)!
      const own = ['', ...[...upper].filter(([, text]) => text === undefined).map(([path]) => path)]
      const items = [...upper].map(([path, text]) => (text === undefined ? directory(path) : file(path, text)))
      const hidden: string[] = []
      const opaque: string[] = []
      for (const name of hide) {
        const parent = own[number() % own.length]!
        const prefix = parent === '' ? '' : `${parent}/`
        const isOpaque = number() % 3 === 0
        if (isOpaque) opaque.push(parent)
        else hidden.push(prefix + name)
        // Anywhere behind the directory it is in.
        const first = items.findIndex(({ entry }) => (entry.path as string) === parent) + 1
        const at = first + (number() % (items.length - first + 1))
        items.splice(at, 0, whiteout(`${prefix}.wh.${isOpaque ? '.wh..opq' : name}`))
      }
      const lowerItems = [...lower].map(([path, text]) => (text === undefined ? directory(path) : file(path, text)))
      const wanted = stacked(lower, upper, hidden, opaque)
      const found = [...merge([lowerItems, items]).walk()].slice(1).map((found): [string, string | undefined] => {
        if (found.kind === 'link' || found.inode.kind === 'directory') return [found.path.slice(1), undefined]
        const { content } = found.inode
        return [found.path.slice(1), content.type === 'inline' ? content.bytes.toString('latin1') : '?']
      })
      expect(new Map(found)).toEqual(wanted)
    }),
    { numRuns: runs(500) },
  )
})
