import { describe, expect, test } from 'vitest'
import {
  choosePlatform,
  type Descriptor,
  documentType,
  hostPlatform,
  makeManifest,
  mediaTypes,
  parseConfig,
  parseIndex,
  parseManifest,
  parsePlatform,
} from '../../../src/oci/index.ts'
import {
  hasLayersOfFiles,
  isContainerImage,
  isIndex,
  layerCompression,
  parseDockerManifest,
} from '../../../src/oci/manifest.ts'
import { variantOf } from '../../../src/oci/platform.ts'

const digest = `sha256:${'0123456789abcdef'.repeat(4)}`
const other = `sha256:${'f'.repeat(64)}`
const json = (value: unknown) => Buffer.from(JSON.stringify(value))
const refused = (message: RegExp) =>
  expect.objectContaining({ name: 'ComposefsError', code: 'ERR_OCI_JSON', message: expect.stringMatching(message) })

/** The object with one field, at a path like `layers.0.size`, replaced; `undefined` removes it. */
function changed(value: object, path: string, field: unknown): Buffer {
  const copy = JSON.parse(JSON.stringify(value)) as Record<string, never>
  const keys = path.split('.')
  const last = keys.pop()!
  const target = keys.reduce<Record<string, unknown>>((at, key) => at[key] as Record<string, unknown>, copy)
  target[last] = field
  return json(copy)
}

const config = { mediaType: mediaTypes.config, digest, size: 237 }
const layer = { mediaType: `${mediaTypes.layer}+gzip`, digest: other, size: 0, annotations: { a: 'b' } }
const manifest = { schemaVersion: 2, config, layers: [layer, layer] }

const notObjects = [null, 1, 'text', [], true]
const notStrings = [undefined, null, 1, {}, []]
const notSizes = [undefined, null, '5', -1, 1.5, 2 ** 53, {}]
const notDigests = [
  ...notStrings,
  '',
  'sha256:',
  digest.toUpperCase(),
  digest.slice(0, -1),
  `${digest}0`,
  `sha512:${'0'.repeat(128)}`,
]

const descriptorFields: [string, unknown[]][] = [
  ['mediaType', notStrings.slice(2)],
  ['digest', notDigests],
  ['size', notSizes],
]

/** What has no meaning here, or says nothing, as programs in Go and others write it. */
const oddFields: [string, unknown][] = [
  ...[null, 1, 'text', []].map((value): [string, unknown] => ['annotations', value]),
  ...[null, 1, {}, []].map((value): [string, unknown] => ['annotations.a', value]),
  ...[null, 1, 'text', [], {}].map((value): [string, unknown] => ['platform', value]),
  ...[null, 1, '', {}].map((value): [string, unknown] => ['platform.variant', value]),
  ...[undefined, null, 1, ''].map((value): [string, unknown] => ['platform.os', value]),
  ...[null, 'text', [1]].map((value): [string, unknown] => ['urls', value]),
  ['mediaType', undefined],
  ['data', null],
  ['artifactType', null],
]

const fuller = { ...layer, platform: { os: 'linux', architecture: 'arm', variant: 'v7' } }

/** Every wrong value of every field is refused, and the message names the field. */
function describeFields(parse: (bytes: Buffer) => unknown, good: object, fields: [string, unknown[]][]): void {
  test.each(fields.flatMap(([path, values]) => values.map((value) => [path, value] as const)))(
    '%s: %j',
    (path, value) => {
      const shown = path.replaceAll(/\.(\d+)/g, '[$1]').replace(/^\[?(\d+)\]?\./, '[$1].')
      expect(() => parse(changed(good, path, value))).toThrow(refused(new RegExp(shown.replaceAll(/[[\].]/g, '\\$&'))))
    },
  )
}

const under = (prefix: string): [string, unknown[]][] =>
  descriptorFields.map(([path, values]) => [`${prefix}.${path}`, values])

