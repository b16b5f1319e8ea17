/**
 * Layouts and archives are read by the same rules: whatever one takes, the other takes as well.
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { Readable } from 'node:stream'
import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import type { ComposefsError } from '../../../src/errors.ts'
import { importArchive, pull } from '../../../src/oci/index.ts'
import type { Repository } from '../../../src/repository/index.ts'
import { encodeZstd } from '../../../src/streams/index.ts'
import {
  type ArchiveMember,
  archive,
  artifactOf,
  blobName,
  configOf,
  digestOf,
  dockerMembers,
  type ImageBytes,
  imageOf,
} from '../../support/image-archive.ts'
import { entry, tar } from '../../support/tar.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'
import { published, temporaryRepository } from '../../support/temporary-repository.ts'
import { requireTools } from '../../support/tools.ts'

const usr = entry({ name: 'usr/', type: '5' })
const layers = [tar(usr, entry({ name: 'usr/a' }, 'a')), tar(entry({ name: 'usr/b' }, 'b'.repeat(2000)))]
const image = imageOf(layers)
const other = imageOf([tar(usr, entry({ name: 'usr/other' }, 'other'))])
const manifestType = 'application/vnd.oci.image.manifest.v1+json'
const json = (value: unknown) => Buffer.from(JSON.stringify(value))
const described = (bytes: Buffer, fields: object = {}) => ({
  mediaType: manifestType,
  digest: digestOf(bytes),
  size: bytes.length,
  ...fields,
})
const tag = (name: string) => ({ annotations: { 'org.opencontainers.image.ref.name': name } })
const amd64 = { os: 'linux', architecture: 'amd64' }

/** A layout of these images and blobs. */
function layout(manifests: unknown[], blobs: readonly (ImageBytes | Buffer)[]): ArchiveMember[] {
  const all = blobs.flatMap((blob) => (Buffer.isBuffer(blob) ? [blob] : [...blob.layers, blob.config, blob.manifest]))
  const files = new Map(all.map((bytes) => [blobName(digestOf(bytes)), bytes]))
  return [
    ...[...files].map(([name, body]) => ({ name, body })),
    { name: 'index.json', body: json({ schemaVersion: 2, manifests }) },
  ]
}

/** What becomes of it by one transport: the digest of the manifest, or the code of the error. */
async function outcome(members: readonly ArchiveMember[], transport: string, tag = ''): Promise<string> {
  const directory = temporaryDirectory()
  for (const { name, body = '' } of members) {
    mkdirSync(dirname(join(directory, name)), { recursive: true })
    writeFileSync(join(directory, name), body)
  }
  const file = join(temporaryDirectory(), 'image.tar')
  writeFileSync(file, archive(members))
  const repository = await temporaryRepository()
  try {
    const name = `${transport}:${transport === 'oci' ? directory : file}${tag}`
    return (await pull(repository, name, { name: 'x', platform: amd64 })).manifestDigest
  } catch (error) {
    expect(published(repository)).toEqual({})
    return (error as ComposefsError).code
  }
}

const nested = (...manifests: unknown[]) => json({ schemaVersion: 2, manifests })
const indexType = 'application/vnd.oci.image.index.v1+json'
const inIndex = (...manifests: unknown[]) => {
  const index = nested(...manifests)
  return layout([described(index, { mediaType: indexType, ...tag('v') })], [image, other, index])
}
const packed = (bytes: Buffer[], suffix: '' | '+gzip' | '+zstd') =>
  imageOf(
    layers,
    bytes.map((bytes) => ({ bytes, suffix })),
  )
const one = (image: ImageBytes) => layout([described(image.manifest, tag('v'))], [image])
const docker = 'application/vnd.docker'
const odd = (configType: string): ImageBytes => {
  const text = String(image.manifest)
    .replace(manifestType, `${docker}.distribution.manifest.v2+json`)
    .replace('application/vnd.oci.image.config.v1+json', configType)
    .replaceAll('application/vnd.oci.image.layer.v1.tar', `${docker}.image.rootfs.diff.tar`)
  return { ...image, manifest: Buffer.from(text) }
}
const sbom = artifactOf([{ mediaType: 'application/spdx+json', bytes: json({ spdx: 1 }) }], image.manifest)
const packedSbom = artifactOf([{ mediaType: 'application/gzip', bytes: gzipSync('no tar') }], image.manifest)
const signature: ImageBytes = {
  ...image,
  manifest: Buffer.from(
    String(image.manifest).replaceAll('application/vnd.oci.image.layer.v1.tar', 'application/vnd.dev.cosign.x+json'),
  ),
}
const both = json({ ...JSON.parse(String(image.manifest)), manifests: [described(other.manifest)] })

