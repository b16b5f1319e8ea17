import { describe, expect, test } from 'vitest'
import { pushedManifest } from '../../../src/oci/push-manifest.ts'
import { digestOf } from '../../support/image-archive.ts'

const oci = 'application/vnd.oci.image.'
const docker = 'application/vnd.docker.'
const digest = digestOf(Buffer.from('before'))
const other = { digest: digestOf(Buffer.from('after')), size: 7, compression: 'gzip' } as const

function manifest(layer: object, more: object = {}): Buffer {
  const config = { mediaType: `${oci}config.v1+json`, digest, size: 2 }
  return Buffer.from(JSON.stringify({ schemaVersion: 2, config, layers: [{ digest, size: 3, ...layer }], ...more }))
}

const dockerManifest = (suffix: string): Buffer =>
  manifest(
    { mediaType: `${docker}image.rootfs.diff.tar${suffix}` },
    {
      mediaType: `${docker}distribution.manifest.v2+json`,
      config: { mediaType: `${docker}container.image.v1+json`, digest, size: 2 },
    },
  )

const read = ({ bytes }: { bytes: Buffer }) => JSON.parse(bytes.toString())

describe('pushedManifest', () => {
  test('keeps the bytes where nothing changed', () => {
    const before = Buffer.concat([manifest({ mediaType: `${oci}layer.v1.tar` }), Buffer.from('\n')])
    const after = pushedManifest(before, [undefined], true)
    expect(after).toEqual({ bytes: before, mediaType: `${oci}manifest.v1+json`, digest: digestOf(before) })
    expect(pushedManifest(dockerManifest('.gzip'), [undefined], false).bytes).toEqual(dockerManifest('.gzip'))
  })

  test.each([
    ['layer.v1.tar+zstd', 'gzip', 'layer.v1.tar+gzip'],
    ['layer.v1.tar+gzip', 'none', 'layer.v1.tar'],
    ['layer.v1.tar', 'zstd', 'layer.v1.tar+zstd'],
    ['layer.nondistributable.v1.tar', 'gzip', 'layer.nondistributable.v1.tar+gzip'],
  ] as const)('%s as %s', (before, compression, after) => {
    const result = read(pushedManifest(manifest({ mediaType: oci + before }), [{ ...other, compression }], false))
    expect(result.layers).toEqual([{ mediaType: oci + after, digest: other.digest, size: 7 }])
    // It had no media type of its own.
    expect(Object.keys(result)).toEqual(['schemaVersion', 'config', 'layers'])
  })

  test('keeps what is said of the layer, and not what is said of the blob', () => {
    const annotations = {
      'io.github.containers.zstd-chunked.manifest-checksum': 'x',
      'containerd.io/snapshot/stargz/toc.digest': 'x',
      'io.containers.estargz.uncompressed-size': '9',
      title: 'kept',
    }
    const before = manifest({ mediaType: `${oci}layer.v1.tar+zstd`, annotations, data: 'eA==' }, { annotations })
    const result = read(pushedManifest(before, [other], false))
    expect(result.layers[0].annotations).toEqual({ title: 'kept' })
    expect(result.layers[0].data).toBeUndefined()
    expect(result.annotations).toEqual(annotations)
  })

  test('stays one of Docker where it may', () => {
    const result = read(pushedManifest(dockerManifest(''), [other], false))
    expect(result.mediaType).toBe(`${docker}distribution.manifest.v2+json`)
    expect(result.layers[0].mediaType).toBe(`${docker}image.rootfs.diff.tar.gzip`)
  })

  test.each([
    ['a layout', [undefined], true, '+gzip'],
    ['zstd', [{ ...other, compression: 'zstd' as const }], false, '+zstd'],
  ] as const)('becomes one of OCI for %s', (_, layers, ociOnly, suffix) => {
    const after = pushedManifest(dockerManifest('.gzip'), layers, ociOnly)
    const result = read(after)
    expect(after.mediaType).toBe(`${oci}manifest.v1+json`)
    expect(result.mediaType).toBe(`${oci}manifest.v1+json`)
    expect(result.config).toEqual({ mediaType: `${oci}config.v1+json`, digest, size: 2 })
    expect(result.layers[0].mediaType).toBe(`${oci}layer.v1.tar${suffix}`)
  })
})