describe.each([
  ['a manifest', parseManifest],
  ['an index', parseIndex],
  ['a config', parseConfig],
  ['a manifest.json', parseDockerManifest],
] as const)('%s', (_, parse) => {
  test.each(['', '{', 'text', '{"a":1}}', '\xff', '{"config":"\xff"}'])('%j is not JSON', (text) => {
    expect(() => parse(Buffer.from(text, 'latin1'))).toThrow(refused(/is not JSON/))
  })

  test.each(['1', 'null', '"text"', 'true'])('%s is neither an object nor an array', (text) => {
    expect(() => parse(Buffer.from(text))).toThrow(refused(/^the [a-z.]+ is not an (?:object|array) — /))
  })

  test('JSON that is nested without end is refused', () => {
    expect(() => parse(Buffer.from('['.repeat(1_000_000)))).toThrow(refused(/is not/))
    expect(() => parse(Buffer.from(`${'['.repeat(100_000)}${']'.repeat(100_000)}`))).toThrow(refused(/is not/))
  })
})

describe('parseManifest', () => {
  test('reads what matters', () => {
    expect(parseManifest(json(manifest))).toMatchObject({ config, layers: [layer, layer] })
    expect(parseManifest(json({ ...manifest, layers: [] })).layers).toEqual([])
    expect(parseManifest(json({ ...manifest, unknown: 1, annotations: null, mediaType: 'x' })).layers).toHaveLength(2)
    expect(parseManifest(Buffer.from(`\ufeff${JSON.stringify(manifest)}\n`)).layers).toHaveLength(2)
  })

  const full = { ...manifest, config: { ...fuller, mediaType: mediaTypes.config }, layers: [layer, fuller] }
  describeFields(parseManifest, full, [
    ...under('config'),
    ...under('layers.1'),
    ['config', notObjects],
    ['config', [undefined]],
    ['layers', [undefined, {}, 'text']],
    ['layers.0', notObjects],
  ])
})

describe('parseIndex', () => {
  const index = { schemaVersion: 2, manifests: [fuller, fuller] }

  test('reads what matters', () => {
    expect(parseIndex(json(index))).toEqual([fuller, fuller])
    expect(parseIndex(json({ manifests: [] }))).toEqual([])
    expect(parseIndex(json({ manifests: [config] }))[0]).toMatchObject({ platform: undefined, annotations: {} })
    const noPlatform = { ...config, platform: null, annotations: null }
    expect(parseIndex(json({ manifests: [noPlatform] }))[0]).toMatchObject({ platform: undefined, annotations: {} })
  })

  describeFields(parseIndex, { manifests: [fuller] }, [
    ...descriptorFields.map(([path, values]): [string, unknown[]] => [`manifests.0.${path}`, values]),
    ['manifests', [undefined, {}, 'text']],
    ['manifests.0', notObjects],
  ])

  test('an entry that cannot be used does not spoil the others', () => {
    for (const [path, values] of descriptorFields) {
      for (const value of values) {
        expect(parseIndex(changed(index, `manifests.1.${path}`, value))).toEqual([fuller])
      }
    }
    for (const value of notObjects) expect(parseIndex(changed(index, 'manifests.0', value))).toEqual([fuller])
  })

  test.each(oddFields)('%s: %j is no matter', (path, value) => {
    const [, read] = parseIndex(changed(index, `manifests.1.${path}`, value))
    expect(read).toMatchObject({ digest: other, size: 0 })
    expect(parseManifest(changed({ config, layers: [layer, fuller] }, `layers.1.${path}`, value)).layers).toHaveLength(
      2,
    )
  })

  test('a platform that is empty is none, and half of one is for no machine', () => {
    const platform = (value: unknown) => parseIndex(changed(index, 'manifests.0.platform', value))[0]!.platform
    expect(platform({})).toBeUndefined()
    expect(platform({ variant: 'v7' })).toBeUndefined()
    expect(platform({ architecture: 'wasm' })).toMatchObject({ os: 'unknown', architecture: 'wasm' })
    expect(platform({ os: 'linux', architecture: 'amd64', variant: null })).toMatchObject({ variant: undefined })
  })

  test('null is an empty list', () => {
    expect(parseIndex(json({ manifests: null }))).toEqual([])
  })
})

