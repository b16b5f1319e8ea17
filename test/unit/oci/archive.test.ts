import { describe, expect, test } from 'vitest'
import { fsverityDigest } from '../../../src/fsverity/index.ts'
import { Archive } from '../../../src/oci/archive.ts'
import type { StoredLayer } from '../../../src/oci/layer.ts'
import { blobName, configOf, digestOf, type ImageBytes, imageOf, indexOf } from '../../support/image-archive.ts'

const linux = { os: 'linux', architecture: 'amd64' }
const tars = [Buffer.from('lower'), Buffer.from('upper')]
const image = imageOf(tars)
const manifestType = 'application/vnd.oci.image.manifest.v1+json'
const indexType = 'application/vnd.oci.image.index.v1+json'

/** A layer as it was stored; its splitstream does not matter here. */
function storedLayer(tar: Buffer, fields: Partial<StoredLayer> = {}): StoredLayer {
  const digest = digestOf(tar)
  const id = fsverityDigest('sha256', tar)
  const { length } = tar
  const sizes = { size: length, tarSize: length, inlineSize: length }
  return { diffId: digest, digest, ...sizes, compression: 'none', id, present: false, ...fields }
}

function archiveOf(members: Record<string, Buffer | StoredLayer | 'blob'>): Archive {
  const archive = new Archive()
  for (const [name, member] of Object.entries(members)) {
    if (member === 'blob') archive.add(name, { kind: 'blob' })
    else if (Buffer.isBuffer(member)) archive.add(name, { kind: 'json', bytes: member })
    else archive.add(name, { kind: 'layer', layer: member })
  }
  return archive
}

const json = (value: unknown) => Buffer.from(JSON.stringify(value))
const descriptor = (bytes: Buffer, fields: object = {}) => ({
  mediaType: manifestType,
  digest: digestOf(bytes),
  size: bytes.length,
  ...fields,
})
const index = (...manifests: object[]) => json({ schemaVersion: 2, manifests })

/** The blobs of an image. */
function blobs(
  { config, manifest }: ImageBytes,
  layers: readonly Buffer[] = tars,
): Record<string, Buffer | StoredLayer> {
  const named = layers.map((tar) => [blobName(digestOf(tar)), storedLayer(tar)] as const)
  return {
    ...Object.fromEntries(named),
    [blobName(digestOf(config))]: config,
    [blobName(digestOf(manifest))]: manifest,
  }
}

const layout: Record<string, Buffer | StoredLayer | 'blob'> = { 'index.json': indexOf(image.manifest), ...blobs(image) }
const hex = (bytes: Buffer) => digestOf(bytes).slice('sha256:'.length)

const docker = (fields: object = {}, more: Record<string, Buffer | StoredLayer> = {}) => ({
  'manifest.json': json([{ Config: 'config.json', Layers: ['1/layer.tar', '2/layer.tar'], ...fields }]),
  'config.json': image.config,
  '1/layer.tar': storedLayer(tars[0]!),
  '2/layer.tar': storedLayer(tars[1]!),
  ...more,
})

const only = (archive: Archive) => {
  const images = archive.images(linux)
  expect(images).toHaveLength(1)
  return images[0]!
}

const refused = (code: string, message?: RegExp | string, fields: object = {}) =>
  expect.objectContaining({
    name: 'ComposefsError',
    code,
    ...(message !== undefined && { message: expect.stringMatching(message) }),
    ...fields,
  })

