/**
 * Bad input from end to end: each ends with its own error code, publishes nothing, and leaves no temporary file behind.
 */
import { Readable } from 'node:stream'
import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { ComposefsError } from '../../../src/errors.ts'
import { type ImportOptions, importArchive } from '../../../src/oci/index.ts'
import { encodeZstd } from '../../../src/streams/index.ts'
import { cut } from '../../support/chunks.ts'
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
import { entry, header, pax, tar } from '../../support/tar.ts'
import { leftovers, published, temporaryRepository } from '../../support/temporary-repository.ts'

const usr = entry({ name: 'usr/', type: '5', mode: 0o755 })
const good = [
  tar(usr, pax({ mtime: '1.5' }), entry({ name: 'usr/a' }, 'a'.repeat(700)), entry({ name: 'usr/b' }, 'small')),
  tar(entry({ name: 'usr/.wh.a' }), entry({ name: 'usr/c' }, 'c'.repeat(5000))),
]
const plain = imageOf(good)
const mixed = imageOf(good, [
  { bytes: gzipSync(good[0]!), suffix: '+gzip' },
  { bytes: encodeZstd(good[1]!), suffix: '+zstd' },
])

/** What became of an input: an error of ours, or the ids. Whatever it was, nothing may be half done. */
async function outcome(bytes: Buffer, options: ImportOptions = {}): Promise<ComposefsError | string[]> {
  const repository = await temporaryRepository()
  try {
    const source = Readable.from(cut(bytes, [1000]))
    const images = await importArchive(repository, source, { name: 'x', ...options })
    expect(Object.keys(published(repository))).toContain('streams/refs/oci/x')
    return images.map(({ imageId }) => imageId.hex)
  } catch (error) {
    expect(error).toBeInstanceOf(ComposefsError)
    expect(published(repository)).toEqual({})
    return error as ComposefsError
  } finally {
    expect(leftovers(repository)).toEqual([])
  }
}

async function code(bytes: Buffer, options: ImportOptions = {}): Promise<string> {
  const result = await outcome(bytes, options)
  return result instanceof ComposefsError ? result.code : 'accepted'
}

/** In both kinds of archive, plain and compressed. */
function archivesOf(...tars: Buffer[]): [string, Buffer][] {
  const packed = tars.map((bytes) => ({ bytes: gzipSync(bytes), suffix: '+gzip' }) as const)
  return [
    ['docker-archive', dockerArchive(tars)],
    ['oci-archive', ociArchive(imageOf(tars))],
    ['oci-archive, gzip', ociArchive(imageOf(tars, packed))],
  ]
}

test('what is good is accepted', async () => {
  const ids = await Promise.all(
    [dockerArchive(good), ociArchive(plain), ociArchive(mixed)].map((bytes) => outcome(bytes)),
  )
  expect(new Set(ids.map(String)).size).toBe(1)
  expect(ids[0]).toHaveLength(1)
})

describe('cut input', () => {
  const archives: [string, Buffer][] = [
    ['docker-archive', dockerArchive(good)],
    ['oci-archive', ociArchive(plain)],
    ['oci-archive of compressed layers', ociArchive(mixed)],
    ['oci-archive, index first', archive([...ociMembers(mixed)].reverse())],
  ]

  const cutCodes = /^ERR_(?:TAR_TRUNCATED|ARCHIVE_UNKNOWN|ARCHIVE_INCOMPLETE)$/

  test.each(archives)('%s', async (_, bytes) => {
    const whole = await outcome(bytes)
    const lengths = new Set([0, 1, 511, 512, 513, 1023, 1024, 1025])
    for (let length = 600; length < bytes.length; length += 731) lengths.add(length)
    for (let length = 0; length < bytes.length; length += 1536) lengths.add(length)
    for (const length of lengths) {
      const result = await outcome(bytes.subarray(0, length))
      if (length === 0) expect(result).toMatchObject({ code: 'ERR_ARCHIVE_UNKNOWN' })
      else if (result instanceof ComposefsError) expect(result.code).toMatch(cutCodes)
      else {
        // Between the members nothing is missing where all that matters came before.
        expect(result).toEqual(whole)
        expect(length % 512).toBe(0)
        expect(length).toBeGreaterThanOrEqual(bytes.length - 2048)
      }
    }
  })

  test.each([
    ['gzip', gzipSync(ociArchive(plain))],
    ['zstd', encodeZstd(ociArchive(plain))],
  ])('a compressed archive: %s', async (_, bytes) => {
    for (let length = 20; length < bytes.length; length += Math.ceil(bytes.length / 20)) {
      expect(await code(bytes.subarray(0, length))).toBe('ERR_COMPRESSION_TRUNCATED')
    }
  })

  test.each([gzipSync(good[0]!), encodeZstd(good[0]!)])(
    'a compressed layer that is whole for its archive',
    async (blob) => {
      for (const length of [12, blob.length - 20, blob.length - 1]) {
        const bytes = blob.subarray(0, length)
        const suffix = blob[0] === 0x1f ? '+gzip' : '+zstd'
        expect(await code(ociArchive(imageOf([good[0]!], [{ bytes, suffix }])))).toBe('ERR_COMPRESSION_TRUNCATED')
      }
    },
  )

  test('a tar that is whole for its archive', async () => {
    for (const length of [600, 1800, 2000, good[0]!.length - 1500]) {
      for (const [, bytes] of archivesOf(good[0]!.subarray(0, length)))
        expect(await code(bytes)).toBe('ERR_TAR_TRUNCATED')
    }
  })
})

