import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { describe, expect, test, vi } from 'vitest'
import { writeImage } from '../../../src/erofs/index.ts'
import { fsverityDigest, type ObjectId } from '../../../src/fsverity/index.ts'
import {
  configStream,
  imageTree,
  importArchive,
  importLayer,
  layerStream,
  layersToTree,
  linkedImage,
  listImages,
  listReferrers,
  manifestStream,
  openConfig,
  openImage,
  type PublishedImage,
  publishImage,
  readDocument,
  resolveConfig,
  storeImage,
  tagImage,
  tagRef,
  untagImage,
} from '../../../src/oci/index.ts'
import type { Repository } from '../../../src/repository/index.ts'
import { contentTypes, encodeSplitstream } from '../../../src/streams/index.ts'
import { configOf, digestOf, dockerArchive, imageOf } from '../../support/image-archive.ts'
import { paths } from '../../support/layer-entries.ts'
import { inline, odd, word } from '../../support/splitstream.ts'
import { entry, tar } from '../../support/tar.ts'
import { published, temporaryRepository } from '../../support/temporary-repository.ts'

const tars = [
  tar(entry({ name: 'usr/', type: '5' }), entry({ name: 'usr/a' }, 'x'.repeat(100))),
  tar(entry({ name: 'boot/', type: '5' }), entry({ name: 'boot/b' }), entry({ name: 'sysroot/', type: '5' })),
]
const absent = `sha256:${'0'.repeat(64)}`

async function withImage(name = 'name'): Promise<{ repository: Repository; image: PublishedImage }> {
  const repository = await temporaryRepository()
  const [image] = await importArchive(repository, Readable.from([dockerArchive(tars)]), { name })
  return { repository, image: image! }
}

const refused = (code: string, message?: RegExp) =>
  expect.objectContaining({ name: 'ComposefsError', code, ...(message && { message: expect.stringMatching(message) }) })

/** Stores a document under a content id that promises other bytes. */
async function putDocument(
  repository: Repository,
  contentId: string,
  contentType: bigint,
  json: string,
  refs: ReadonlyMap<string, ReturnType<typeof fsverityDigest>> = new Map(),
): Promise<void> {
  const bytes = Buffer.from(json)
  const body = { type: 'external', id: repository.objects.put(bytes), size: bytes.length } as const
  const stream = encodeSplitstream({ algorithm: repository.algorithm, contentType, namedRefs: refs, body })
  await repository.linkStream(contentId, repository.objects.put(stream))
}