describe.each(['oci', 'oci-archive'])('%s takes', (transport) => {
  test.each<[string, ArchiveMember[], ImageBytes]>([
    ['a plain layer that is said to be gzip', one(packed(layers, '+gzip')), packed(layers, '+gzip')],
    [
      'zstd that is said to be gzip',
      one(
        packed(
          layers.map((tar) => encodeZstd(tar)),
          '+gzip',
        ),
      ),
      packed(
        layers.map((tar) => encodeZstd(tar)),
        '+gzip',
      ),
    ],
    ['an SBOM beside', layout([described(image.manifest, tag('v')), described(sbom.manifest)], [image, sbom]), image],
    [
      'an SBOM in front, named as such',
      layout([described(sbom.manifest, { artifactType: 'x' }), described(image.manifest)], [image, sbom]),
      image,
    ],
    [
      'an SBOM that is packed and no layer',
      layout([described(image.manifest, tag('v')), described(packedSbom.manifest)], [image, packedSbom]),
      image,
    ],
    [
      'a signature with the config of an image',
      layout([described(signature.manifest), described(image.manifest)], [signature, image]),
      image,
    ],
    [
      'an entry that cannot be used beside',
      layout([{ ...described(sbom.manifest), digest: 'sha512:1' }, described(image.manifest, tag('v')), null], [image]),
      image,
    ],
    ['null for annotations', layout([described(image.manifest, { annotations: { a: null } })], [image]), image],
    [
      'one manifest under two tags',
      layout(
        ['a', 'b'].map((name) => described(image.manifest, tag(name))),
        [image],
      ),
      image,
    ],
    [
      'an empty platform in front',
      inIndex(described(other.manifest, { platform: {} }), described(image.manifest, { platform: amd64 })),
      image,
    ],
    [
      'half a platform in front',
      inIndex(
        described(other.manifest, { platform: { architecture: 'wasm' } }),
        described(image.manifest, { platform: amd64 }),
      ),
      image,
    ],
    ['no platforms: the first', inIndex(described(image.manifest), described(other.manifest)), image],
    [
      'a variant in front of the plain one',
      inIndex(
        described(other.manifest, { platform: { ...amd64, variant: 'v2' } }),
        described(image.manifest, { platform: amd64 }),
      ),
      image,
    ],
    [
      'a config of Docker that is called octet-stream',
      one(odd('application/octet-stream')),
      odd('application/octet-stream'),
    ],
    ['a config of Docker that is called text/html', one(odd('text/html')), odd('text/html')],
  ])('%s', async (_, members, wanted) => {
    expect(await outcome(members, transport)).toBe(digestOf(wanted.manifest))
  })

  const { skip } = requireTools('xz')
  test.skipIf(skip)('layers that are packed with xz', async () => {
    const xz = layers.map((tar) => spawnSync('xz', ['-c'], { input: tar }).stdout)
    for (const image of [packed(xz, ''), packed(xz, '+gzip')]) {
      expect(await outcome(one(image), transport)).toBe(digestOf(image.manifest))
    }
  })

  test('the image that is asked for, by tag or number', async () => {
    const members = layout([described(other.manifest, tag('v1')), described(image.manifest, tag('v2'))], [image, other])
    for (const which of [':v2', ':@1']) expect(await outcome(members, transport, which)).toBe(digestOf(image.manifest))
    for (const which of [':v3', ':@2']) expect(await outcome(members, transport, which)).toBe('ERR_OCI_NOT_FOUND')
    // What is wrong with the other one does not matter then.
    const half = layout([described(other.manifest, tag('v1')), described(image.manifest, tag('v2'))], [image])
    expect(await outcome(half, transport, ':v2')).toBe(digestOf(image.manifest))
  })

  test.each<[string, ArchiveMember[]]>([
    ['a manifest that is an index as well', layout([described(both)], [image, other, both])],
    ['the same, said to be an index', layout([described(both, { mediaType: indexType })], [image, other, both])],
    [
      'the same in an index',
      inIndex(described(both, { platform: amd64 })).concat({ name: blobName(digestOf(both)), body: both }),
    ],
  ])('not %s', async (_, members) => {
    expect(await outcome(members, transport)).toBe('ERR_OCI_JSON')
  })

  test('not what is for another machine', async () => {
    const members = inIndex(
      described(image.manifest, { platform: { os: 'linux', architecture: 'arm64' } }),
      described(other.manifest, { platform: { os: 'windows', architecture: 'amd64' } }),
    )
    expect(await outcome(members, transport)).toBe('ERR_OCI_PLATFORM')
  })
})