describe('flipped bits', () => {
  test.each([
    ['docker-archive', dockerArchive(good)],
    ['oci-archive', ociArchive(mixed)],
    ['compressed archive', gzipSync(ociArchive(plain))],
  ])('%s: an error, or the very same image', async (_, bytes) => {
    const whole = await outcome(bytes)
    let refusals = 0
    const step = Math.ceil(bytes.length / 150)
    for (let at = 0; at < bytes.length; at += step) {
      const flipped = Buffer.from(bytes)
      flipped[at]! ^= 1 << (at % 8)
      const result = await outcome(flipped)
      if (result instanceof ComposefsError) refusals++
      else expect(result).toEqual(whole)
    }
    expect(refusals).toBeGreaterThan(50)
  })

  test('in the bytes of a layer', async () => {
    const members = dockerMembers(configOf(good), good)
    const damaged = Buffer.from(good[1]!)
    damaged[2048]! ^= 1
    const bytes = archive(members.map((member) => (member.body === good[1] ? { ...member, body: damaged } : member)))
    expect(await outcome(bytes)).toMatchObject({
      code: 'ERR_DIGEST_MISMATCH',
      expected: digestOf(good[1]!),
      actual: digestOf(damaged),
    })
  })
})

describe('wrong digests', () => {
  const replaced = (members: readonly ArchiveMember[], name: string, body: Buffer) =>
    archive(members.map((member) => (member.name === name ? { ...member, body } : member)))

  test.each([
    ['the layer', plain.layers[0]!],
    ['the compressed layer', mixed.layers[1]!],
    ['the config', plain.config],
    ['the manifest', plain.manifest],
  ])('of %s: the blob does not have the one in its name', async (_, bytes) => {
    const image = mixed.layers.includes(bytes) ? mixed : plain
    const other = Buffer.concat([bytes, Buffer.from('\n')])
    const result = await outcome(replaced(ociMembers(image), blobName(digestOf(bytes)), other))
    // A compressed layer with something behind its end is damaged before it has another digest.
    const wanted =
      bytes === mixed.layers[1]
        ? /^ERR_(?:COMPRESSION_DATA|COMPRESSION_TRUNCATED|DIGEST_MISMATCH)$/
        : /^ERR_DIGEST_MISMATCH$/
    expect((result as ComposefsError).code).toMatch(wanted)
  })

  test('of the diffIDs', async () => {
    const swapped = configOf([good[1]!, good[0]!])
    const manifest = Buffer.from(String(plain.manifest).replace(digestOf(plain.config), digestOf(swapped)))
    expect(await code(ociArchive({ ...plain, config: swapped, manifest }))).toBe('ERR_DIGEST_MISMATCH')
    expect(await code(archive(dockerMembers(swapped, good)))).toBe('ERR_DIGEST_MISMATCH')
  })

  test('of the manifest in the index', async () => {
    const members = ociMembers(plain).map((member) =>
      member.name === 'index.json' ? { ...member, body: indexOf(plain.manifest, `sha256:${'0'.repeat(64)}`) } : member,
    )
    expect(await code(archive(members))).toBe('ERR_ARCHIVE_INCOMPLETE')
  })

  test('sizes', async () => {
    for (const size of [good[0]!.length + 1, good[0]!.length - 1]) {
      const manifest = Buffer.from(String(plain.manifest).replace(`"size":${good[0]!.length}`, `"size":${size}`))
      expect(await code(ociArchive({ ...plain, manifest }))).toBe('ERR_SIZE_MISMATCH')
    }
  })
})