describe('openImage', () => {
  test('by tag and by digest', async () => {
    const { repository, image } = await withImage('a/b%c:1')
    for (const name of ['a/b%c:1', `@${image.manifestDigest}`]) {
      const opened = openImage(repository, name)
      expect(opened.manifestDigest).toBe(image.manifestDigest)
      expect(digestOf(opened.manifestBytes)).toBe(image.manifestDigest)
      expect(digestOf(opened.configBytes)).toBe(image.configDigest)
      expect(opened.manifest.layers.map(({ digest }) => digest)).toEqual(tars.map(digestOf))
      expect(opened.config).toMatchObject({
        digest: image.configDigest,
        config: { os: 'linux', diffIds: tars.map(digestOf) },
      })
      expect(linkedImage(opened.config!, 1)).toEqual(image.imageId)
      expect(linkedImage(opened.config!, 0)).toEqual(image.imageId)
      expect(linkedImage(opened.config!, 2)).toBeUndefined()
    }
  })

  test('what is not there, or has no name that can be', async () => {
    const { repository } = await withImage()
    expect(() => openImage(repository, 'other')).toThrow(
      refused('ERR_OCI_NOT_FOUND', /other — see: composefs oci images/),
    )
    expect(() => openImage(repository, `@${absent}`)).toThrow(refused('ERR_OCI_NOT_FOUND'))
    expect(() => openImage(repository, '@sha256:x')).toThrow(refused('ERR_DIGEST_SYNTAX'))
    expect(() => openImage(repository, '')).toThrow(refused('ERR_OCI_NAME'))
    expect(() => openImage(repository, '..')).toThrow(refused('ERR_OCI_NAME'))
  })

  test('a manifest that is another gets no name', async () => {
    const { repository } = await withImage()
    await putDocument(repository, manifestStream(absent), contentTypes.manifest, '{}')
    await expect(tagImage(repository, absent, 'odd')).rejects.toThrow(refused('ERR_DIGEST_MISMATCH'))
    expect(repository.listRefs('streams', 'oci')).toHaveLength(1)
  })

  test('a document is one object and nothing beside it', async () => {
    const { repository, image } = await withImage()
    const json = openImage(repository, 'name').configBytes
    const objectRefs = [repository.objects.put(json)]
    const contentId = configStream(image.configDigest)
    for (const stream of [inline('x'), Buffer.concat([word(0), inline('x')]), Buffer.concat([word(0), word(0)])]) {
      const file = odd({ contentType: contentTypes.config, objectRefs, stream, streamSize: json.length + 1 })
      await repository.linkStream(contentId, repository.objects.put(file))
      await expect(openConfig(repository, image.configDigest)).rejects.toThrow(refused('ERR_SPLITSTREAM_INVALID'))
    }
  })

  test('documents that were changed are noticed', async () => {
    const { repository, image } = await withImage()
    const { manifestBytes, config } = openImage(repository, 'name')
    const { namedRefs } = readDocument(
      repository,
      repository.hasStream(manifestStream(image.manifestDigest))!,
      contentTypes.manifest,
    )
    await putDocument(
      repository,
      manifestStream(image.manifestDigest),
      contentTypes.manifest,
      `${manifestBytes} `,
      namedRefs,
    )
    expect(() => openImage(repository, 'name')).toThrow(refused('ERR_DIGEST_MISMATCH', /manifest/))
    await putDocument(repository, manifestStream(image.manifestDigest), contentTypes.manifest, String(manifestBytes))
    expect(() => openImage(repository, 'name')).toThrow(
      refused('ERR_REPOSITORY_CORRUPT', /does not refer to its config/),
    )

    const other = (await withImage()).repository
    await putDocument(other, configStream(image.configDigest), contentTypes.config, `${config!.document.json} `)
    const changed = other.hasStream(configStream(image.configDigest))!
    const refs = new Map([[`config:${image.configDigest}`, changed]])
    await putDocument(other, manifestStream(image.manifestDigest), contentTypes.manifest, String(manifestBytes), refs)
    expect(() => openImage(other, 'name')).toThrow(refused('ERR_DIGEST_MISMATCH', /config/))
    const noLayers = String(config!.document.json)
    await putDocument(other, configStream(image.configDigest), contentTypes.config, noLayers)
    refs.set(`config:${image.configDigest}`, other.hasStream(configStream(image.configDigest))!)
    await putDocument(other, manifestStream(image.manifestDigest), contentTypes.manifest, String(manifestBytes), refs)
    expect(() => openImage(other, 'name')).toThrow(refused('ERR_REPOSITORY_CORRUPT', /does not refer to its layer/))
  })

  test('a tag that leads elsewhere', async () => {
    const { repository, image } = await withImage()
    const path = join(repository.path, 'streams/refs/oci/odd')
    symlinkSync(`../../oci-config-${image.configDigest}`, path)
    expect(() => openImage(repository, 'odd')).toThrow(refused('ERR_REPOSITORY_CORRUPT', /does not lead to a manifest/))
  })

  test('an artifact has no config to make a tree of', async () => {
    const repository = await temporaryRepository()
    const empty = '{}'
    const config = { mediaType: 'application/vnd.oci.empty.v1+json', digest: digestOf(Buffer.from(empty)), size: 2 }
    const manifest = JSON.stringify({ schemaVersion: 2, config, layers: [] })
    const digest = digestOf(Buffer.from(manifest))
    await putDocument(repository, configStream(config.digest), contentTypes.config, empty)
    const refs = new Map([[`config:${config.digest}`, repository.hasStream(configStream(config.digest))!]])
    await putDocument(repository, manifestStream(digest), contentTypes.manifest, manifest, refs)
    await tagImage(repository, digest, 'thing')
    expect(openImage(repository, 'thing')).toMatchObject({ config: undefined, configBytes: Buffer.from(empty) })
    await expect(resolveConfig(repository, 'thing')).rejects.toThrow(refused('ERR_OCI_MEDIA_TYPE', /artifact/))
    expect([...listImages(repository)]).toMatchObject([{ name: 'thing', isContainer: false, os: '', layerCount: 0 }])
  })
})

