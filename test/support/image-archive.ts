import { createHash } from 'node:crypto'
import { entry, type OddHeader, tar } from './tar.ts'

/** A member of an archive: a file, or whatever its fields say. */
export interface ArchiveMember {
  readonly name: string
  readonly body?: Buffer | string
  readonly fields?: OddHeader
}

/** An image by the bytes of its parts, the lowest layer first. */
export interface ImageBytes {
  readonly config: Buffer
  readonly manifest: Buffer
  readonly layers: readonly Buffer[]
}

/** `sha256:HEX` */
export function digestOf(bytes: Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}

export function blobName(digest: string): string {
  return `blobs/${digest.replace(':', '/')}`
}

/** A tar of these members, in this order. */
export function archive(members: readonly ArchiveMember[]): Buffer {
  return tar(...members.map(({ name, body = '', fields = {} }) => entry({ name, ...fields }, body)))
}

/** The config of an image of these layers. */
export function configOf(tars: readonly Buffer[], extra: object = {}): Buffer {
  const rootfs = { type: 'layers', diff_ids: tars.map(digestOf) }
  return Buffer.from(JSON.stringify({ architecture: 'amd64', os: 'linux', config: {}, rootfs, ...extra }))
}

const layerType = 'application/vnd.oci.image.layer.v1.tar'
const manifestType = 'application/vnd.oci.image.manifest.v1+json'

/** An image of plain tars, or of blobs that are said to be compressed. */
export function imageOf(
  tars: readonly Buffer[],
  blobs: readonly { bytes: Buffer; suffix: '' | '+gzip' | '+zstd' }[] = tars.map((bytes) => ({ bytes, suffix: '' })),
): ImageBytes {
  const config = configOf(tars)
  const descriptor = (mediaType: string, bytes: Buffer) => ({ mediaType, digest: digestOf(bytes), size: bytes.length })
  const manifest = {
    schemaVersion: 2,
    mediaType: manifestType,
    config: descriptor('application/vnd.oci.image.config.v1+json', config),
    layers: blobs.map(({ bytes, suffix }) => descriptor(layerType + suffix, bytes)),
  }
  return { config, manifest: Buffer.from(JSON.stringify(manifest)), layers: blobs.map(({ bytes }) => bytes) }
}

/** An artifact of these blobs, with the empty config; about another manifest, perhaps. */
export function artifactOf(
  blobs: readonly { readonly mediaType: string; readonly bytes: Buffer }[],
  subject?: Buffer,
): ImageBytes {
  const config = Buffer.from('{}')
  const descriptor = (mediaType: string, bytes: Buffer) => ({ mediaType, digest: digestOf(bytes), size: bytes.length })
  const manifest = {
    schemaVersion: 2,
    mediaType: manifestType,
    artifactType: 'application/x-thing',
    config: descriptor('application/vnd.oci.empty.v1+json', config),
    layers: blobs.map(({ mediaType, bytes }) => descriptor(mediaType, bytes)),
    ...(subject !== undefined && { subject: descriptor(manifestType, subject) }),
  }
  return { config, manifest: Buffer.from(JSON.stringify(manifest)), layers: blobs.map(({ bytes }) => bytes) }
}

/** The `index.json` of a layout that holds one manifest. */
export function indexOf(manifest: Buffer, digest: string = digestOf(manifest), name?: string): Buffer {
  const annotations = name === undefined ? {} : { annotations: { 'org.opencontainers.image.ref.name': name } }
  const descriptor = { mediaType: manifestType, digest, size: manifest.length, ...annotations }
  return Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: [descriptor] }))
}

/** The members of an oci-archive as skopeo orders them: blobs, then `index.json`. */
export function ociMembers({ config, manifest, layers }: ImageBytes, name?: string): ArchiveMember[] {
  const blobs = new Map([...layers, config, manifest].map((bytes) => [blobName(digestOf(bytes)), bytes]))
  return [
    ...[...blobs].map(([name, body]) => ({ name, body })),
    { name: 'index.json', body: indexOf(manifest, undefined, name) },
    { name: 'oci-layout', body: '{"imageLayoutVersion":"1.0.0"}' },
  ]
}

export function ociArchive(image: ImageBytes, name?: string): Buffer {
  return archive(ociMembers(image, name))
}

/** The members of a docker-archive as skopeo writes it: layers are named after their tar, a link follows each. */
export function dockerMembers(config: Buffer, tars: readonly Buffer[], tags: readonly string[] = []): ArchiveMember[] {
  const hex = (bytes: Buffer) => digestOf(bytes).slice('sha256:'.length)
  const layers = tars.map((bytes) => ({ name: `${hex(bytes)}.tar`, body: bytes }))
  const links = layers.map(({ name }, i) => ({ name: `${i}/layer.tar`, fields: { type: '2', linkName: `../${name}` } }))
  const described = [{ Config: `${hex(config)}.json`, RepoTags: tags, Layers: layers.map(({ name }) => name) }]
  return [
    ...layers,
    ...links,
    { name: `${hex(config)}.json`, body: config },
    { name: 'manifest.json', body: JSON.stringify(described) },
  ]
}

export function dockerArchive(tars: readonly Buffer[], tags: readonly string[] = []): Buffer {
  return archive(dockerMembers(configOf(tars), tars, tags))
}