const lying = entry({ name: 'PaxHeaders/x', type: 'x' }, '99 path=usr/x\n')
const longName = 'n'.repeat(256)

describe.each<[string, Buffer, string]>([
  ['a PAX record with a lying length', tar(usr, lying, entry({ name: 'usr/x' })), 'ERR_PAX_RECORD'],
  [
    'a PAX record without an end',
    tar(usr, pax(Buffer.from('14 path=usr/x')), entry({ name: 'usr/x' })),
    'ERR_PAX_RECORD',
  ],
  [
    'a PAX header of 1 GB',
    Buffer.concat([usr, header({ name: 'x', type: 'x', size: 2 ** 30 }), Buffer.alloc(2048)]),
    'ERR_TAR_EXTENSION_SIZE',
  ],
  [
    'a long name of 1 GB',
    Buffer.concat([usr, header({ name: 'x', type: 'L', size: 2 ** 30 }), Buffer.alloc(2048)]),
    'ERR_TAR_EXTENSION_SIZE',
  ],
  ['a file larger than the archive', tar(usr, header({ name: 'usr/x', size: 2 ** 30 })), 'ERR_TAR_TRUNCATED'],
  ['a damaged header', tar(usr, header({ name: 'usr/x', checksum: Buffer.from('000000\0 ') })), 'ERR_TAR_CHECKSUM'],
  ['a path with ..', tar(usr, entry({ name: 'usr/../../etc/passwd' }, 'x')), 'ERR_PATH_INVALID'],
  ['a name of 256 bytes', tar(usr, pax({ path: `usr/${longName}` }), entry({ name: 'x' })), 'ERR_NAME_TOO_LONG'],
  ['a hardlink to nowhere', tar(usr, entry({ name: 'usr/x', type: '1', linkName: 'usr/y' })), 'ERR_HARDLINK_TARGET'],
  ['a file as a parent', tar(usr, entry({ name: 'usr/f' }), entry({ name: 'usr/f/x' })), 'ERR_PARENT_NOT_DIRECTORY'],
  [
    'a symlink as a parent',
    tar(usr, entry({ name: 'usr/s', type: '2', linkName: '.' }), entry({ name: 'usr/s/x' })),
    'ERR_PARENT_NOT_DIRECTORY',
  ],
  ['a missing parent', tar(usr, entry({ name: 'usr/no/x' })), 'ERR_PARENT_MISSING'],
  [
    'a sparse file',
    tar(usr, pax({ 'GNU.sparse.major': '1', 'GNU.sparse.minor': '0' }), entry({ name: 'usr/x' })),
    'ERR_TAR_SPARSE',
  ],
  ['a symlink without a target', tar(usr, entry({ name: 'usr/s', type: '2' })), 'ERR_SYMLINK_TARGET'],
  ['an entry of an unknown type', tar(usr, entry({ name: 'usr/z', type: 'Z' })), 'ERR_TAR_TYPE'],
  ['no /usr', tar(entry({ name: 'etc/', type: '5' })), 'ERR_USR_MISSING'],
  ['/usr as a symlink', tar(entry({ name: 'usr', type: '2', linkName: 'x' })), 'ERR_NOT_DIRECTORY'],
])('%s', (_, bytes, wanted) => {
  test.each(archivesOf(bytes))('%s', async (_, input) => {
    const result = await outcome(input)
    expect(result).toMatchObject({ code: wanted })
    expect((result as ComposefsError).message.length).toBeGreaterThan(20)
  })

  test('in an upper layer', async () => {
    const [input] = archivesOf(good[0]!, bytes).map(([, input]) => input)
    // What is in a lower layer may make good what this one lacks.
    expect(await code(input!)).toBe(wanted === 'ERR_USR_MISSING' ? 'accepted' : wanted)
  })
})