describe('openConfig', () => {
  test('by digest, with every layer looked at', async () => {
    const { repository, image } = await withImage()
    const opened = await openConfig(repository, image.configDigest)
    expect(opened.layers).toEqual(openImage(repository, 'name').config!.layers)
    expect((await resolveConfig(repository, `@${image.configDigest}`)).digest).toBe(image.configDigest)
    expect((await resolveConfig(repository, 'name')).digest).toBe(image.configDigest)
    const id = repository.hasStream(configStream(image.configDigest))!
    for (const name of ['name', `@${image.configDigest}`]) {
      expect((await resolveConfig(repository, name, id)).digest).toBe(image.configDigest)
      await expect(resolveConfig(repository, name, image.imageId)).rejects.toThrow(refused('ERR_DIGEST_MISMATCH'))
    }
  })

  test('a layer that does not have its diffID is named', async () => {
    const repository = await temporaryRepository()
    const config = configOf(tars)
    const layers = await Promise.all(
      [tars[0]!, tars[0]!].map((bytes) => importLayer(repository, Readable.from([bytes]))),
    )
    const refs = new Map(tars.map((bytes, i) => [digestOf(bytes), layers[i]!.id]))
    await putDocument(repository, configStream(digestOf(config)), contentTypes.config, String(config), refs)
    await expect(openConfig(repository, digestOf(config))).rejects.toMatchObject({
      code: 'ERR_DIGEST_MISMATCH',
      message: expect.stringMatching(/layer 2 of 2/),
      expected: digestOf(tars[1]!),
      actual: digestOf(tars[0]!),
    })
  })

  test('what is not there, or no digest', async () => {
    const repository = await temporaryRepository()
    await expect(openConfig(repository, absent)).rejects.toThrow(refused('ERR_OCI_NOT_FOUND'))
    await expect(openConfig(repository, 'x')).rejects.toThrow(refused('ERR_DIGEST_SYNTAX'))
    await expect(resolveConfig(repository, 'x')).rejects.toThrow(refused('ERR_OCI_NOT_FOUND'))
  })
})

