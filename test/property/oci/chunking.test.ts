/** The output of a whole import never depends on how its input is cut. */
import { Readable } from 'node:stream'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { importArchive } from '../../../src/oci/index.ts'
import { encodeZstd } from '../../../src/streams/index.ts'
import { cut } from '../../support/chunks.ts'
import { tree } from '../../support/files.ts'
import { archive, configOf, dockerMembers, imageOf, ociMembers } from '../../support/image-archive.ts'
import { Random } from '../../support/random.ts'
import { randomLayers } from '../../support/random-layers.ts'
import { runs } from '../../support/runs.ts'
import { temporaryRepository } from '../../support/temporary-repository.ts'

const suffixes = ['', '+gzip', '+zstd'] as const
const pack = { '': (bytes: Buffer) => bytes, '+gzip': (bytes: Buffer) => gzipSync(bytes), '+zstd': encodeZstd }

/** Some archive of some image. */
function randomArchive(seed: number): Buffer {
  const random = new Random(seed)
  const tars = randomLayers(seed)
  const blobs = tars.map((bytes) => {
    const suffix = random.pick(suffixes)
    return { bytes: pack[suffix](bytes), suffix }
  })
  const members = random.chance(0.5) ? ociMembers(imageOf(tars, blobs)) : dockerMembers(configOf(tars), tars)
  const bytes = archive(random.chance(0.5) ? members : [...members].reverse())
  return pack[random.pick(suffixes)](bytes)
}

/** What is in the repository afterwards, and what the import said. */
async function imported(chunks: readonly Buffer[]) {
  const repository = await temporaryRepository()
  const images = await importArchive(repository, Readable.from(chunks), { name: 'x' })
  return {
    images: images.map(({ imageId, manifestDigest, configDigest }) => [imageId.hex, manifestDigest, configDigest]),
    tree: tree(repository.path),
    stats: { ...repository.stats },
  }
}

describe('an import', () => {
  test('of one whole chunk and of random chunks is the same', async () => {
    const sizes = fc.array(fc.oneof(fc.integer({ min: 1, max: 700 }), fc.integer({ min: 1, max: 100_000 })), {
      minLength: 1,
    })
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 1000 }), sizes, async (seed, sizes) => {
        const bytes = randomArchive(seed)
        expect(await imported(cut(bytes, sizes))).toEqual(await imported([bytes]))
      }),
      { numRuns: runs(20) },
    )
  })

  test.each([1, 2, 3])('byte by byte is the same (%i)', async (seed) => {
    const bytes = randomArchive(seed)
    expect(await imported(cut(bytes, [1]))).toEqual(await imported([bytes]))
  })
})
