/**
 * Images that the reference tools have made: from the same archive come the same ids and dumpfiles, for all formats and
 * both hashes; what they refuse, or should, is refused and leaves nothing behind.
 */
import { Readable } from 'node:stream'
import { describe, expect, test } from 'vitest'
import type { ErofsVersion } from '../../src/erofs/format.ts'
import { writeImage } from '../../src/erofs/index.ts'
import { ComposefsError } from '../../src/errors.ts'
import { type Algorithm, fsverityDigest } from '../../src/fsverity/index.ts'
import {
  imageTree,
  importArchive,
  layersToTree,
  linkedImage,
  listImages,
  openImage,
  resolveConfig,
  type TreeOptions,
} from '../../src/oci/index.ts'
import type { Repository } from '../../src/repository/index.ts'
import { dumpfileText } from '../../src/streams/index.ts'
import type { FileSystem } from '../../src/tree/index.ts'
import { committed, type GoldenImage, golden, goldenArchive, type Ids, layerTar } from '../support/golden-images.ts'
import { digestOf, dockerArchive } from '../support/image-archive.ts'
import { shared } from '../support/shared.ts'
import { leftovers, published, temporaryRepository } from '../support/temporary-repository.ts'

const algorithms: Algorithm[] = ['sha256', 'sha512']
const versions: ErofsVersion[] = [0, 1, 2]
const name = 'img/t%1'

/** What is refused, and how we call it. */
const refused: Record<string, string> = {
  'only-empty': 'ERR_USR_MISSING',
  'only-dotdot': 'ERR_PATH_INVALID',
  'only-missing-parents': 'ERR_PARENT_MISSING',
  'only-file-as-parent': 'ERR_PARENT_NOT_DIRECTORY',
  'only-hardlink-missing': 'ERR_HARDLINK_TARGET',
  'only-whiteout-top': 'ERR_HARDLINK_TARGET',
  'layer-gzip-cut': 'ERR_COMPRESSION_TRUNCATED',
  'layer-gzip-bad-crc': 'ERR_COMPRESSION_DATA',
  'layer-zstd-bad-checksum': 'ERR_COMPRESSION_DATA',
  'media-type-xz': 'ERR_OCI_MEDIA_TYPE',
  artifact: 'ERR_OCI_MEDIA_TYPE',
  'no-usr': 'ERR_USR_MISSING',
  'no-layers': 'ERR_USR_MISSING',
  'usr-is-symlink': 'ERR_NOT_DIRECTORY',
  'run-is-symlink': 'ERR_NOT_DIRECTORY',
  'diff-ids-too-few': 'ERR_OCI_JSON',
  'blob-missing': 'ERR_ARCHIVE_INCOMPLETE',
  // Taken by the reference against the specification.
  'wrong-diff-id': 'ERR_DIGEST_MISMATCH',
  'wrong-blob-digest': 'ERR_DIGEST_MISMATCH',
  'wrong-manifest-digest': 'ERR_DIGEST_MISMATCH',
}

/** What the reference refuses and other tools take: the first bytes tell the compression, and zeros may follow it. */
const taken = ['layer-gzip-trailing-zeros', 'layer-gzip-called-zstd', 'layer-gzip-called-plain']

/**
 * Where the reference is wrong: in a V7 header a name that ends in a slash is a directory. The ids are those that
 * mkcomposefs 1.0.8 gives for this dumpfile.
 */
const v7 = {
  dumpfile: [
    '/ 0 40755 3 0 0 0 1700000000.0 - - -',
    '/usr 0 40755 3 0 0 0 1700000000.0 - - -',
    '/usr/dirslash 0 40755 2 0 0 0 1700000000.0 - - -',
    '/usr/old 3 100644 1 0 0 0 1700000000.0 - old -',
    '',
  ].join('\n'),
  ids: {
    'sha256-V0': '809ce8edb32cf4ac82d9bfbf442781931cf895c0d1a1691568a6acbcc860ec26',
    'sha256-V1': '1403da0e0352a250c2b6921434b0aeb03b92201a9d5f789f88a9e7d3b422ecf6',
  },
  keep_user_xattrs_sha256_V1: '1403da0e0352a250c2b6921434b0aeb03b92201a9d5f789f88a9e7d3b422ecf6',
}
const corrected: Record<string, Partial<GoldenImage>> = { 'only-v7': v7 }

