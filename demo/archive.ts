/** An oci-archive, as skopeo would pipe it. */
import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { gzipSync } from 'node:zlib'
import { mediaTypes } from 'composefs-streams/oci'
import { pack } from 'tar-stream'

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')

/** An image of these layers, its members in the order of their digests: the manifest comes when it comes. */
export function archive(layers: readonly Buffer[]): Readable {
  const blobs = new Map<string, Buffer>()
  const descriptor = (mediaType: string, bytes: Buffer) => {
    const hex = sha256(bytes)
    blobs.set(hex, bytes)
    return { mediaType, digest: `sha256:${hex}`, size: bytes.length }
  }
  const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value))
  const config = json({
    architecture: 'amd64',
    os: 'linux',
    config: {},
    rootfs: { type: 'layers', diff_ids: layers.map((tar) => `sha256:${sha256(tar)}`) },
  })
  const manifest = json({
    schemaVersion: 2,
    mediaType: mediaTypes.manifest,
    config: descriptor(mediaTypes.config, config),
    layers: layers.map((tar) => descriptor(`${mediaTypes.layer}+gzip`, gzipSync(tar, { level: 1 }))),
  })
  const index = json({ schemaVersion: 2, manifests: [descriptor(mediaTypes.manifest, manifest)] })

  const tar = pack()
  for (const [hex, bytes] of [...blobs].sort(([a], [b]) => (a < b ? -1 : 1))) {
    tar.entry({ name: `blobs/sha256/${hex}` }, bytes)
  }
  tar.entry({ name: 'index.json' }, index)
  tar.entry({ name: 'oci-layout' }, '{"imageLayoutVersion":"1.0.0"}')
  tar.finalize()
  return Readable.from(tar, { objectMode: false })
}