describe('compression', () => {
  const layerOf = (bytes: Buffer, suffix: '+gzip' | '+zstd') => ociArchive(imageOf([good[0]!], [{ bytes, suffix }]))
  const half = good[0]!.length / 2
  const [first, second] = [good[0]!.subarray(0, half), good[0]!.subarray(half)]
  const flip = (bytes: Buffer, at: number) => {
    const copy = Buffer.from(bytes)
    copy.set([copy.at(at)! ^ 0x10], at < 0 ? copy.length + at : at)
    return copy
  }

  test('several members and frames are good', async () => {
    expect(await code(layerOf(Buffer.concat([gzipSync(first), gzipSync(second)]), '+gzip'))).toBe('accepted')
    expect(await code(layerOf(Buffer.concat([encodeZstd(first), encodeZstd(second)]), '+zstd'))).toBe('accepted')
  })

  test('a damaged second gzip member', async () => {
    const member = gzipSync(second)
    for (const at of [1, -2, -6]) {
      expect(await code(layerOf(Buffer.concat([gzipSync(first), flip(member, at)]), '+gzip'))).toBe(
        'ERR_COMPRESSION_DATA',
      )
    }
    const cut = Buffer.concat([gzipSync(first), member.subarray(0, -4)])
    expect(await code(layerOf(cut, '+gzip'))).toBe('ERR_COMPRESSION_TRUNCATED')
  })

  test('a damaged second zstd frame', async () => {
    const frame = encodeZstd(second)
    expect(await code(layerOf(Buffer.concat([encodeZstd(first), flip(frame, 1)]), '+zstd'))).toBe(
      'ERR_COMPRESSION_DATA',
    )
    const reserved = Buffer.concat([encodeZstd(first), zstdFrame([{ type: 3, size: 5, bytes: Buffer.alloc(5) }])])
    expect(await code(layerOf(reserved, '+zstd'))).toBe('ERR_COMPRESSION_DATA')
    const cut = Buffer.concat([encodeZstd(first), frame.subarray(0, -4)])
    expect(await code(layerOf(cut, '+zstd'))).toBe('ERR_COMPRESSION_TRUNCATED')
  })

  test('something behind the end', async () => {
    for (const [more, wanted] of [
      [Buffer.from('more'), 'ERR_COMPRESSION_DATA'],
      [Buffer.alloc(10), 'accepted'],
    ] as const) {
      expect(await code(layerOf(Buffer.concat([gzipSync(good[0]!), more]), '+gzip'))).toBe(wanted)
      expect(await code(layerOf(Buffer.concat([encodeZstd(good[0]!), more]), '+zstd'))).toBe(wanted)
    }
  })

  test('another one than the media type says: the first bytes decide', async () => {
    expect(await code(layerOf(gzipSync(good[0]!), '+zstd'))).toBe('accepted')
    expect(await code(layerOf(encodeZstd(good[0]!), '+gzip'))).toBe('accepted')
    expect(await code(layerOf(good[0]!, '+gzip'))).toBe('accepted')
  })

  // 64 MiB of zeros in 2 KiB.
  const zeros = 512 * 128 * 1024
  const bomb = zstdFrame([
    { type: 0, size: 1024, bytes: Buffer.concat([usr, header({ name: 'usr/huge', size: zeros })]) },
    ...Array.from({ length: 512 }, () => ({ type: 1, size: 128 * 1024, bytes: Buffer.alloc(1) }) as const),
  ])
  const content = () => tar(usr, entry({ name: 'usr/huge' }, Buffer.alloc(zeros))).subarray(0, 1024 + zeros)
  const limits: [string, ImportOptions][] = [
    ['expands beyond the ratio', { decompressor: { freeOutput: 1024 * 1024 } }],
    ['expands beyond the limit', { maxOutput: 1024 * 1024 }],
  ]

  test.each(limits)('a zip bomb that %s', async (_, options) => {
    const bytes = ociArchive(imageOf([content()], [{ bytes: bomb, suffix: '+zstd' }]))
    expect(await outcome(bytes, options)).toMatchObject({ code: 'ERR_COMPRESSION_BOMB' })
    const whole = zstdFrame([
      { type: 0, size: 512, bytes: header({ name: 'x.tar', size: zeros }) },
      ...Array.from({ length: 512 }, () => ({ type: 1, size: 128 * 1024, bytes: Buffer.alloc(1) }) as const),
    ])
    expect(await outcome(whole, options)).toMatchObject({ code: 'ERR_COMPRESSION_BOMB' })
  })

  test('layers that expand beyond a limit, each or all together', async () => {
    const bytes = ociArchive(mixed)
    const largest = Math.max(...good.map(({ length }) => length))
    const total = good.reduce((sum, { length }) => sum + length, 0)
    expect(await code(bytes, { decompressor: { maxOutput: largest }, maxOutput: total })).toBe('accepted')
    expect(await code(bytes, { decompressor: { maxOutput: largest - 1 } })).toBe('ERR_COMPRESSION_BOMB')
    for (const image of [bytes, gzipSync(dockerArchive(good))]) {
      expect(await code(image, { maxOutput: total - 1 })).toBe('ERR_COMPRESSION_BOMB')
    }
  })

  test('a window that would take all memory', async () => {
    const wide = Buffer.from(bomb)
    wide[5] = 0xff
    expect(await code(ociArchive(imageOf([content()], [{ bytes: wide, suffix: '+zstd' }])))).toBe('ERR_LIMIT')
  })
})