/** The ids of a tree in all formats that the reference gives one for. */
function idsOf(fileSystem: FileSystem, algorithm: Algorithm, wanted: Ids): Ids {
  const names = versions.map((version) => [version, `${algorithm}-V${version}`] as const)
  return Object.fromEntries(
    names
      .filter(([, name]) => wanted[name] !== undefined)
      .map(([version, name]) => [name, fsverityDigest(algorithm, writeImage(fileSystem, { version })).hex]),
  )
}

/** What the reference says, without what belongs to the other hash. */
function goldenIds(image: GoldenImage, algorithm: Algorithm): Ids {
  const ids = Object.entries(image.ids ?? {}).filter(([name]) => name.startsWith(algorithm))
  const right = Object.fromEntries(ids)
  // The C tool raises the version where there is a whiteout (shared/vectors/README.md): V0 is V1 there.
  const hasWhiteout = / 20[0-7]{3} 1 \d+ \d+ 0 /.test(image.dumpfile ?? '')
  if (hasWhiteout && right['sha256-V1'] !== undefined) right['sha256-V0'] = right['sha256-V1']
  return right
}

function text(fileSystem: FileSystem): string {
  return dumpfileText(fileSystem, { firstNames: true }).toString('latin1')
}

/** The object ids in a dumpfile of the reference are of sha256. */
function expectDumpfile(fileSystem: FileSystem, algorithm: Algorithm, dumpfile: string | undefined): void {
  if (algorithm === 'sha256' && dumpfile !== undefined) expect(text(fileSystem)).toBe(dumpfile)
}

async function importImage(repository: Repository, image: GoldenImage): Promise<FileSystem> {
  const [result, ...others] = await importArchive(repository, Readable.from([goldenArchive(image)]), { name })
  expect(others).toEqual([])
  const { config, manifestDigest } = openImage(repository, name)
  expect(manifestDigest).toBe(image.manifest_digest)
  expect(config!.document.json.toString()).toBe(image.config)
  expect(openImage(repository, name).manifestBytes.toString()).toBe(image.manifest)
  expect(result!.imageId).toEqual(linkedImage(config!, repository.formats.default))
  expect(repository.listImageIds()).toEqual([result!.imageId])
  return imageTree(repository, config!)
}

/** A tree made of the same layers by other rules, or why there is none. */
async function otherTree(repository: Repository, options: TreeOptions): Promise<FileSystem | string> {
  try {
    return await imageTree(repository, await resolveConfig(repository, name), options)
  } catch (error) {
    if (error instanceof ComposefsError) return error.code
    throw error
  }
}

function describeImage(label: string, image: GoldenImage): void {
  test.each(algorithms)(`${label}: %s`, async (algorithm) => {
    const repository = await temporaryRepository({ algorithm })
    const fileSystem = await importImage(repository, image)
    expectDumpfile(fileSystem, algorithm, image.dumpfile)
    const ids = goldenIds(image, algorithm)
    expect(idsOf(fileSystem, algorithm, ids)).toEqual(ids)
    const linked = repository.listImageIds()[0]!.hex
    expect(linked).toBe(fsverityDigest(algorithm, writeImage(fileSystem, { version: 1 })).hex)

    const { config } = openImage(repository, name)
    const again = await imageTree(repository, await resolveConfig(repository, `@${config!.digest}`))
    expect(text(again)).toBe(text(fileSystem))
    if (image.images_json !== undefined) {
      expect([...listImages(repository)].map((found) => 'error' in found || snakeCase(found))).toEqual(
        image.images_json.images,
      )
    }

    const kept = (await otherTree(repository, { xattrs: 'keep-user-xattrs' })) as FileSystem
    const keptIds = image.keep_user_xattrs_ids ?? { 'sha256-V1': image.keep_user_xattrs_sha256_V1! }
    expect(idsOf(kept, algorithm, keptIds)).toEqual(only(keptIds, algorithm))
    expectDumpfile(kept, algorithm, image.keep_user_xattrs_dumpfile)

    const bootable = await otherTree(repository, { bootable: true })
    const bootableIds = image.bootable_ids ?? { 'sha256-V1': image.bootable_sha256_V1! }
    if (Object.values(bootableIds)[0]?.startsWith('Error') === true) {
      expect(bootable).toBe('ERR_NOT_FOUND')
    } else if (Object.values(bootableIds)[0] !== undefined) {
      expect(idsOf(bootable as FileSystem, algorithm, bootableIds)).toEqual(only(bootableIds, algorithm))
      expectDumpfile(bootable as FileSystem, algorithm, image.bootable_dumpfile)
    }
  })

  test.each([0, 2] as const)(`${label}: into a repository of format V%i`, async (erofsVersion) => {
    const repository = await temporaryRepository({ erofsVersion })
    const fileSystem = await importImage(repository, image)
    const [id] = repository.listImageIds()
    const ids = goldenIds(image, 'sha256')
    expect(idsOf(fileSystem, 'sha256', ids)).toEqual(ids)
    expect(id).toEqual(fsverityDigest('sha256', writeImage(fileSystem, { version: erofsVersion })))
  })
}