describe('what a document is', () => {
  const manifests = [fuller]
  const index = { schemaVersion: 2, manifests }

  test('its contents tell', () => {
    expect(documentType(json(manifest))).toBe(mediaTypes.manifest)
    expect(documentType(json(index))).toBe(mediaTypes.index)
    expect(documentType(json({ ...index, mediaType: 'application/x' }))).toBe(mediaTypes.index)
    expect(documentType(json({ ...index, layers: null, config: null }))).toBe(mediaTypes.index)
    expect(documentType(json({ ...manifest, manifests: null }))).toBe(mediaTypes.manifest)
    const docker = 'application/vnd.docker.distribution.manifest.v2+json'
    expect(documentType(json({ ...manifest, mediaType: docker }))).toBe(docker)
  })

  test.each([
    ['both', { ...manifest, manifests }],
    ['both, and empty', { ...manifest, manifests: [] }],
    ['an index with a config', { ...index, config }],
    ['both in other letters', { Layers: [], manifests }],
    ['a manifest with the list in other letters', { ...manifest, MANIFESTS: [] }],
    ['both, said to be a manifest', { ...manifest, manifests, mediaType: mediaTypes.manifest }],
    ['both, said to be an index', { ...manifest, manifests, mediaType: mediaTypes.index }],
  ])('%s: refused by every reader', (_, value) => {
    for (const read of [documentType, parseManifest, parseIndex]) {
      expect(() => read(json(value))).toThrow(refused(/ambiguous: it is both .*CVE-2021-41190/))
    }
  })

  test('layers of schema 1 beside those of today: refused by every reader', () => {
    for (const read of [documentType, parseManifest, parseIndex]) {
      expect(() => read(json({ ...manifest, fsLayers: [{ blobSum: 'x' }] }))).toThrow(refused(/both of schema 1/))
    }
  })

  test('what is not what it says is refused', () => {
    expect(() => documentType(json({ ...index, mediaType: mediaTypes.manifest }))).toThrow(refused(/not what it says/))
    expect(() => documentType(json({ ...manifest, mediaType: mediaTypes.index }))).toThrow(refused(/not what it says/))
  })
})

describe('parseConfig', () => {
  const good = {
    rootfs: { type: 'layers', diff_ids: [digest, other] },
    architecture: 'amd64',
    os: 'linux',
    created: 'now',
  }

  test('reads what matters', () => {
    expect(parseConfig(json(good))).toEqual({
      diffIds: [digest, other],
      architecture: 'amd64',
      os: 'linux',
      created: 'now',
    })
    expect(parseConfig(json({ rootfs: {} }))).toEqual({
      diffIds: [],
      architecture: undefined,
      os: undefined,
      created: undefined,
    })
    expect(parseConfig(json({ ...good, created: null })).created).toBeUndefined()
  })

  describeFields(parseConfig, good, [
    ['rootfs', [undefined, ...notObjects]],
    ['rootfs.diff_ids', [{}, 'text', 1]],
    ['rootfs.diff_ids.1', notDigests],
    ['architecture', [1, {}]],
    ['os', [1, {}]],
    ['created', [1, {}]],
  ])
})

describe('parseDockerManifest', () => {
  test('reads what matters', () => {
    const images = [
      { Config: 'c.json', RepoTags: ['a:1', 'b:2'], Layers: ['l/layer.tar'] },
      { Config: 'd', RepoTags: null },
    ]
    expect(parseDockerManifest(json(images))).toEqual([
      { config: 'c.json', layers: ['l/layer.tar'], tags: ['a:1', 'b:2'] },
      { config: 'd', layers: [], tags: [] },
    ])
  })

  test.each([
    [[1], /\[0\] of/],
    [[{}], /\[0\]\.Config/],
    [[{ Config: 1 }], /\[0\]\.Config/],
    [[{ Config: 'c', Layers: 'x' }], /\[0\]\.Layers/],
    [[{ Config: 'c', Layers: ['x', 1] }], /\[0\]\.Layers\[1\]/],
    [[{ Config: 'c', Layers: [], RepoTags: {} }], /\[0\]\.RepoTags/],
    [[{ Config: 'c' }, { Config: 'c', RepoTags: [1] }], /\[1\]\.RepoTags\[0\]/],
    [{}, /array/],
  ])('%j', (value, message) => {
    expect(() => parseDockerManifest(json(value))).toThrow(refused(message))
  })
})

test('a manifest that is made reads back, and is the same every time', () => {
  const layers = [
    { diffId: digest, size: 5 },
    { diffId: other, size: 6 },
  ]
  const made = makeManifest({ digest: other, size: 7 }, layers)
  expect(makeManifest({ digest: other, size: 7 }, layers)).toEqual(made)
  const read = parseManifest(made)
  expect(read.config).toMatchObject({ mediaType: mediaTypes.config, digest: other, size: 7 })
  expect(read.layers).toMatchObject(
    layers.map(({ diffId, size }) => ({ digest: diffId, size, mediaType: mediaTypes.layer })),
  )
  expect(isContainerImage(read)).toBe(true)
  expect(JSON.parse(made.toString())).toMatchObject({ schemaVersion: 2, mediaType: mediaTypes.manifest })
})

