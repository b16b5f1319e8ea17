import { createReadStream, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import {
  catStream,
  type ImportEvent,
  type ImportOptions,
  importArchive,
  layerStream,
  openImage,
} from '../../../src/oci/index.ts'
import type { Repository } from '../../../src/repository/index.ts'
import { encodeZstd } from '../../../src/streams/index.ts'
import { cut } from '../../support/chunks.ts'
import { tree } from '../../support/files.ts'
import {
  type ArchiveMember,
  archive,
  blobName,
  configOf,
  digestOf,
  dockerArchive,
  dockerMembers,
  imageOf,
  indexOf,
  ociArchive,
  ociMembers,
} from '../../support/image-archive.ts'
import { entry, tar } from '../../support/tar.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'
import { leftovers, published, temporaryRepository } from '../../support/temporary-repository.ts'

const directory = (name: string) => entry({ name, type: '5', mode: 0o755 })
const lower = tar(directory('usr/'), entry({ name: 'usr/a' }, 'small'), entry({ name: 'usr/b' }, 'b'.repeat(1000)))
const upper = tar(
  entry({ name: 'usr/.wh.a' }),
  entry({ name: 'usr/c' }, 'c'.repeat(2000)),
  entry({ name: 'usr/d' }, 'b'.repeat(1000)),
)
const tars = [lower, upper]
const image = imageOf(tars)

const take = (repository: Repository, bytes: Buffer, options: ImportOptions = {}) =>
  importArchive(repository, Readable.from(cut(bytes, [10_000])), options)

/** An image of other layers. */
const other = [tar(directory('usr/'), entry({ name: 'usr/other' }, 'other'))]

describe('an archive', () => {
  const plain = blobNames(image)

  test('gives its image, with everything that belongs to it', async () => {
    const repository = await temporaryRepository()
    const [result, ...more] = await take(repository, ociArchive(image, 'name'))
    expect(more).toEqual([])
    expect(result).toEqual({
      kind: 'image',
      manifestDigest: digestOf(image.manifest),
      configDigest: digestOf(image.config),
      diffIds: tars.map(digestOf),
      imageId: expect.anything(),
      images: new Map([[1, result!.imageId]]),
      tags: ['name'],
    })
    const { length } = 'oci-layer-'
    expect(Object.keys(published(repository)).map((path) => path.slice(0, 'streams/'.length + length))).toHaveLength(6)
    for (const bytes of tars) {
      const { id } = repository.resolveStream(layerStream(digestOf(bytes)))
      expect(await buffer(catStream(repository, id))).toEqual(bytes)
    }
    expect(leftovers(repository)).toEqual([])
    expect(plain).toHaveLength(4)
  })

  const layouts: [string, Buffer][] = [
    ['oci-archive', ociArchive(image)],
    ['oci-archive, index first', archive([...ociMembers(image)].reverse())],
    [
      'oci-archive with directories and ./',
      archive([{ name: './', fields: { type: '5' } }, ...dotted(ociMembers(image))]),
    ],
    ['docker-archive', dockerArchive(tars)],
    ['docker-archive, manifest first', archive([...dockerMembers(image.config, tars)].reverse())],
    ['docker save before 25', archive(legacy())],
    ['docker save since 25', archive([...ociMembers(image), modern()])],
    [
      'docker save since 25 without an index',
      archive([...ociMembers(image).filter(({ name }) => name !== 'index.json'), modern()]),
    ],
    ['a gzipped oci-archive', gzipSync(ociArchive(image))],
    ['a zstd docker-archive', encodeZstd(dockerArchive(tars))],
    [
      'gzipped layers',
      ociArchive(
        imageOf(
          tars,
          tars.map((bytes) => ({ bytes: gzipSync(bytes), suffix: '+gzip' })),
        ),
      ),
    ],
    [
      'zstd layers',
      ociArchive(
        imageOf(
          tars,
          tars.map((bytes) => ({ bytes: encodeZstd(bytes), suffix: '+zstd' })),
        ),
      ),
    ],
  ]

  test('of any layout gives the same', async () => {
    const found = new Map<string, string[]>()
    for (const [layout, bytes] of layouts) {
      const repository = await temporaryRepository()
      const [result] = await take(repository, bytes, { name: 'x' })
      expect(result!.tags).toEqual(['x'])
      expect(result!.configDigest).toBe(digestOf(image.config))
      found.set(layout, [result!.imageId.hex, ...result!.diffIds])
      expect(leftovers(repository)).toEqual([])
    }
    expect(new Set([...found.values()].map(String)).size).toBe(1)
    expect(found.size).toBe(layouts.length)
  })

  test('may come from a file', async () => {
    const path = join(temporaryDirectory(), 'image.tar')
    writeFileSync(path, dockerArchive(tars, ['a:1']))
    const repository = await temporaryRepository()
    const [result] = await importArchive(repository, createReadStream(path))
    expect(result!.tags).toEqual(['a:1'])
  })

  test('blobs that nothing needs do no harm', async () => {
    const more = [
      { name: blobName(digestOf(Buffer.from('text'))), body: 'text' },
      { name: blobName(digestOf(Buffer.from('{}'))), body: '{}' },
      { name: 'README', body: 'read me' },
      { name: 'empty', body: '' },
    ]
    const repository = await temporaryRepository()
    expect(await take(repository, archive([...more, ...ociMembers(image)]))).toHaveLength(1)
  })

  test('makes all formats of the repository', async () => {
    for (const erofsVersion of [0, 1, 2] as const) {
      const repository = await temporaryRepository({ erofsVersion })
      const [result] = await take(repository, dockerArchive(tars), { name: 'x' })
      expect([...result!.images.keys()]).toEqual([erofsVersion])
    }
  })
})

describe('names', () => {
  const two = archive([
    ...dockerMembers(image.config, tars).slice(0, -1),
    ...dockerMembers(configOf(other), other).slice(0, -1),
    {
      name: 'manifest.json',
      body: JSON.stringify(
        [
          [image.config, tars, ['a:1', 'a:2']],
          [configOf(other), other, ['b']],
        ].map(([config, layers, RepoTags]) => ({
          Config: `${digestOf(config as Buffer).slice(7)}.json`,
          Layers: (layers as Buffer[]).map((bytes) => `${digestOf(bytes).slice(7)}.tar`),
          RepoTags,
        })),
      ),
    },
  ])

  test('are those of the archive, or the one that is given', async () => {
    const repository = await temporaryRepository()
    const bytes = dockerArchive(tars, ['a/b:1', 'c'])
    expect((await take(repository, bytes))[0]!.tags).toEqual(['a/b:1', 'c'])
    expect((await take(repository, bytes, { name: 'mine/too' }))[0]!.tags).toEqual(['mine/too'])
    const digests = ['a/b:1', 'c', 'mine/too'].map((name) => openImage(repository, name).manifestDigest)
    expect(new Set(digests).size).toBe(1)
  })

  test('without any the digest still leads to the image', async () => {
    const repository = await temporaryRepository()
    const [result] = await take(repository, dockerArchive(tars))
    expect(result!.tags).toEqual([])
    expect(openImage(repository, `@${result!.manifestDigest}`).config!.layers).toHaveLength(2)
  })

  test('several images are all taken', async () => {
    const repository = await temporaryRepository()
    const results = await take(repository, two)
    expect(results.map(({ tags }) => tags)).toEqual([['a:1', 'a:2'], ['b']])
    expect(repository.listImageIds()).toHaveLength(2)
  })

  test('of several images one is chosen', async () => {
    const repository = await temporaryRepository()
    expect(await take(repository, two, { name: 'b' })).toMatchObject([{ tags: ['b'], diffIds: [digestOf(other[0]!)] }])
    expect(repository.listImageIds()).toHaveLength(1)
    const none = take(await temporaryRepository(), two, { name: 'c' })
    const error = { code: 'ERR_OCI_NOT_FOUND', message: expect.stringMatching(/2 images, none called c.*a:1, a:2, b/) }
    await expect(none).rejects.toMatchObject(error)
  })

  test('where one of several images cannot be made none is published', async () => {
    const bad = [tar(entry({ name: 'no/parent' }, 'x'))]
    const described = [
      {
        Config: `${digestOf(image.config).slice(7)}.json`,
        Layers: tars.map((bytes) => `${digestOf(bytes).slice(7)}.tar`),
      },
      { Config: `${digestOf(configOf(bad)).slice(7)}.json`, Layers: [`${digestOf(bad[0]!).slice(7)}.tar`] },
    ]
    const bytes = archive([
      ...dockerMembers(image.config, tars).slice(0, -1),
      ...dockerMembers(configOf(bad), bad).slice(0, -1),
      { name: 'manifest.json', body: JSON.stringify(described) },
    ])
    const repository = await temporaryRepository()
    await expect(take(repository, bytes)).rejects.toMatchObject({ code: 'ERR_PARENT_MISSING' })
    expect(published(repository)).toEqual({})
  })

  test('that cannot be tags are refused before anything is read', async () => {
    const repository = await temporaryRepository()
    const source = Readable.from([dockerArchive(tars)])
    for (const name of ['', '.', '..', '@x', 'a\0b']) {
      await expect(importArchive(repository, source, { name })).rejects.toMatchObject({ code: 'ERR_OCI_NAME' })
    }
    expect(source.readableDidRead).toBe(false)
    expect(tree(repository.path)).toEqual({ 'meta.json': expect.anything() })
  })

  test('that the archive gives are checked as well', async () => {
    const repository = await temporaryRepository()
    await expect(take(repository, dockerArchive(tars, ['@x']))).rejects.toMatchObject({ code: 'ERR_OCI_NAME' })
    expect(published(repository)).toEqual({})
  })
})

describe('a second import', () => {
  test('stores nothing, and says so', async () => {
    const repository = await temporaryRepository()
    const bytes = ociArchive(image, 'name')
    const [first] = await take(repository, bytes)
    const before = tree(repository.path)
    const stats = { ...repository.stats }
    const events: ImportEvent[] = []
    const [second] = await take(repository, bytes, { onEvent: (event) => events.push(event) })
    expect(second).toEqual(first)
    expect(tree(repository.path)).toEqual(before)
    expect(repository.stats.newObjects).toBe(stats.newObjects)
    const layers = events.filter((event) => event.type === 'layer')
    expect(layers).toMatchObject([
      { layer: { present: true }, newObjects: 0, newBytes: 0, presentObjects: 1 },
      { layer: { present: true }, newObjects: 0, newBytes: 0, presentObjects: 2 },
    ])
  })

  test('of an image that shares layers stores only what is new', async () => {
    const repository = await temporaryRepository()
    await take(repository, ociArchive(image, 'one'))
    const before = repository.stats.newObjects
    const third = tar(entry({ name: 'usr/new' }, 'new'))
    const [result] = await take(repository, ociArchive(imageOf([...tars, third]), 'two'))
    expect(result!.diffIds.slice(0, 2)).toEqual(tars.map(digestOf))
    // Splitstream of the new layer, config and manifest and their streams, the image.
    expect(repository.stats.newObjects - before).toBe(6)
  })

  test('by another transport notes the other manifest beside', async () => {
    const repository = await temporaryRepository()
    const packed = imageOf(
      tars,
      tars.map((bytes) => ({ bytes: gzipSync(bytes), suffix: '+gzip' })),
    )
    const [one] = await take(repository, ociArchive(packed, 'packed'))
    const [two] = await take(repository, ociArchive(image, 'plain'))
    expect(two!.configDigest).toBe(one!.configDigest)
    expect(two!.manifestDigest).not.toBe(one!.manifestDigest)
    expect(openImage(repository, 'packed').config!.document.id).toEqual(
      openImage(repository, 'plain').config!.document.id,
    )
  })
})

describe('events', () => {
  test('tell what happens, in order', async () => {
    const repository = await temporaryRepository()
    const events: ImportEvent[] = []
    const bytes = dockerArchive(tars, ['a'])
    const [result] = await take(repository, bytes, { onEvent: (event) => events.push(event) })
    const kinds = events.map(({ type }) => type)
    expect(kinds.filter((type) => type !== 'progress')).toEqual([
      'layer-start',
      'layer',
      'layer-start',
      'layer',
      'image',
    ])
    const started = events.filter((event) => event.type === 'layer-start')
    expect(started.map(({ name, size }) => [name, size])).toEqual(
      tars.map((tar) => [`${digestOf(tar).slice(7)}.tar`, tar.length]),
    )
    const [first, second] = events.filter((event) => event.type === 'layer')
    expect(first).toMatchObject({
      newObjects: 2,
      presentObjects: 0,
      layer: { diffId: digestOf(lower), present: false },
    })
    expect(first!.newBytes).toBeGreaterThan(1000)
    expect(second).toMatchObject({ newObjects: 2, presentObjects: 1, layer: { diffId: digestOf(upper) } })
    expect(events.at(-1)).toEqual({ type: 'image', image: result })
    const progress = events.filter((event) => event.type === 'progress')
    expect(progress.at(-1)!.bytes).toBe(bytes.length)
  })

  test('an error in a listener is the error of the import', async () => {
    const repository = await temporaryRepository()
    const onEvent = ({ type }: ImportEvent) => {
      if (type === 'layer') throw new Error('the listener broke')
    }
    await expect(take(repository, dockerArchive(tars), { onEvent })).rejects.toThrow('the listener broke')
    expect(published(repository)).toEqual({})
  })
})

describe('options', () => {
  const orphan = [tar(directory('usr/'), entry({ name: 'opt/x' }, 'x'))]

  test('implicit parents, the root rule and the rest reach the tree', async () => {
    const refused = take(await temporaryRepository(), dockerArchive(orphan))
    await expect(refused).rejects.toMatchObject({
      code: 'ERR_PARENT_MISSING',
      message: expect.stringMatching(/^layer 1 of 1: /),
    })
    const [result] = await take(await temporaryRepository(), dockerArchive(orphan), { implicitParents: true })
    const [newest] = await take(await temporaryRepository(), dockerArchive(orphan), {
      implicitParents: true,
      root: 'newest',
    })
    expect(newest!.imageId).not.toEqual(result!.imageId)
    const noUsr = dockerArchive([tar(directory('opt/'))])
    await expect(take(await temporaryRepository(), noUsr)).rejects.toMatchObject({ code: 'ERR_USR_MISSING' })
    expect(await take(await temporaryRepository(), noUsr, { root: 'keep' })).toHaveLength(1)
  })

  test('JSON above the limit is no JSON', async () => {
    const importing = take(await temporaryRepository(), dockerArchive(tars), { maxJson: 100 })
    await expect(importing).rejects.toMatchObject({ code: expect.stringMatching(/^ERR_ARCHIVE_/) })
  })

  test('the platform', async () => {
    const platforms = [
      [image, 'amd64'],
      [imageOf(other), 'arm64'],
    ] as const
    const manifests = platforms.map(([{ manifest }, architecture]) => ({
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      digest: digestOf(manifest),
      size: manifest.length,
      platform: { os: 'linux', architecture },
    }))
    const members = new Map(platforms.flatMap(([parts]) => ociMembers(parts)).map((member) => [member.name, member]))
    members.set('index.json', { name: 'index.json', body: JSON.stringify({ schemaVersion: 2, manifests }) })
    const bytes = archive([...members.values()])
    const repository = await temporaryRepository()
    const [arm] = await take(repository, bytes, { platform: { os: 'linux', architecture: 'arm64' } })
    expect(arm!.diffIds).toEqual(other.map(digestOf))
    const none = take(repository, bytes, { platform: { os: 'linux', architecture: 's390x' } })
    await expect(none).rejects.toMatchObject({ code: 'ERR_OCI_PLATFORM' })
  })

  test('the signal stops it, wherever it is', async () => {
    const bytes = ociArchive(image, 'x')
    for (const when of ['before', 'progress', 'layer-start', 'layer'] as const) {
      const controller = new AbortController()
      const { signal } = controller
      if (when === 'before') controller.abort()
      const repository = await temporaryRepository()
      const importing = take(repository, bytes, { signal, onEvent: ({ type }) => type === when && controller.abort() })
      await expect(importing).rejects.toMatchObject({ name: 'AbortError' })
      expect(published(repository)).toEqual({})
      expect(leftovers(repository)).toEqual([])
    }
  })

  test('the signal stops one that waits for input', async () => {
    const controller = new AbortController()
    const silent = new Readable({ read: () => {} })
    silent.push(ociArchive(image).subarray(0, 3000))
    const repository = await temporaryRepository()
    const importing = importArchive(repository, silent, { signal: controller.signal })
    setTimeout(() => controller.abort(new Error('my own reason')), 5)
    await expect(importing).rejects.toThrow('my own reason')
    expect(silent.destroyed).toBe(true)
    expect(leftovers(repository)).toEqual([])
  })
})

function blobNames(parts: typeof image): string[] {
  return [parts.config, parts.manifest, ...parts.layers].map((bytes) => blobName(digestOf(bytes)))
}

function dotted(members: readonly ArchiveMember[]): ArchiveMember[] {
  return members.map((member) => ({ ...member, name: `./${member.name}` }))
}

/** `<id>/layer.tar`, with an old config beside each, and `repositories`. */
function legacy(): ArchiveMember[] {
  const ids = ['1'.repeat(64), '2'.repeat(64)]
  const layers = tars.flatMap((body, i) => [
    { name: `${ids[i]}/`, fields: { type: '5' } },
    { name: `${ids[i]}/VERSION`, body: '1.0' },
    { name: `${ids[i]}/json`, body: `{"id":"${ids[i]}"}` },
    { name: `${ids[i]}/layer.tar`, body },
  ])
  const config = `${digestOf(image.config).slice(7)}.json`
  const described = [{ Config: config, RepoTags: ['x:latest'], Layers: ids.map((id) => `${id}/layer.tar`) }]
  return [
    ...layers,
    { name: config, body: image.config },
    { name: 'manifest.json', body: JSON.stringify(described) },
    { name: 'repositories', body: `{"x":{"latest":"${ids[1]}"}}` },
  ]
}

/** The manifest.json that names the blobs of a layout. */
function modern(): ArchiveMember {
  const described = [
    {
      Config: blobName(digestOf(image.config)),
      RepoTags: ['x:latest'],
      Layers: tars.map((bytes) => blobName(digestOf(bytes))),
    },
  ]
  return { name: 'manifest.json', body: JSON.stringify(described) }
}

test('the index of a layout names what it holds', () => {
  expect(indexOf(image.manifest).toString()).toContain(digestOf(image.manifest))
})