describe('incomplete and contradictory archives', () => {
  const without = (members: readonly ArchiveMember[], body: unknown) =>
    archive(members.filter((member) => member.body !== body))
  const docker = dockerMembers(configOf(good), good)
  const described = (fields: object) => [
    ...docker.slice(0, -1),
    { name: 'manifest.json', body: JSON.stringify([{ ...JSON.parse(String(docker.at(-1)!.body))[0], ...fields }]) },
  ]

  test.each<[string, Buffer, string]>([
    ['a missing layer', without(ociMembers(plain), plain.layers[1]), 'ERR_ARCHIVE_INCOMPLETE'],
    ['a missing config', without(ociMembers(plain), plain.config), 'ERR_ARCHIVE_INCOMPLETE'],
    ['a missing manifest', without(ociMembers(plain), plain.manifest), 'ERR_ARCHIVE_INCOMPLETE'],
    ['a missing layer (docker)', without(docker, good[1]), 'ERR_ARCHIVE_INCOMPLETE'],
    [
      'a missing config (docker)',
      archive(docker.filter(({ name }) => !/^[0-9a-f]{64}\.json$/.test(name))),
      'ERR_ARCHIVE_INCOMPLETE',
    ],
    ['no manifest.json and no index.json', archive(docker.slice(0, -1)), 'ERR_ARCHIVE_UNKNOWN'],
    ['an archive of nothing', Buffer.alloc(1024), 'ERR_ARCHIVE_UNKNOWN'],
    ['a bare layer', good[0]!, 'ERR_ARCHIVE_UNKNOWN'],
    ['too few diff_ids', ociArchive(withConfig(configOf(good.slice(1)))), 'ERR_OCI_JSON'],
    ['too many diff_ids', ociArchive(withConfig(configOf([...good, ...good]))), 'ERR_OCI_JSON'],
    ['too few layers (docker)', archive(described({ Layers: [] })), 'ERR_OCI_JSON'],
    ['a config without rootfs', ociArchive(withConfig(Buffer.from('{"os":"linux"}'))), 'ERR_OCI_JSON'],
    ['a config that is an array', ociArchive(withConfig(Buffer.from('[]'))), 'ERR_OCI_JSON'],
    [
      'a manifest.json that is an object',
      archive([...docker.slice(0, -1), { name: 'manifest.json', body: '{}' }]),
      'ERR_OCI_JSON',
    ],
    [
      'a manifest.json that is text',
      archive([...docker.slice(0, -1), { name: 'manifest.json', body: 'x' }]),
      'ERR_ARCHIVE_MEMBER',
    ],
    ['an index.json that is cut', archive([{ name: 'index.json', body: '{"manifests":' }]), 'ERR_OCI_JSON'],
    ['an index without images', archive([{ name: 'index.json', body: '{"manifests":[]}' }]), 'ERR_ARCHIVE_INCOMPLETE'],
    [
      'an artifact',
      ociArchive(withMediaType('application/vnd.oci.image.config.v1+json', 'application/vnd.oci.empty.v1+json')),
      'ERR_OCI_MEDIA_TYPE',
    ],
    [
      'a layer of an unknown kind',
      ociArchive(withMediaType('image.layer.v1.tar', 'image.layer.v1.tar+encrypted')),
      'ERR_OCI_MEDIA_TYPE',
    ],
    [
      'a layer that is no tar',
      archive(described({ Layers: ['manifest.json', 'manifest.json'] })),
      'ERR_ARCHIVE_MEMBER',
    ],
    ['a member outside', archive([{ name: '../x', body: 'x' }, ...docker]), 'ERR_PATH_INVALID'],
    [
      'progress text',
      Buffer.from('Getting image source signatures\nCopying blob sha256:abc\n'),
      'ERR_ARCHIVE_PROGRESS_TEXT',
    ],
    [
      'progress text, then the archive',
      Buffer.concat([Buffer.from('Getting image source signatures\n'), ociArchive(plain)]),
      'ERR_ARCHIVE_PROGRESS_TEXT',
    ],
    [
      'progress text inside the archive',
      Buffer.concat([
        dockerArchive(good).subarray(0, 512),
        Buffer.from('Copying blob\n'),
        dockerArchive(good).subarray(512),
      ]),
      'ERR_TAR_CHECKSUM',
    ],
    ['nothing', Buffer.alloc(0), 'ERR_ARCHIVE_UNKNOWN'],
    ['text', Buffer.from('no archive'), 'ERR_ARCHIVE_UNKNOWN'],
    ['JSON', plain.manifest, 'ERR_ARCHIVE_UNKNOWN'],
  ])('%s', async (_, bytes, wanted) => {
    expect(await code(bytes)).toBe(wanted)
  })

  test('an archive whose headers go too far', async () => {
    const huge = Buffer.concat([header({ name: 'x', type: 'x', size: 2 ** 30 }), Buffer.alloc(4096)])
    expect(await code(huge)).toBe('ERR_TAR_EXTENSION_SIZE')
    expect(await code(Buffer.concat([header({ name: 'x', size: 2 ** 40 }), Buffer.alloc(4096)]))).toBe(
      'ERR_TAR_TRUNCATED',
    )
  })
})