describe('trees of images', () => {
  test('are those of the layers, by the rules that are asked for', async () => {
    const { repository, image } = await withImage()
    const config = await resolveConfig(repository, 'name')
    expect(paths(await imageTree(repository, config))).toEqual(['/boot', '/boot/b', '/sysroot', '/usr', '/usr/a'])
    expect(paths(await imageTree(repository, config, { bootable: true }))).toEqual([
      '/boot',
      '/sysroot',
      '/usr',
      '/usr/a',
    ])
    const id = await storeImage(repository, await layersToTree(repository, config.layers), 1)
    expect(id).toEqual(image.imageId)
    expect(repository.readObject(id)).toEqual(writeImage(await imageTree(repository, config), { version: 1 }))
  })

  test('merging, and making images, end when their signal does', async () => {
    const repository = await temporaryRepository()
    const many = Array.from({ length: 5000 }, (_, i) => entry({ name: `usr/${i}` }, 'x'))
    const layer = await importLayer(repository, Readable.from([tar(entry({ name: 'usr/', type: '5' }), ...many)]))
    // The clock says at each look that a turn is over.
    let now = 0
    const clock = vi.spyOn(performance, 'now').mockImplementation(() => (now += 1000))
    try {
      const abort = new AbortController()
      const merging = layersToTree(repository, Array<ObjectId>(20).fill(layer.id), { signal: abort.signal })
      setImmediate(() => setImmediate(() => abort.abort(new Error('enough'))))
      await expect(merging).rejects.toThrow('enough')
      const tree = await layersToTree(repository, [layer.id])
      for (const version of [0, 1, 2] as const) {
        const abort = new AbortController()
        const making = storeImage(repository, tree, version, abort.signal)
        setImmediate(() => abort.abort(new Error('enough')))
        await expect(making).rejects.toThrow('enough')
        const image = await storeImage(repository, tree, version)
        expect(repository.readObject(image)).toEqual(writeImage(tree, { version }))
      }
    } finally {
      clock.mockRestore()
    }
  })

  test('an error names the layer, and where in it', async () => {
    const repository = await temporaryRepository()
    const bad = tar(entry({ name: 'usr/', type: '5' }), entry({ name: 'no/such' }))
    const [good, worse] = await Promise.all(
      [tars[0]!, bad].map((bytes) => importLayer(repository, Readable.from([bytes]))),
    )
    await expect(layersToTree(repository, [good!.id, worse!.id])).rejects.toMatchObject({
      code: 'ERR_PARENT_MISSING',
      path: '/no/such',
      hint: expect.stringMatching(/implicit/),
      message: expect.stringMatching(/^layer 2 of 2: .*\/no does not exist/),
      cause: expect.objectContaining({ code: 'ERR_PARENT_MISSING' }),
    })
    const missing = fsverityDigest('sha256', Buffer.from('missing'))
    await expect(layersToTree(repository, [good!.id, missing])).rejects.toThrow(
      refused('ERR_NOT_FOUND', /^layer 2 of 2/),
    )
    const config = repository.objects.put(
      encodeSplitstream({
        algorithm: 'sha256',
        contentType: contentTypes.config,
        body: { type: 'inline', bytes: Buffer.from('{}') },
      }),
    )
    await expect(layersToTree(repository, [config])).rejects.toThrow(refused('ERR_SPLITSTREAM_CONTENT_TYPE'))
  })
})

describe('lists', () => {
  test('every tag, by name', async () => {
    const { repository, image } = await withImage('b')
    await tagImage(repository, image.manifestDigest, 'a/%2F')
    expect([...listImages(repository)]).toEqual(
      ['a/%2F', 'b'].map((name) => ({
        name,
        manifestDigest: image.manifestDigest,
        isContainer: true,
        architecture: 'amd64',
        os: 'linux',
        created: null,
        layerCount: 2,
        referrerCount: 0,
      })),
    )
    expect([...listImages(await temporaryRepository())]).toEqual([])
  })

  test('a broken one hides no other', async () => {
    const { repository, image } = await withImage('b')
    await tagImage(repository, image.manifestDigest, 'c')
    symlinkSync(`../../oci-manifest-${absent}`, join(repository.path, 'streams/refs/oci/a'))
    expect([...listImages(repository)]).toMatchObject([
      { name: 'a', error: { code: 'ERR_OCI_NOT_FOUND' } },
      { name: 'b', isContainer: true },
      { name: 'c', isContainer: true },
    ])
    rmSync(join(repository.path, `streams/oci-manifest-${image.manifestDigest}`))
    expect([...listImages(repository)].every((found) => 'error' in found)).toBe(true)
  })

  test('referrers', async () => {
    const { repository, image } = await withImage()
    expect(listReferrers(repository, image.manifestDigest)).toEqual([])
    const directory = join(repository.path, 'streams/refs/oci-referrers', image.manifestDigest)
    mkdirSync(directory, { recursive: true })
    symlinkSync(`../../../oci-manifest-${absent}`, join(directory, absent))
    expect(listReferrers(repository, image.manifestDigest)).toEqual([absent])
    expect([...listImages(repository)]).toMatchObject([{ referrerCount: 1 }])
  })
})