describe('an archive', () => {
  const take = async (members: readonly ArchiveMember[], options = {}) =>
    importArchive(await temporaryRepository(), Readable.from([archive(members)]), options)
  const config = configOf(layers)
  const dockers = dockerMembers(config, layers, ['a:1'])

  test.each<[string, ArchiveMember[]]>([
    ['is no JSON', [{ name: 'index.json', body: 'no JSON' }]],
    ['is cut', [{ name: 'index.json', body: '{"manifests":' }]],
    ['names nothing', layout([], [])],
    ['names what is not there', layout([described(image.manifest)], [])],
  ])('with a good manifest.json is taken though its index.json %s', async (_, members) => {
    expect(await take([...members, ...dockers])).toMatchObject([{ configDigest: digestOf(config), tags: ['a:1'] }])
  })

  test('whose index.json leads to damaged blobs is refused, whatever is beside it', async () => {
    const members = layout([described(image.manifest)], [image]).map((member) =>
      member.body === image.config
        ? { ...member, body: Buffer.from(config.map((byte) => byte)).fill(' ', 0, 1) }
        : member,
    )
    await expect(take([...members, ...dockers])).rejects.toMatchObject({ code: 'ERR_DIGEST_MISMATCH' })
  })

  test.each(['null', 'null\n', '[]'])('whose manifest.json is %j comes of a program that failed', async (body) => {
    const error = { code: 'ERR_ARCHIVE_INCOMPLETE', message: expect.stringMatching(/empty.*program before the pipe/) }
    const bytes = archive([{ name: 'manifest.json', body }])
    const none = (): Promise<Repository> => Promise.reject(new Error('nothing is to be stored'))
    await expect(importArchive(none, Readable.from([bytes]))).rejects.toMatchObject(error)
  })

  test('makes the repository when there is something to store, once', async () => {
    let opened = 0
    const open = async () => {
      opened++
      return temporaryRepository()
    }
    expect(await importArchive(open, Readable.from([archive(dockers)]))).toHaveLength(1)
    expect(opened).toBe(1)
    await expect(importArchive(open, Readable.from([Buffer.from('no archive')]))).rejects.toThrow(/archive/)
    expect(opened).toBe(1)
  })

  test('may have very many empty members: they are one layer', async () => {
    const empty = Array.from({ length: 3000 }, (_, i) => ({ name: `empty-${i}` }))
    const started: string[] = []
    const onEvent = (event: { type: string }) => event.type === 'layer-start' && started.push(event.type)
    expect(await take([...empty, ...dockers], { onEvent })).toHaveLength(1)
    expect(started).toHaveLength(3)
  })

  test('has limits for its members, and for what is kept of it', async () => {
    expect(await take(dockers, { maxMembers: dockers.length })).toHaveLength(1)
    const tooMany = { code: 'ERR_LIMIT', message: expect.stringMatching(/members.*--layer.*--max-members/) }
    await expect(take(dockers, { maxMembers: dockers.length - 1 })).rejects.toMatchObject(tooMany)
    // What nobody needs takes nothing away from others; what is needed and was not kept is told.
    const large = { name: 'large.json', body: `{"a":"${'a'.repeat(5000)}"}` }
    expect(await take([large, ...dockers], { maxKept: 4000 })).toHaveLength(1)
    const tooLarge = { code: 'ERR_LIMIT', message: expect.stringMatching(/kept.*--max-kept/) }
    await expect(take(dockers, { maxKept: 600 })).rejects.toMatchObject(tooLarge)
    const links = Array.from({ length: 20 }, (_, i) => ({
      name: `${i}`,
      fields: { type: '2', linkName: 'x'.repeat(90) },
    }))
    await expect(take([...links, ...dockers], { maxKept: 1000 })).rejects.toMatchObject(tooLarge)
  })

  test('in a folder of another archive says so', async () => {
    for (const members of [layout([described(image.manifest)], [image]), dockers]) {
      const inside = members.map((member) => ({ ...member, name: `my-image/${member.name}` }))
      const marked = [...inside, { name: 'my-image/oci-layout', body: '{}' }]
      const error = { code: 'ERR_ARCHIVE_UNKNOWN', message: expect.stringMatching(/in its folder my-image — .*tar -C/) }
      await expect(take(marked)).rejects.toMatchObject(error)
    }
    const application = [{ name: 'app/manifest.json', body: '{"name":"an application"}' }]
    await expect(take(application)).rejects.toThrow(/--layer DIFFID/)
  })
})