describe('media types', () => {
  const oci = 'application/vnd.oci.image.layer.'
  const docker = 'application/vnd.docker.image.rootfs.'

  test.each([
    [`${oci}v1.tar`, 'none'],
    [`${oci}v1.tar+gzip`, 'gzip'],
    [`${oci}v1.tar+zstd`, 'zstd'],
    [`${oci}nondistributable.v1.tar`, 'none'],
    [`${oci}nondistributable.v1.tar+gzip`, 'gzip'],
    [`${oci}nondistributable.v1.tar+zstd`, 'zstd'],
    [`${docker}diff.tar`, 'none'],
    [`${docker}diff.tar.gzip`, 'gzip'],
    [`${docker}diff.tar.zstd`, 'zstd'],
  ])('%s is a layer: %s', (mediaType, compression) => {
    expect(layerCompression(mediaType)).toBe(compression)
  })

  test.each([
    `${oci}v1.tar+xz`,
    `${oci}v1.tar+encrypted`,
    `${oci}v1.tar+gzip+encrypted`,
    `${docker}foreign.diff.tar.gzip`,
    'application/vnd.oci.empty.v1+json',
    '',
    'constructor',
    '__proto__',
  ])('%j is none', (mediaType) => {
    expect(() => layerCompression(mediaType)).toThrow(expect.objectContaining({ code: 'ERR_OCI_MEDIA_TYPE' }))
  })

  test('indexes and image configs', () => {
    const of = (mediaType: string) => ({ ...config, mediaType, platform: undefined, annotations: {} })
    expect(isIndex(of('application/vnd.oci.image.index.v1+json'))).toBe(true)
    expect(isIndex(of('application/vnd.docker.distribution.manifest.list.v2+json'))).toBe(true)
    expect(isIndex(of(mediaTypes.manifest))).toBe(false)
    expect(isContainerImage({ config: of('application/vnd.docker.container.image.v1+json'), layers: [] })).toBe(true)
    expect(isContainerImage({ config: of('application/vnd.oci.empty.v1+json'), layers: [] })).toBe(false)
  })

  test('images of Docker are told by the manifest, whatever their config is called', () => {
    const of = (mediaType: string) => ({ ...config, mediaType, platform: undefined, annotations: {} })
    const docker2 = 'application/vnd.docker.distribution.manifest.v2+json'
    const layers = [of(`${docker}diff.tar.gzip`)]
    for (const type of ['application/octet-stream', 'text/html', 'application/json', 'text/plain; charset=utf-8', '']) {
      expect(isContainerImage({ mediaType: docker2, config: of(type), layers })).toBe(true)
      expect(isContainerImage({ config: of(type), layers })).toBe(true)
      expect(isContainerImage({ mediaType: mediaTypes.manifest, config: of(type), layers })).toBe(false)
      expect(isContainerImage({ mediaType: docker2, config: of(type), layers: [of('text/plain')] })).toBe(false)
    }
    const plugin = of('application/vnd.docker.plugin.v1+json')
    expect(isContainerImage({ mediaType: docker2, config: plugin, layers })).toBe(false)
    const signature = [of('application/vnd.dev.cosign.simplesigning.v1+json')]
    expect(hasLayersOfFiles({ config: of(mediaTypes.config), layers: signature })).toBe(false)
    expect(hasLayersOfFiles({ config: of(mediaTypes.config), layers })).toBe(true)
  })
})