describe('an oci-archive', () => {
  test('one image', () => {
    expect(only(archiveOf(layout))).toEqual({
      manifest: image.manifest,
      config: image.config,
      layers: new Map(tars.map((tar) => [digestOf(tar), fsverityDigest('sha256', tar)])),
      tags: [],
    })
  })

  test('is named by its annotations, containerd’s before the other', () => {
    const named = (annotations: object) =>
      only(archiveOf({ ...layout, 'index.json': index(descriptor(image.manifest, { annotations })) })).tags
    expect(named({ 'org.opencontainers.image.ref.name': '1' })).toEqual(['1'])
    const both = { 'org.opencontainers.image.ref.name': '1', 'io.containerd.image.name': 'docker.io/library/a:1' }
    expect(named(both)).toEqual(['docker.io/library/a:1'])
  })

  test('one manifest under several names is one image', () => {
    const names = ['a', 'b', 'a'].map((name) =>
      descriptor(image.manifest, { annotations: { 'org.opencontainers.image.ref.name': name } }),
    )
    expect(only(archiveOf({ ...layout, 'index.json': index(...names) })).tags).toEqual(['a', 'b'])
  })

  test('several manifests are several images', () => {
    const other = imageOf([tars[1]!])
    const members = { ...blobs(image), ...blobs(other, [tars[1]!]) }
    const manifests = [image, other].map(({ manifest }, i) =>
      descriptor(manifest, { annotations: { 'org.opencontainers.image.ref.name': `${i}` } }),
    )
    const images = archiveOf({ ...members, 'index.json': index(...manifests) }).images(linux)
    expect(images.map(({ tags, layers }) => [tags, layers.size])).toEqual([
      [['0'], 2],
      [['1'], 1],
    ])
  })

  describe('of several platforms', () => {
    const other = imageOf([tars[1]!])
    const members = { ...blobs(image), ...blobs(other, [tars[1]!]) }
    const manifests = [
      descriptor(other.manifest, { platform: { os: 'linux', architecture: 'arm64', variant: 'v8' } }),
      descriptor(image.manifest, { platform: linux }),
      descriptor(Buffer.from('an attestation, which is not there'), {
        platform: { os: 'unknown', architecture: 'unknown' },
      }),
    ]
    const nested = index(...manifests)
    const annotations = { 'org.opencontainers.image.ref.name': 'name' }
    const outer = descriptor(nested, { mediaType: indexType, annotations })
    const ways: [string, Record<string, Buffer | StoredLayer>][] = [
      ['in index.json', { ...members, 'index.json': nested }],
      ['in an index of their own', { ...members, 'index.json': index(outer), [blobName(digestOf(nested))]: nested }],
    ]

    test.each(ways)('%s: one is chosen', (_, layout) => {
      expect(only(archiveOf(layout)).manifest).toBe(image.manifest)
      const [arm] = archiveOf(layout).images({ os: 'linux', architecture: 'arm64' })
      expect(arm?.manifest).toBe(other.manifest)
    })

    test.each(ways)('%s: none fits', (_, layout) => {
      const missing = refused('ERR_OCI_PLATFORM', /linux\/s390x.*--platform: linux\/arm64\/v8, linux\/amd64/)
      expect(() => archiveOf(layout).images({ os: 'linux', architecture: 's390x' })).toThrow(missing)
    })

    test('the name is that of the outer index', () => {
      expect(only(archiveOf(ways[1]![1])).tags).toEqual(['name'])
    })

    test('an index may be in an index, but not without end', () => {
      const wrap = (bytes: Buffer) => index(descriptor(bytes, { mediaType: indexType }))
      let at = nested
      const all: Record<string, Buffer | StoredLayer> = { ...members }
      for (let depth = 1; depth <= 6; depth++) {
        all[blobName(digestOf(at))] = at
        at = wrap(at)
        const images = () => archiveOf({ ...all, 'index.json': at }).images(linux)
        if (depth <= 4) expect(images()).toHaveLength(1)
        else expect(images).toThrow(refused('ERR_OCI_JSON', /nested too deep/))
      }
    })
  })

  test.each<[string, Record<string, Buffer | StoredLayer | 'blob'>, ReturnType<typeof refused>]>([
    ['an index that names nothing', { 'index.json': index() }, refused('ERR_ARCHIVE_INCOMPLETE', /names no image/)],
    ['an index that is no JSON', { 'index.json': Buffer.from('{') }, refused('ERR_OCI_JSON', /index is not JSON/)],
    [
      'an index that is a blob',
      { 'index.json': 'blob' },
      refused('ERR_ARCHIVE_MEMBER', /should be a JSON document/, { path: 'index.json' }),
    ],
    [
      'a manifest of another size',
      { 'index.json': index(descriptor(image.manifest, { size: 5 })) },
      refused('ERR_SIZE_MISMATCH', /manifest/, { expected: 5, actual: image.manifest.length }),
    ],
    [
      'a manifest that is a layer',
      { [blobName(digestOf(image.manifest))]: storedLayer(tars[0]!) },
      refused('ERR_ARCHIVE_MEMBER', /should be a JSON document/),
    ],
    [
      'a config that is a blob',
      { [blobName(digestOf(image.config))]: 'blob' },
      refused('ERR_ARCHIVE_MEMBER', /should be a JSON document/),
    ],
    [
      'a layer that is JSON',
      { [blobName(digestOf(tars[1]!))]: json({}) },
      refused('ERR_ARCHIVE_MEMBER', /layer 2 of 2 is no tar/),
    ],
    [
      'a layer that is a blob',
      { [blobName(digestOf(tars[0]!))]: 'blob' },
      refused('ERR_ARCHIVE_MEMBER', /layer 1 of 2 is no tar/),
    ],
    [
      'a layer of another diffID',
      { [blobName(digestOf(tars[1]!))]: storedLayer(tars[1]!, { diffId: digestOf(tars[0]!) }) },
      refused('ERR_DIGEST_MISMATCH', /layer 2 of 2/, { expected: digestOf(tars[1]!), actual: digestOf(tars[0]!) }),
    ],
    [
      'a layer of another size',
      { [blobName(digestOf(tars[1]!))]: storedLayer(tars[1]!, { size: 99 }) },
      refused('ERR_SIZE_MISMATCH', /layer 2 of 2/),
    ],
  ])('%s is refused', (_, members, error) => {
    expect(() => archiveOf({ ...layout, ...members }).images(linux)).toThrow(error)
  })

  test('what is missing is named', () => {
    for (const name of Object.keys(layout).filter((name) => name !== 'index.json')) {
      const { [name]: _, ...rest } = layout
      expect(() => archiveOf(rest).images(linux)).toThrow(refused('ERR_ARCHIVE_INCOMPLETE', undefined, { path: name }))
    }
    const { [blobName(digestOf(tars[1]!))]: _, ...rest } = layout
    expect(() => archiveOf(rest).images(linux)).toThrow(/layer 2 of 2.* is missing/)
    expect(() => archiveOf({}).images(linux)).toThrow(refused('ERR_ARCHIVE_UNKNOWN', /--layer DIFFID/))
  })

  test('what a link leads to must have the digest in the name of the link', () => {
    const changed = (bytes: Buffer) => Buffer.concat([bytes.subarray(0, -1), Buffer.from(' ')])
    const members: [Buffer, Buffer | StoredLayer, Buffer | StoredLayer][] = [
      [image.manifest, image.manifest, changed(image.manifest)],
      [image.config, image.config, changed(image.config)],
      [tars[1]!, storedLayer(tars[1]!), storedLayer(tars[1]!, { digest: digestOf(tars[0]!) })],
    ]
    for (const [bytes, good, bad] of members) {
      const { [blobName(digestOf(bytes))]: _, ...rest } = layout
      const linked = (member: Buffer | StoredLayer) => {
        const archive = archiveOf({ ...rest, 'elsewhere/x': member })
        archive.link(blobName(digestOf(bytes)), 'elsewhere/x')
        return archive
      }
      expect(linked(good).images(linux)).toHaveLength(1)
      expect(() => linked(bad).images(linux)).toThrow(
        refused('ERR_DIGEST_MISMATCH', undefined, { expected: digestOf(bytes) }),
      )
    }
  })

  test('an artifact is no image', () => {
    const manifest = json({
      config: { mediaType: 'application/vnd.oci.empty.v1+json', digest: digestOf(tars[0]!), size: 2 },
      layers: [],
    })
    const members = { 'index.json': indexOf(manifest), [blobName(digestOf(manifest))]: manifest }
    expect(() => archiveOf(members).images(linux)).toThrow(refused('ERR_OCI_MEDIA_TYPE', /artifact/))
  })

  test('config and manifest must agree about the number of layers', () => {
    for (const layers of [[tars[0]!], [...tars, tars[0]!]]) {
      const { manifest } = imageOf(layers)
      const parsed = JSON.parse(manifest.toString()) as { config: object }
      const odd = json({
        ...parsed,
        config: descriptor(image.config, { mediaType: 'application/vnd.oci.image.config.v1+json' }),
      })
      const members = { ...layout, 'index.json': indexOf(odd), [blobName(digestOf(odd))]: odd }
      const error = refused('ERR_OCI_JSON', /different numbers/, { expected: 2, actual: layers.length })
      expect(() => archiveOf(members).images(linux)).toThrow(error)
    }
  })

  test('an empty layer may be called anything', () => {
    const empty = Buffer.alloc(0)
    const compressed = imageOf([empty], [{ bytes: empty, suffix: '+gzip' }])
    expect(
      only(archiveOf({ 'index.json': indexOf(compressed.manifest), ...blobs(compressed, [empty]) })).layers.size,
    ).toBe(1)
  })

  test('a layer may be there twice', () => {
    const twice = imageOf([tars[0]!, tars[1]!, tars[0]!])
    const { layers } = only(archiveOf({ 'index.json': indexOf(twice.manifest), ...blobs(twice) }))
    expect(layers.size).toBe(2)
  })
})