describe('a source that stops', () => {
  const large = Buffer.alloc(3_000_000, 'large')
  const tars = [tar(usr, entry({ name: 'usr/large' }, large))]
  const packed = imageOf(tars, [{ bytes: gzipSync(tars[0]!, { level: 0 }), suffix: '+gzip' }])
  const inputs: [string, Buffer][] = [
    ['in a plain layer', dockerArchive(tars)],
    ['in a compressed layer', ociArchive(packed)],
    ['in a compressed archive', gzipSync(dockerArchive(tars), { level: 0 })],
    ['in a blob', archive([{ name: 'random', body: large }])],
    ['in JSON', archive([{ name: 'a.json', body: Buffer.concat([Buffer.from('{'), large]) }])],
  ]

  const broken = new Error('the connection was lost')

  test.each(inputs)('%s', async (_, bytes) => {
    for (const error of [undefined, broken]) {
      const repository = await temporaryRepository()
      const chunks = cut(bytes.subarray(0, bytes.length / 2), [100_000])
      const source = new Readable({
        read() {
          const chunk = chunks.shift()
          if (chunk !== undefined) this.push(chunk)
          else setTimeout(() => this.destroy(error), 2)
        },
      })
      const importing = importArchive(repository, source)
      await expect(importing).rejects.toMatchObject(error ?? { code: 'ERR_STREAM_PREMATURE_CLOSE' })
      expect(published(repository)).toEqual({})
      expect(leftovers(repository)).toEqual([])
    }
  })
})

function withConfig(config: Buffer): typeof plain {
  const parsed = JSON.parse(String(plain.manifest)) as { config: object }
  const manifest = { ...parsed, config: { ...parsed.config, digest: digestOf(config), size: config.length } }
  return { ...plain, config, manifest: Buffer.from(JSON.stringify(manifest)) }
}

function withMediaType(from: string, to: string): typeof plain {
  return { ...plain, manifest: Buffer.from(String(plain.manifest).replace(from, to)) }
}

interface ZstdBlock {
  /** 0 raw, 1 one byte over and over, 3 not allowed. */
  readonly type: 0 | 1 | 3
  readonly size: number
  readonly bytes: Buffer
}

/** A zstd frame of blocks made by hand (RFC 8878): a window of 2 MiB, no checksum. */
function zstdFrame(blocks: readonly ZstdBlock[]): Buffer {
  const parts = blocks.map(({ type, size, bytes }, i) => {
    const blockHeader = Buffer.alloc(3)
    blockHeader.writeUIntLE((i === blocks.length - 1 ? 1 : 0) | (type << 1) | (size << 3), 0, 3)
    return Buffer.concat([blockHeader, bytes])
  })
  return Buffer.concat([Buffer.from('28b52ffd0058', 'hex'), ...parts])
}

test('what is wrong with a layer of an archive has the details that are known, and no others', async () => {
  const repository = await temporaryRepository()
  const broken = tar(entry({ name: 'usr/', type: '5' }), entry({ name: 'usr/a' }, 'a'.repeat(2000)))
  broken[512] = 0xff
  const error = await importArchive(repository, Readable.from([dockerArchive([broken])])).catch((reason) => reason)
  expect(error).toMatchObject({ code: 'ERR_TAR_CHECKSUM', message: expect.stringMatching(/^layer 1 of 1/) })
  expect(Object.entries(error).filter(([, value]) => value === undefined)).toEqual([])
})