describe('platforms', () => {
  const of = (os?: string, architecture?: string, variant?: string): Descriptor => ({
    ...config,
    annotations: {},
    platform: os === undefined ? undefined : { os, architecture: architecture!, variant },
  })
  const several = [of('linux', 'amd64'), of('linux', 'arm', 'v6'), of('linux', 'arm', 'v7'), of('unknown', 'unknown')]

  test.each([
    ['linux/amd64', 0],
    ['linux/arm', 2],
    ['linux/arm/v7', 2],
    ['linux/arm/v8', 2],
    ['linux/amd64/v3', 0],
    ['unknown/unknown', 3],
  ])('%s', (text, index) => {
    expect(choosePlatform(several, parsePlatform(text))).toBe(several[index])
  })

  test.each(['linux/arm64', 'windows/amd64', 'linux/arm/v5'])('%s is not among them', (text) => {
    const missing = { code: 'ERR_OCI_PLATFORM', message: expect.stringMatching(/linux\/amd64, linux\/arm\/v6/) }
    expect(() => choosePlatform(several, parsePlatform(text))).toThrow(expect.objectContaining(missing))
  })

  test('the order of the index does not decide: the plain one first, then the best that runs', () => {
    const all = [undefined, 'v1', 'v2', 'v3', 'v4'].map((variant) => of('linux', 'amd64', variant))
    const chosen = (entries: readonly Descriptor[], text: string) =>
      choosePlatform(entries, parsePlatform(text)).platform?.variant
    for (const entries of [all, [...all].reverse()]) {
      expect(chosen(entries, 'linux/amd64')).toBeUndefined()
      expect(chosen(entries, 'linux/amd64/v3')).toBe('v3')
      const without = entries.filter(({ platform }) => platform?.variant !== 'v3')
      expect(chosen(without, 'linux/amd64/v3')).toBeUndefined()
      const named = without.filter(({ platform }) => platform?.variant !== undefined)
      expect(chosen(named, 'linux/amd64/v3')).toBe('v2')
      expect(() => chosen([of('linux', 'amd64', 'v4')], 'linux/amd64/v3')).toThrow(/no image for linux\/amd64\/v3/)
    }
    const arms = ['v5', 'v7', 'v6', 'v8'].map((variant) => of('linux', 'arm', variant))
    expect(chosen(arms, 'linux/arm/v6')).toBe('v6')
    expect(chosen(arms, 'linux/arm/v8')).toBe('v8')
    expect(() => chosen(arms, 'linux/arm64')).toThrow(/no image for linux\/arm64/)
    expect(chosen([of('linux', 'arm64', 'v8')], 'linux/arm64')).toBe('v8')
    expect(chosen([of('linux', 'arm64')], 'linux/arm64/v8')).toBeUndefined()
    expect(() => chosen([of('linux', 'arm64', 'v9')], 'linux/arm64/v8')).toThrow(/no image/)
  })

  test('where none fits the first that names none is taken, if it is not something else', () => {
    const only = [of()]
    expect(choosePlatform(only, parsePlatform('a/b'))).toBe(only[0])
    const sbom: Descriptor = { ...of(), artifactType: 'application/spdx+json' }
    const two = [of('linux', 'amd64'), sbom, of(), of()]
    expect(choosePlatform(two, parsePlatform('a/b'))).toBe(two[2])
    expect(choosePlatform(two, parsePlatform('linux/amd64'))).toBe(two[0])
    expect(() => choosePlatform([], parsePlatform('a/b'))).toThrow(/no image for a\/b.*names no image/)
  })

  test('a processor tells its variant', () => {
    const v2 = 'fpu cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3'
    const v3 = `${v2} abm avx avx2 bmi1 bmi2 f16c fma movbe xsave`
    const cpu = (flags: string) => `processor\t: 0\nflags\t\t: ${flags}\nbugs\t\t: \n`
    expect(['fpu sse2', v2, `${v2} avx2`, v3, `${v3} avx512f`].map((flags) => variantOf('amd64', cpu(flags)))).toEqual([
      'v1',
      'v2',
      'v2',
      'v3',
      'v3',
    ])
    expect(variantOf('amd64', cpu(`${v3} avx512bw avx512cd avx512dq avx512f avx512vl`))).toBe('v4')
    expect(variantOf('arm', 'model name\t: ARMv7\nCPU architecture: 7\n')).toBe('v7')
    expect(variantOf('arm', '')).toBeUndefined()
  })

  test('are written OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT', () => {
    expect(parsePlatform('linux/arm64/v8')).toEqual({ os: 'linux', architecture: 'arm64', variant: 'v8' })
    for (const text of ['', 'linux', 'linux/', '/amd64', 'a/b/c/d']) {
      expect(() => parsePlatform(text)).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
    }
  })

  test('this machine has one', () => {
    expect(hostPlatform()).toMatchObject({
      os: expect.stringMatching(/^[a-z]+$/),
      architecture: expect.stringMatching(/^\w+$/),
    })
    if (process.arch === 'x64') expect(hostPlatform().architecture).toBe('amd64')
  })
})
