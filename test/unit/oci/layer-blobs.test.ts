/** Blobs as real tools make them: in frames and members, with tables of contents between and behind. */
import { join } from 'node:path'
import { deflateRawSync, gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { imageTree, openImage, pull } from '../../../src/oci/index.ts'
import { dumpfileText, encodeZstd } from '../../../src/streams/index.ts'
import { skippable, storedFrame } from '../../support/compressed.ts'
import { imageOf } from '../../support/image-archive.ts'
import { writeLayout } from '../../support/random-images.ts'
import { entry, tar } from '../../support/tar.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'
import { published, temporaryRepository } from '../../support/temporary-repository.ts'

const layer = tar(
  entry({ name: 'usr/', type: '5', mode: 0o755 }),
  entry({ name: 'usr/small' }, 'small'),
  entry({ name: 'usr/large' }, 'large'.repeat(3000)),
)
const pieces = [layer.subarray(0, 700), layer.subarray(700, 5000), layer.subarray(5000)]

/** The footer of eStargz: an empty member whose header says where the table of contents begins. */
function stargzFooter(offset: number): Buffer {
  const extra = Buffer.from(`${offset.toString(16).padStart(16, '0')}STARGZ`)
  const field = Buffer.concat([Buffer.from('SG'), Buffer.from([extra.length, 0]), extra])
  const head = Buffer.from([0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255, field.length, 0])
  return Buffer.concat([head, field, Buffer.from([1, 0, 0, 255, 255]), Buffer.alloc(8)])
}

/** As zstd:chunked ends: manifest and tar-split in skippable frames, then 64 bytes that lead to them. */
const chunkedEnd = [
  skippable(encodeZstd(Buffer.from('{"version":1}'))),
  skippable('split'),
  skippable(Buffer.alloc(64, 7)),
]

/** In eStargz the table of contents is a file of the tar, in a member of its own. */
const toc = entry({ name: 'stargz.index.json' }, '{"version":1,"entries":[]}')
const stargzTar = Buffer.concat([layer.subarray(0, layer.length - 1024), toc, Buffer.alloc(1024)])
const stargzMembers = [
  layer.subarray(0, 700),
  layer.subarray(700, layer.length - 1024),
  Buffer.concat([toc, Buffer.alloc(1024)]),
]
const stargz = Buffer.concat(stargzMembers.map((bytes) => gzipSync(bytes)))

const oci = 'application/vnd.oci.image.layer.'
const docker = 'application/vnd.docker.image.rootfs.'

async function pulled(bytes: Buffer, mediaType: string, plain = layer, more: object = {}): Promise<string> {
  const image = imageOf([plain], [{ bytes, suffix: '' }])
  const manifest = JSON.parse(image.manifest.toString())
  manifest.layers[0] = { ...manifest.layers[0], mediaType, ...more }
  const at = join(temporaryDirectory(), 'layout')
  writeLayout(at, { ...image, manifest: Buffer.from(JSON.stringify(manifest)) })
  const repository = await temporaryRepository()
  try {
    await pull(repository, `oci:${at}`, { name: 'x' })
  } catch (error) {
    expect(published(repository)).toEqual({})
    throw error
  }
  return dumpfileText(await imageTree(repository, openImage(repository, 'x').config!)).toString()
}

describe('blobs of layers', () => {
  test.each<[string, string, Buffer]>([
    ['a plain tar', 'v1.tar', layer],
    ['one gzip member', 'v1.tar+gzip', gzipSync(layer)],
    [
      'gzip members, one of them empty',
      'v1.tar+gzip',
      Buffer.concat([...pieces, Buffer.alloc(0)].map((p) => gzipSync(p))),
    ],
    ['one zstd frame', 'v1.tar+zstd', encodeZstd(layer)],
    ['zstd frames', 'v1.tar+zstd', Buffer.concat(pieces.map(encodeZstd))],
    ['zstd frames with checksums', 'v1.tar+zstd', Buffer.concat(pieces.map((p) => storedFrame(p, { checksum: true })))],
    ['a skippable frame first', 'v1.tar+zstd', Buffer.concat([skippable('first', 15), ...pieces.map(encodeZstd)])],
    [
      'skippable frames between',
      'v1.tar+zstd',
      Buffer.concat(pieces.flatMap((p) => [encodeZstd(p), skippable('between')])),
    ],
    ['zstd:chunked', 'v1.tar+zstd', Buffer.concat([...pieces.map(encodeZstd), ...chunkedEnd])],
    ['a plain tar that says it is gzip', 'v1.tar+gzip', layer],
    ['gzip that says it is plain', 'v1.tar', gzipSync(layer)],
    ['nondistributable', 'nondistributable.v1.tar', layer],
    ['nondistributable gzip', 'nondistributable.v1.tar+gzip', gzipSync(layer)],
    ['nondistributable zstd', 'nondistributable.v1.tar+zstd', encodeZstd(layer)],
  ])('%s', async (_, mediaType, bytes) => {
    expect(await pulled(bytes, oci + mediaType)).toBe(await pulled(layer, `${oci}v1.tar`))
  })

  test('eStargz', async () => {
    const bytes = Buffer.concat([stargz, stargzFooter(stargz.length)])
    const text = await pulled(bytes, `${oci}v1.tar+gzip`, stargzTar)
    // The table of contents is a file like any other: without it the layer would not have its diffID.
    expect(text).toBe(await pulled(stargzTar, `${oci}v1.tar`, stargzTar))
    expect(text).toContain('/stargz.index.json ')
  })

  test.each(['diff.tar', 'diff.tar.gzip', 'diff.tar.zstd'])('of Docker: %s', async (mediaType) => {
    const bytes = mediaType.endsWith('gzip') ? gzipSync(layer) : mediaType.endsWith('zstd') ? encodeZstd(layer) : layer
    expect(await pulled(bytes, docker + mediaType)).toBe(await pulled(layer, `${oci}v1.tar`))
  })

  test.each<[string, string, object]>([
    ['of Docker', `${docker}foreign.diff.tar.gzip`, {}],
    ['of Docker, with addresses', `${docker}foreign.diff.tar.gzip`, { urls: ['https://example.com/layer'] }],
    ['of OCI, with addresses', `${oci}nondistributable.v1.tar+gzip`, { urls: ['https://example.com/layer'] }],
  ])('foreign layers are refused by name (%s)', async (_, mediaType, more) => {
    await expect(pulled(gzipSync(layer), mediaType, layer, more)).rejects.toMatchObject({
      code: 'ERR_OCI_MEDIA_TYPE',
      message: expect.stringMatching(/^layer 1 of 1 \(sha256:[0-9a-f]{64}\) .* is foreign/),
    })
  })

  test.each<[string, Buffer, string]>([
    ['text behind gzip', Buffer.concat([gzipSync(layer), Buffer.from('text')]), 'gzip'],
    ['a member that is cut', gzipSync(layer).subarray(0, -9), 'gzip'],
    ['a raw deflate stream', deflateRawSync(layer), 'gzip'],
    ['a frame that is cut', encodeZstd(layer).subarray(0, -3), 'zstd'],
    ['a skippable frame that is cut', Buffer.concat([encodeZstd(layer), skippable('end').subarray(0, -1)]), 'zstd'],
  ])('%s is refused', async (_, bytes, compression) => {
    await expect(pulled(bytes, `${oci}v1.tar+${compression}`)).rejects.toMatchObject({
      code: expect.stringMatching(/^ERR_(?:COMPRESSION|TAR|DIGEST)_/),
      message: expect.stringContaining('layer 1 of 1'),
    })
  })
})