describe('tags', () => {
  test('are given and taken', async () => {
    const { repository, image } = await withImage()
    await tagImage(repository, image.manifestDigest, 'x/y')
    expect(published(repository)['streams/refs/oci/x%2Fy']).toBe(`-> ../../oci-manifest-${image.manifestDigest}`)
    untagImage(repository, 'x/y')
    expect(() => openImage(repository, 'x/y')).toThrow(refused('ERR_OCI_NOT_FOUND'))
    expect(openImage(repository, 'name').manifestDigest).toBe(image.manifestDigest)
    expect(() => untagImage(repository, 'x/y')).toThrow(refused('ERR_OCI_NOT_FOUND', /no such tag: x\/y/))
  })

  test('an existing one moves', async () => {
    const { repository, image } = await withImage()
    const [other] = await importArchive(repository, Readable.from([dockerArchive(tars.slice(0, 1))]), { name: 'other' })
    await tagImage(repository, other!.manifestDigest, 'name')
    expect(openImage(repository, 'name').manifestDigest).toBe(other!.manifestDigest)
    expect(openImage(repository, `@${image.manifestDigest}`).manifestDigest).toBe(image.manifestDigest)
  })

  test('only manifests that are there can have one, and only names that can be', async () => {
    const { repository, image } = await withImage()
    const before = published(repository)
    await expect(tagImage(repository, absent, 'x')).rejects.toThrow(refused('ERR_OCI_NOT_FOUND'))
    await expect(tagImage(repository, 'name', 'x')).rejects.toThrow(refused('ERR_DIGEST_SYNTAX'))
    for (const name of ['', '.', '..', '@x', 'a\0']) {
      await expect(tagImage(repository, image.manifestDigest, name)).rejects.toThrow(refused('ERR_OCI_NAME'))
      expect(() => untagImage(repository, name)).toThrow(refused('ERR_OCI_NAME'))
      expect(() => tagRef(name)).toThrow(refused('ERR_OCI_NAME'))
    }
    expect(published(repository)).toEqual(before)
  })
})