/** Fields whose values are undefined in the reference's JSON do not occur. */
function only(ids: Ids, algorithm: Algorithm): Ids {
  return Object.fromEntries(Object.entries(ids).filter(([name, id]) => id !== undefined && name.startsWith(algorithm)))
}

function snakeCase(object: object): object {
  const snake = (key: string) => key.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
  return Object.fromEntries(Object.entries(object).map(([key, value]) => [snake(key), value]))
}

function describeRefused(label: string, image: GoldenImage): void {
  test(`${label} is refused`, async () => {
    const repository = await temporaryRepository()
    const importing = importArchive(repository, Readable.from([goldenArchive(image)]), { name })
    await expect(importing).rejects.toMatchObject({ name: 'ComposefsError', code: refused[label] })
    expect(published(repository)).toEqual({})
    expect(leftovers(repository)).toEqual([])
  })
}

function describeTaken(label: string, image: GoldenImage): void {
  test(`${label} is the image of the same layers`, async () => {
    const tars = image.layers.map(layerTar)
    const [first, second] = await Promise.all(
      [goldenArchive(image), dockerArchive(tars)].map(async (bytes) => {
        const [result] = await importArchive(await temporaryRepository(), Readable.from([bytes]), { name })
        return [result!.imageId.hex, result!.configDigest === digestOf(Buffer.from(image.config))]
      }),
    )
    expect(first).toEqual([second![0], true])
  })
}

function describeImages(images: Record<string, GoldenImage>): void {
  for (const [label, found] of Object.entries(images)) {
    const image = { ...found, ...corrected[label] }
    if (taken.includes(label)) describeTaken(label, image)
    else if (refused[label] === undefined) describeImage(label, image)
    else describeRefused(label, image)
  }
}

describe('images that are committed with this package', () => {
  describeImages(committed)
})

describe.skipIf(!shared.available)('all images', () => {
  describeImages(golden)

  test('everything that the reference refused is looked at', () => {
    const rejected = Object.entries(golden).filter(
      ([, image]) => image.pull_error !== undefined || image.pull?.outcome === 'reject' || image.reference === 'bug',
    )
    expect([...Object.keys(refused), ...taken]).toEqual(expect.arrayContaining(rejected.map(([label]) => label)))
    expect(rejected.length).toBeGreaterThan(15)
  })

  test.each(['merge', 'root-rules', 'four-mixed', 'same-layer-twice'])('%s as a docker-archive', async (label) => {
    const image = golden[label]!
    const repository = await temporaryRepository()
    const tars = image.layers.map(layerTar)
    const source = Readable.from([dockerArchive(tars, ['docker.io/library/x:1'])])
    const [result] = await importArchive(repository, source)
    expect(result!.imageId.hex).toBe(image.ids!['sha256-V1'])
    expect(result!.diffIds).toEqual(tars.map(digestOf))
    const { layers } = openImage(repository, 'docker.io/library/x:1').config!
    expect(text(await layersToTree(repository, layers))).toBe(image.dumpfile)
  })
})
