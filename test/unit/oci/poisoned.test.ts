/** Repositories in which names lead to contents that do not have them: by malice, by tools that check nothing, by decay. */
import { mkdirSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { describe, expect, onTestFinished, test } from 'vitest'
import { fsverityDigest, type ObjectId } from '../../../src/fsverity/index.ts'
import {
  configStream,
  copyImage,
  DirectorySource,
  imageTree,
  importArchive,
  importLayer,
  LayoutDestination,
  layerStream,
  layersToTree,
  linkedImage,
  manifestStream,
  openConfig,
  openImage,
  type PullEvent,
  pullAny,
  pullImage,
  pushImage,
  readDocument,
  resolveConfig,
  storeImage,
} from '../../../src/oci/index.ts'
import { ObjectDirectory, Repository } from '../../../src/repository/index.ts'
import { contentTypes, encodeSplitstream, parseSplitstream } from '../../../src/streams/index.ts'
import { artifactOf, digestOf, type ImageBytes, imageOf, ociArchive } from '../../support/image-archive.ts'
import { paths } from '../../support/layer-entries.ts'
import { writeLayout } from '../../support/random-images.ts'
import { inline, odd, word } from '../../support/splitstream.ts'
import { entry, tar } from '../../support/tar.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'
import { published, temporaryRepository } from '../../support/temporary-repository.ts'

const usr = entry({ name: 'usr/', type: '5', mode: 0o755 })
const small = Buffer.alloc(5000, 'small')
const large = Buffer.alloc(200_000, 'large')
const huge = Buffer.alloc(1_100_000, 'huge')
const good = tar(
  usr,
  entry({ name: 'usr/small' }, small),
  entry({ name: 'usr/large' }, large),
  entry({ name: 'usr/huge' }, huge),
)
const evil = tar(usr, entry({ name: 'usr/evil' }, Buffer.alloc(5000, 'evil')))
const other = tar(usr, entry({ name: 'usr/other' }))
const image = imageOf([good, other])
const diffId = digestOf(good)

function layout(of: ImageBytes): string {
  const directory = join(temporaryDirectory(), 'layout')
  writeLayout(directory, of)
  return directory
}

/** What a tool does that never looks at what it links. */
async function poison(repository: Repository, name: string = layerStream(diffId)): Promise<ObjectId> {
  const { id } = await importLayer(repository, Readable.from([evil]))
  await repository.linkStream(name, id)
  return id
}

async function importInto(repository: Repository) {
  const [imported] = await importArchive(repository, Readable.from([ociArchive(image)]), { name: 'x' })
  return imported!
}

/** Events of one pull, `good` being layer 1. */
async function pullInto(repository: Repository, of = image) {
  const cached: boolean[] = []
  const onEvent = (event: PullEvent): void => {
    if (event.type === 'layer') cached[event.number - 1] = event.cached
  }
  await pullAny(repository, DirectorySource.layout(layout(of)), { name: 'x', onEvent })
  return cached
}

const into = [
  ['import', async (repository: Repository) => void (await importInto(repository))],
  ['pull', async (repository: Repository) => void (await pullInto(repository))],
  [
    'copy',
    async (repository: Repository) => {
      const from = await temporaryRepository()
      await importInto(from)
      await copyImage(from, 'x', repository, { name: 'x' })
    },
  ],
] as const

let cleanLinks: Record<string, string> | undefined

/** What a repository publishes that knew nothing before. */
async function clean(): Promise<Record<string, string>> {
  if (cleanLinks !== undefined) return cleanLinks
  const repository = await temporaryRepository()
  await importInto(repository)
  cleanLinks = published(repository)
  return cleanLinks
}

test.each(into)('%s puts the layer that it has in the place of another that has its name', async (_, bring) => {
  const repository = await temporaryRepository()
  await poison(repository)
  await bring(repository)
  expect(published(repository)).toMatchObject(await clean())
  expect(paths(await imageTree(repository, await resolveConfig(repository, 'x')))).not.toContain('/usr/evil')
})

// A copy is a pull.
describe.each(into.slice(0, 2))('%s', (_, bring) => {
  test.each<[string, (repository: Repository, link: string) => unknown]>([
    ['to nothing', (_, link) => symlinkSync(`../objects/${fsverityDigest('sha256', evil).path}`, link)],
    ['out of the repository', (_, link) => symlinkSync('/etc/passwd', link)],
    ['to itself', (_, link) => symlinkSync(link, link)],
    [
      'to what is no splitstream',
      (repository, link) => symlinkSync(`../objects/${repository.objects.put(evil).path}`, link),
    ],
    [
      'to a blob of an artifact',
      (repository, link) => {
        const body = { type: 'external', id: repository.objects.put(good), size: good.length } as const
        const stream = encodeSplitstream({ algorithm: 'sha256', contentType: contentTypes.blob, body })
        symlinkSync(`../objects/${repository.objects.put(stream).path}`, link)
      },
    ],
    [
      'to its tar, but not by the rules',
      (repository, link) => {
        const stream = odd({ contentType: contentTypes.layer, stream: inline(good), streamSize: good.length })
        symlinkSync(`../objects/${repository.objects.put(stream).path}`, link)
      },
    ],
    ['to a file', (_, link) => writeFileSync(link, 'x')],
  ])('puts it in the place of a link %s', async (_, link) => {
    const repository = await temporaryRepository()
    mkdirSync(join(repository.path, 'streams'), { recursive: true })
    link(repository, join(repository.path, 'streams', layerStream(diffId)))
    await bring(repository)
    expect(published(repository)).toMatchObject(await clean())
  })

  test('mends config and manifest that have the names of others', async () => {
    const repository = await temporaryRepository()
    const evilImage = imageOf([evil])
    await importArchive(repository, Readable.from([ociArchive(evilImage)]), { name: 'evil' })
    const evilConfig = repository.hasStream(configStream(digestOf(evilImage.config)))!
    const evilManifest = repository.hasStream(manifestStream(digestOf(evilImage.manifest)))!
    await repository.transaction((transaction) =>
      transaction
        .linkStream(configStream(digestOf(image.config)), evilConfig)
        .linkStream(manifestStream(digestOf(image.manifest)), evilManifest),
    )
    await bring(repository)
    expect(published(repository)).toMatchObject(await clean())
  })

  test('takes over no image that was made of other layers', async () => {
    const repository = await temporaryRepository()
    await poison(repository)
    // A config with the right bytes, as a pull leaves it that believed the layer.
    const evilImage = repository.objects.put(Buffer.alloc(5000, 'image'))
    const layers = new Map([
      [diffId, repository.hasStream(layerStream(diffId))!],
      [digestOf(other), (await importLayer(repository, Readable.from([other]))).id],
    ])
    const body = { type: 'external', id: repository.objects.put(image.config), size: image.config.length } as const
    const config = encodeSplitstream({
      algorithm: 'sha256',
      contentType: contentTypes.config,
      namedRefs: [...layers, ['composefs.image.boot.v1', evilImage], ['composefs.image', evilImage]],
      body,
    })
    await repository.linkStream(configStream(digestOf(image.config)), repository.objects.put(config))
    await bring(repository)
    expect(published(repository)).toMatchObject(await clean())
    expect(openImage(repository, 'x').config!.document.namedRefs).not.toContain(evilImage)
  })

  test('replaces a damaged image', async () => {
    const repository = await temporaryRepository()
    await bring(repository)
    const id = linkedImage(openImage(repository, 'x').config!, 1)!
    damage(repository, id)
    const again = await reopened(repository)
    await bring(again)
    expect(again.objects.isIntact(id)).toBe(true)
  })
})

test('images of the same layers stay, if they are whole', async () => {
  const repository = await temporaryRepository()
  await importInto(repository)
  const before = readDocument(
    repository,
    repository.hasStream(configStream(digestOf(image.config)))!,
    contentTypes.config,
  )
  const boot = repository.objects.put(Buffer.alloc(5000, 'image'))
  const gone = repository.objects.put(Buffer.alloc(5001, 'image'))
  const namedRefs = [...before.namedRefs, ['composefs.image.boot.v1', boot], ['composefs.image', gone]] as const
  const body = { type: 'external', id: repository.objects.put(image.config), size: image.config.length } as const
  const config = encodeSplitstream({ algorithm: 'sha256', contentType: contentTypes.config, namedRefs, body })
  await repository.linkStream(configStream(digestOf(image.config)), repository.objects.put(config))
  damage(repository, gone)
  await importInto(repository)
  const { namedRefs: after } = openImage(repository, 'x').config!.document
  expect(after.get('composefs.image.boot.v1')).toEqual(boot)
  expect(after.get('composefs.image')).toBeUndefined()
})

describe('a layer that is there in another encoding', () => {
  const different = async (repository: Repository) => {
    const { id } = await importLayer(repository, Readable.from([good]))
    const { objectRefs, ...rest } = parseSplitstream(repository.readObject(id))
    const parts = [...rest.chunks()].map((chunk) =>
      chunk.kind === 'inline'
        ? inline(Buffer.from(chunk.bytes))
        : word(objectRefs.findIndex((ref) => ref.equals(chunk.id))),
    )
    const { contentType, streamSize } = rest
    const stream = odd({ contentType, streamSize, objectRefs, stream: Buffer.concat(parts) })
    const another = repository.objects.put(stream)
    expect(another).not.toEqual(id)
    await repository.linkStream(layerStream(diffId), another)
    return another
  }

  test.each(into)('stays at %s: it proves equal', async (_, bring) => {
    const repository = await temporaryRepository()
    const another = await different(repository)
    await bring(repository)
    expect(repository.hasStream(layerStream(diffId))).toEqual(another)
    expect(openImage(repository, 'x').layers[0]).toEqual(another)
  })

  test('is what importLayer answers', async () => {
    const repository = await temporaryRepository()
    const another = await different(repository)
    const before = repository.stats.newObjects
    expect(await importLayer(repository, Readable.from([good]))).toMatchObject({ id: another, present: true })
    expect(repository.stats.newObjects).toBe(before)
  })
})

/** The same size, another byte. */
function damage(repository: Repository, id: ObjectId): void {
  const path = repository.objects.pathOf(id)
  const bytes = repository.objects.read(id, { verify: false })
  bytes[bytes.length >> 1]! ^= 1
  unlinkSync(path)
  writeFileSync(path, bytes)
}

/** As the next command finds it: nothing is remembered. */
async function reopened(repository: Repository, options = {}): Promise<Repository> {
  await repository.close()
  const again = await Repository.open(repository.path, options)
  onTestFinished(() => again.close())
  return again
}

const objects: [string, (repository: Repository) => ObjectId][] = [
  ['a small object', () => fsverityDigest('sha256', small)],
  ['a large object', () => fsverityDigest('sha256', large)],
  ['an object that comes in pieces', () => fsverityDigest('sha256', huge)],
  ['its splitstream', (repository) => repository.hasStream(layerStream(diffId))!],
]

describe('of a layer that is there', () => {
  const harms = [
    ['is damaged', damage],
    ['is missing', (repository: Repository, id: ObjectId) => rmSync(repository.objects.pathOf(id))],
  ] as const

  test.each(objects.flatMap(([what, find]) => harms.map(([how, harm]) => [what, how, find, harm] as const)))(
    '%s %s: a pull fetches it again',
    async (_what, _how, find, harm) => {
      const repository = await temporaryRepository()
      expect(await pullInto(repository)).toEqual([false, false])
      const id = find(repository)
      harm(repository, id)
      const again = await reopened(repository)
      expect(await pullInto(again)).toEqual([false, true])
      expect(again.objects.isIntact(id)).toBe(true)
      expect(again.stats).toMatchObject({ newObjects: 1 })
      expect(await pullInto(again)).toEqual([true, true])
    },
  )

  test.each([[0, {}], [3, {}], ...[1, 2].map((i) => [i, { verifyObjects: true }] as const)] as const)(
    'object %i is damaged: an import replaces it (%j)',
    async (i, options) => {
      const repository = await temporaryRepository()
      await importInto(repository)
      const id = objects[i]![1](repository)
      damage(repository, id)
      const again = await reopened(repository, options)
      await importInto(again)
      expect(again.objects.isIntact(id)).toBe(true)
      expect(again.stats).toMatchObject({ newObjects: 1, replacedObjects: 1 })
    },
  )

  test('after one damaged object an import believes no size', async () => {
    const repository = await temporaryRepository()
    await importInto(repository)
    const ids = [small, large, huge].map((bytes) => fsverityDigest('sha256', bytes))
    for (const id of ids) damage(repository, id)
    const again = await reopened(repository)
    expect(() => again.readObject(ids[0]!)).toThrow(expect.objectContaining({ code: 'ERR_REPOSITORY_CORRUPT' }))
    await importInto(again)
    expect(ids.map((id) => again.objects.isIntact(id))).toEqual([true, true, true])
  })
})

describe('the blob of an artifact', () => {
  const artifact = artifactOf([{ mediaType: 'text/plain', bytes: huge }])
  const name = layerStream(digestOf(huge))

  test('is fetched again where another has its name', async () => {
    const repository = await temporaryRepository()
    const body = { type: 'external', id: repository.objects.put(Buffer.from('evil')), size: huge.length } as const
    const stream = encodeSplitstream({ algorithm: 'sha256', contentType: contentTypes.blob, body })
    await repository.linkStream(name, repository.objects.put(stream))
    expect(await pullInto(repository, artifact)).toEqual([false])
    expect(await pullInto(repository, artifact)).toEqual([true])
    const [object] = parseSplitstream(repository.readObject(repository.hasStream(name)!)).objectRefs
    expect(object).toEqual(fsverityDigest('sha256', huge))
  })

  test.each(['damaged', 'missing'])('is fetched again where it is %s', async (how) => {
    const repository = await temporaryRepository()
    await pullInto(repository, artifact)
    const id = fsverityDigest('sha256', huge)
    if (how === 'damaged') damage(repository, id)
    else rmSync(repository.objects.pathOf(id))
    const again = await reopened(repository)
    expect(await pullInto(again, artifact)).toEqual([false])
    expect(again.objects.isIntact(id)).toBe(true)
  })
})

describe('an image whose layer is another', () => {
  /** The documents of the image are right; one of its layers is not. */
  async function poisonedImage() {
    const repository = await temporaryRepository()
    const evilId = await poison(repository)
    const layers = [
      [diffId, evilId],
      [digestOf(other), (await importLayer(repository, Readable.from([other]))).id],
    ] as const
    const document = (contentType: bigint, json: Buffer, namedRefs: Iterable<readonly [string, ObjectId]>) => {
      const body = { type: 'external', id: repository.objects.put(json), size: json.length } as const
      return repository.objects.put(encodeSplitstream({ algorithm: 'sha256', contentType, namedRefs, body }))
    }
    const config = document(contentTypes.config, image.config, layers)
    const refs = [[`config:${digestOf(image.config)}`, config] as const, ...layers]
    const manifest = document(contentTypes.manifest, image.manifest, refs)
    await repository.transaction((transaction) =>
      transaction
        .linkStream(configStream(digestOf(image.config)), config)
        .linkStream(manifestStream(digestOf(image.manifest)), manifest)
        .setRef('streams', 'oci/x', manifestStream(digestOf(image.manifest))),
    )
    return { repository, config }
  }

  const mismatch = { code: 'ERR_DIGEST_MISMATCH', expected: diffId, actual: digestOf(evil) }

  test('is refused by its tag and by its config, unless the id of that is known', async () => {
    const { repository, config } = await poisonedImage()
    await expect(resolveConfig(repository, 'x')).rejects.toMatchObject(mismatch)
    await expect(resolveConfig(repository, 'x')).rejects.toThrow(/^layer 1 of 2: /)
    await expect(openConfig(repository, digestOf(image.config))).rejects.toMatchObject(mismatch)
    expect((await resolveConfig(repository, 'x', config)).layers).toHaveLength(2)
  })

  test('is neither copied nor pushed', async () => {
    const { repository } = await poisonedImage()
    const to = await temporaryRepository()
    await expect(copyImage(repository, 'x', to, { name: 'x' })).rejects.toMatchObject(mismatch)
    expect(Object.keys(published(to))).not.toContain(expect.stringContaining('refs/'))
    const destination = new LayoutDestination(join(temporaryDirectory(), 'out'), 'x')
    await expect(pushImage(repository, 'x', destination)).rejects.toMatchObject(mismatch)
  })

  test('is mended by a pull', async () => {
    const { repository } = await poisonedImage()
    await pullImage(repository, DirectorySource.layout(layout(image)), { name: 'x' })
    expect(published(repository)).toMatchObject(await clean())
  })
})

test('an image is compared with its id, however large it is', async () => {
  const repository = await temporaryRepository()
  const files = Array.from({ length: 1000 }, (_, i) => entry({ name: `usr/${'name'.repeat(10)}${i}` }))
  const { id: layer } = await importLayer(repository, Readable.from([tar(usr, ...files)]))
  const tree = await layersToTree(repository, [layer])
  const id = await storeImage(repository, tree, 1)
  expect(repository.objects.sizeOf(id)).toBeGreaterThan(64 * 1024)
  damage(repository, id)
  const again = await reopened(repository)
  expect(await storeImage(again, tree, 1)).toEqual(id)
  expect(again.objects.isIntact(id)).toBe(true)
})

test('an object that is a symlink is replaced', () => {
  const directory = temporaryDirectory()
  const store = new ObjectDirectory(join(directory, 'objects'), 'sha256')
  const id = store.put(large)
  writeFileSync(join(directory, 'elsewhere'), large)
  rmSync(store.pathOf(id))
  symlinkSync(join(directory, 'elsewhere'), store.pathOf(id))
  new ObjectDirectory(store.path, 'sha256').put(large)
  writeFileSync(join(directory, 'elsewhere'), 'changed')
  expect(store.isIntact(id)).toBe(true)
})