describe('publishImage', () => {
  const config = configOf(tars)
  const { manifest } = imageOf(tars)

  test('with layers that are stored', async () => {
    const repository = await temporaryRepository()
    const layers = new Map<string, ReturnType<typeof fsverityDigest>>()
    for (const bytes of tars) layers.set(digestOf(bytes), (await importLayer(repository, Readable.from([bytes]))).id)
    expect(published(repository)).toEqual({})
    const image = await publishImage(repository, { manifest, config, layers, tags: ['a', 'b'] })
    expect(image.tags).toEqual(['a', 'b'])
    expect(repository.hasStream(layerStream(digestOf(tars[0]!)))).toEqual(layers.get(digestOf(tars[0]!)))
    // Again: the same streams, byte for byte.
    const before = published(repository)
    await publishImage(repository, { manifest, config, layers, tags: [] })
    expect(published(repository)).toEqual(before)
    // By other rules: another image, noted in the same config.
    const other = await publishImage(repository, { manifest, config, layers, tags: [] }, { root: 'newest' })
    expect(linkedImage(openImage(repository, 'a').config!, 1)).toEqual(other.imageId)
    expect(repository.listImageIds()).toHaveLength(2)
  })

  test('what other programs noted in the config stays', async () => {
    const { repository, image } = await withImage()
    const { document } = openImage(repository, 'name').config!
    const boot = repository.objects.put(Buffer.from('a boot image'))
    const gone = fsverityDigest('sha256', Buffer.from('collected'))
    const refs = new Map([...document.namedRefs, ['composefs.image.boot.v1', boot], ['composefs.image', gone]] as const)
    await putDocument(repository, configStream(image.configDigest), contentTypes.config, String(document.json), refs)
    await importArchive(repository, Readable.from([dockerArchive(tars)]), { name: 'again' })
    const { namedRefs } = openImage(repository, 'again').config!.document
    expect([...namedRefs.keys()].filter((name) => name.startsWith('composefs'))).toEqual([
      'composefs.image.boot.v1',
      'composefs.image.v1',
    ])
    expect(namedRefs.get('composefs.image.boot.v1')).toEqual(boot)
  })

  test('layers of a Docker manifest are named by their digests as well', async () => {
    const repository = await temporaryRepository()
    const layers = new Map<string, ReturnType<typeof fsverityDigest>>()
    for (const bytes of tars) layers.set(digestOf(bytes), (await importLayer(repository, Readable.from([bytes]))).id)
    const json = JSON.parse(String(manifest))
    json.config.mediaType = 'application/vnd.docker.container.image.v1+json'
    json.layers.forEach((layer: { digest: string }, i: number) => {
      layer.digest = digestOf(Buffer.from(`layer ${i}`))
    })
    const parts = { manifest: Buffer.from(JSON.stringify(json)), config, layers, tags: ['a'] }
    const { manifestDigest } = await publishImage(repository, parts)
    const id = repository.hasStream(`oci-manifest-${manifestDigest}`)!
    const { namedRefs } = readDocument(repository, id, contentTypes.manifest)
    expect(namedRefs.get(digestOf(Buffer.from('layer 0')))).toEqual(layers.get(digestOf(tars[0]!)))
    expect(openImage(repository, 'a').config!.layers).toEqual([...layers.values()])
  })

  test('a signal between two of its steps ends it, and nothing is published', async () => {
    const repository = await temporaryRepository()
    const layers = new Map<string, ReturnType<typeof fsverityDigest>>()
    for (const bytes of tars) layers.set(digestOf(bytes), (await importLayer(repository, Readable.from([bytes]))).id)
    const abort = new AbortController()
    const reason = new Error('enough')
    const parts = { manifest, config, layers, tags: ['a'] }
    const publishing = publishImage(repository, parts, { signal: abort.signal })
    abort.abort(reason)
    await expect(publishing).rejects.toBe(reason)
    expect(published(repository)).toEqual({})
  })

  test('without a layer it is refused', async () => {
    const repository = await temporaryRepository()
    const publishing = publishImage(repository, { manifest, config, layers: new Map(), tags: ['a'] })
    await expect(publishing).rejects.toThrow(refused('ERR_ARCHIVE_INCOMPLETE'))
    expect(published(repository)).toEqual({})
  })
})

describe('readDocument', () => {
  test('a document is one object', async () => {
    const repository = await temporaryRepository()
    const put = (bytes: Buffer) => repository.objects.put(bytes)
    const { algorithm } = repository
    const contentType = contentTypes.config
    const none = put(encodeSplitstream({ algorithm, contentType, body: { type: 'inline', bytes: Buffer.from('{}') } }))
    expect(() => readDocument(repository, none, contentType)).toThrow(refused('ERR_SPLITSTREAM_INVALID'))
    const id = put(Buffer.from('{}'))
    const one = put(encodeSplitstream({ algorithm, contentType, body: { type: 'external', id, size: 2 } }))
    expect(readDocument(repository, one, contentType)).toMatchObject({
      id: one,
      json: Buffer.from('{}'),
      namedRefs: new Map(),
    })
    expect(() => readDocument(repository, one, contentTypes.manifest)).toThrow(refused('ERR_SPLITSTREAM_CONTENT_TYPE'))
    expect(() => readDocument(repository, id, contentType)).toThrow(refused('ERR_SPLITSTREAM_INVALID'))
    const absent = fsverityDigest(algorithm, Buffer.from('absent'))
    expect(() => readDocument(repository, absent, contentType)).toThrow(refused('ERR_NOT_FOUND'))
  })

  test('a damaged object is noticed', async () => {
    const { repository, image } = await withImage()
    const { json } = openImage(repository, 'name').config!.document
    const path = repository.objects.pathOf(fsverityDigest('sha256', json))
    rmSync(path)
    writeFileSync(path, `${json} `)
    expect(() => openImage(repository, 'name')).toThrow(refused('ERR_REPOSITORY_CORRUPT'))
    await expect(openConfig(repository, image.configDigest)).rejects.toThrow(refused('ERR_REPOSITORY_CORRUPT'))
  })
})