describe('a docker-archive', () => {
  test('one image, with a manifest made for it', () => {
    const parts = only(archiveOf(docker({ RepoTags: ['a:1', 'b:2'] })))
    expect(parts).toMatchObject({ config: image.config, tags: ['a:1', 'b:2'] })
    expect(parts.manifest).toEqual(image.manifest)
    expect([...parts.layers.keys()]).toEqual(tars.map(digestOf))
  })

  test('a manifest that was not made but came is kept: index.json goes first', () => {
    const spaced = Buffer.from(JSON.stringify(JSON.parse(image.manifest.toString()), undefined, 2))
    const both = { ...docker(), ...layout, 'index.json': indexOf(spaced), [blobName(digestOf(spaced))]: spaced }
    expect(only(archiveOf(both)).manifest).toBe(spaced)
  })

  test('several images', () => {
    const other = configOf([tars[1]!])
    const described = json([
      { Config: 'config.json', Layers: ['1/layer.tar', '2/layer.tar'], RepoTags: ['a'] },
      { Config: 'other.json', Layers: ['2/layer.tar'], RepoTags: ['b'] },
    ])
    const images = archiveOf(docker({}, { 'manifest.json': described, 'other.json': other })).images(linux)
    expect(images.map(({ tags, layers }) => [tags, layers.size])).toEqual([
      [['a'], 2],
      [['b'], 1],
    ])
  })

  test('links lead to members that may come later, over several steps', () => {
    const archive = archiveOf({ ...docker({ Layers: ['1/layer.tar', './l/layer.tar'] }) })
    archive.link('l/layer.tar', 'm/layer.tar')
    archive.link('m/layer.tar', '2/layer.tar')
    expect(only(archive).layers.size).toBe(2)
  })

  test('links that lead nowhere or round in a circle are missing members', () => {
    const archive = archiveOf(docker({ Layers: ['1/layer.tar', 'a'] }))
    archive.link('a', 'b')
    expect(() => archive.images(linux)).toThrow(refused('ERR_ARCHIVE_INCOMPLETE', /layer 2 of 2/, { path: 'a' }))
    archive.link('b', 'a')
    expect(() => archive.images(linux)).toThrow(refused('ERR_ARCHIVE_INCOMPLETE', /layer 2 of 2/, { path: 'a' }))
  })

  test('names are bytes: a manifest spells them in UTF-8', () => {
    const latin1 = Buffer.from('é/layer.tar').toString('latin1')
    const members = docker({ Layers: ['1/layer.tar', 'é/layer.tar'] }, { [latin1]: storedLayer(tars[1]!) })
    expect(only(archiveOf(members)).layers.size).toBe(2)
  })

  test.each<[string, object, ReturnType<typeof refused>]>([
    ['no image', { 'manifest.json': json([]) }, refused('ERR_ARCHIVE_INCOMPLETE', /names no image/)],
    ['no JSON', { 'manifest.json': Buffer.from('[') }, refused('ERR_OCI_JSON', /not JSON/)],
    ['a config that is no config', { 'config.json': json([]) }, refused('ERR_OCI_JSON', /config is not an object/)],
    ['no diff_ids', { 'config.json': json({ rootfs: {} }) }, refused('ERR_OCI_JSON', /different numbers/)],
    [
      'a layer with another digest',
      { '2/layer.tar': storedLayer(tars[0]!) },
      refused('ERR_DIGEST_MISMATCH', /layer 2 of 2/, { expected: digestOf(tars[1]!), actual: digestOf(tars[0]!) }),
    ],
    ['a layer that is JSON', { '2/layer.tar': json({}) }, refused('ERR_ARCHIVE_MEMBER', /layer 2 of 2 is no tar/)],
  ])('%s is refused', (_, members, error) => {
    expect(() => archiveOf({ ...docker(), ...members }).images(linux)).toThrow(error)
  })

  test.each(['1/layer.tar', '2/layer.tar', 'config.json'])('%s may not be missing', (name) => {
    const { [name]: _, ...rest }: Record<string, Buffer | StoredLayer> = docker()
    expect(() => archiveOf(rest).images(linux)).toThrow(refused('ERR_ARCHIVE_INCOMPLETE', undefined, { path: name }))
  })

  test.each(['%.json', 'blobs/sha256/%', '%'])('a config called %s must have that digest', (pattern) => {
    const named = (digest: string) => {
      const Config = pattern.replace('%', digest)
      return archiveOf(docker({ Config }, { [Config]: image.config }))
    }
    expect(only(named(hex(image.config))).config).toBe(image.config)
    expect(() => named(hex(tars[0]!)).images(linux)).toThrow(refused('ERR_DIGEST_MISMATCH', /config/))
  })
})
