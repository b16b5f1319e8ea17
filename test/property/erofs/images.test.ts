import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type ErofsVersion, imageObjects, readImage, writeImage } from '../../../src/erofs/index.ts'
import { ComposefsError } from '../../../src/errors.ts'
import { readDumpfile } from '../../../src/streams/dumpfile-reader.ts'
import type { FileSystem } from '../../../src/tree/index.ts'
import { randomDumpfile } from '../../support/random-dumpfile.ts'
import { runs } from '../../support/runs.ts'

const seeds = fc.integer({ min: 0, max: 2 ** 31 })
const versions = fc.constantFrom<ErofsVersion>(0, 1, 2)

/** The image, or undefined where the version cannot hold the tree. */
function tryWrite(fileSystem: FileSystem, version: ErofsVersion): Buffer | undefined {
  try {
    return writeImage(fileSystem, { version, raise: false })
  } catch (error) {
    if (error instanceof ComposefsError && error.code === 'ERR_EROFS_LIMIT') return undefined
    throw error
  }
}

describe('random trees', () => {
  test('an image that is read gives the same image', () => {
    let compared = 0
    fc.assert(
      fc.property(seeds, versions, (seed, version) => {
        const image = tryWrite(readDumpfile(randomDumpfile(seed).text), version)
        if (image === undefined) return
        const read = readImage(image, { maxTarget: 4095 })
        expect(read.version).toBe(version)
        expect(writeImage(read.fileSystem, { version, raise: false }).equals(image)).toBe(true)
        compared++
      }),
      { numRuns: runs(400) },
    )
    expect(compared).toBeGreaterThan(200)
  })

  test('the objects of an image are those of its tree', () => {
    fc.assert(
      fc.property(seeds, (seed) => {
        const fileSystem = readDumpfile(randomDumpfile(seed, { rust: true }).text)
        const wanted = new Set<string>()
        for (const item of fileSystem.walk()) {
          if (item.kind !== 'inode' || item.inode.kind !== 'leaf') continue
          const { content } = item.inode
          if (content.type !== 'external' || content.size === 0) continue
          if (content.id !== undefined) wanted.add(content.id.hex)
          else if (content.path) wanted.add(content.path.replace('/', ''))
        }
        expect(imageObjects(writeImage(fileSystem)).map(({ hex }) => hex)).toEqual([...wanted].sort())
      }),
      { numRuns: runs(100) },
    )
  })
})

describe('damaged images', () => {
  const images = Array.from({ length: 30 }, (_, seed) => readDumpfile(randomDumpfile(seed).text))
    .flatMap((fileSystem) => ([0, 1, 2] as const).map((version) => tryWrite(fileSystem, version)))
    .filter((image) => image !== undefined)

  /** Reading ends, with a tree that can be written or with an error of the table. */
  function survives(image: Buffer): void {
    for (const read of [readImage, imageObjects]) {
      try {
        read(image)
      } catch (error) {
        if (!(error instanceof ComposefsError)) throw error
        expect(error.code).toMatch(/^ERR_EROFS_(?:INVALID|VERSION)$/)
      }
    }
  }

  const edit = fc.record({
    at: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
    value: fc.oneof(fc.integer({ min: 0, max: 0xffffffff }), fc.constantFrom(0, 1, 0xff, 0xffff, 0xffffffff)),
    size: fc.constantFrom<1 | 2 | 4>(1, 2, 4),
    inHeaders: fc.boolean(),
  })

  test('are refused or read', () => {
    expect(images.length).toBeGreaterThan(60)
    fc.assert(
      fc.property(fc.nat(), fc.array(edit, { minLength: 1, maxLength: 8 }), (which, edits) => {
        const image = Buffer.from(images[which % images.length]!)
        for (const { at, value, size, inHeaders } of edits) {
          // Most of an image is zeros that do not matter: aim at what is not.
          const area = inHeaders ? image.subarray(0, 1200) : image.subarray(1152)
          let offset = Math.floor(at * (area.length - 4))
          while (offset < area.length - 4 && area[offset] === 0) offset++
          area.writeUIntLE(value % 2 ** (8 * size), offset, size)
        }
        survives(image)
      }),
      { numRuns: runs(1500) },
    )
  })

  test('are refused or read where parts of them are copied to other places, or cut off', () => {
    const slot = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
    fc.assert(
      fc.property(
        fc.nat(),
        slot,
        slot,
        fc.constantFrom(32, 64, 512, 4096),
        fc.boolean(),
        (which, from, to, size, cut) => {
          const image = Buffer.from(images[which % images.length]!)
          const slots = image.length / 32
          const source = Math.floor(from * slots) * 32
          image.copy(image, Math.floor(to * slots) * 32, source, source + size)
          survives(cut ? image.subarray(0, Math.floor(from * image.length)) : image)
        },
      ),
      { numRuns: runs(1500) },
    )
  })

  test('random bytes behind good headers', () => {
    fc.assert(
      fc.property(fc.nat(), fc.uint8Array({ minLength: 64, maxLength: 4096 }), (which, bytes) => {
        const image = Buffer.from(images[which % images.length]!)
        Buffer.from(bytes).copy(image, 1152)
        survives(image)
        survives(Buffer.from(bytes))
      }),
      { numRuns: runs(500) },
    )
  })
})
