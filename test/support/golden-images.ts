import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type ArchiveMember, archive, blobName, digestOf, indexOf } from './image-archive.ts'
import { shared } from './shared.ts'

/** Image ids by hash and format: `sha256-V1`. */
export type Ids = Record<string, string>

/** An image as the reference implementation took it (shared/vectors/README.md). Dumpfiles are latin1, JSON is UTF-8. */
export interface GoldenImage {
  readonly layers: readonly string[]
  readonly config: string
  readonly manifest: string
  readonly manifest_digest: string
  /** Blobs that are not a layer's tar as it is. */
  readonly blobs_base64?: Readonly<Record<string, string>>
  readonly blob_absent?: boolean
  readonly ids?: Ids
  readonly dumpfile?: string
  readonly pull_error?: string
  readonly pull?: { readonly outcome: 'accept' | 'reject'; readonly error?: string }
  readonly reference?: 'bug'
  readonly bootable_sha256_V1?: string
  readonly bootable_ids?: Ids
  readonly bootable_dumpfile?: string
  readonly keep_user_xattrs_sha256_V1?: string
  readonly keep_user_xattrs_ids?: Ids
  readonly keep_user_xattrs_dumpfile?: string
  readonly images_json?: { readonly images: readonly object[] }
  readonly streams?: Readonly<Record<string, GoldenStream>>
}

/** A stream taken apart: `named_refs` are `INDEX:NAME`. */
export interface GoldenStream {
  readonly content_type: string
  readonly stream_size: number
  readonly object_refs: readonly string[]
  readonly stream_refs?: readonly string[]
  readonly named_refs?: readonly string[]
  readonly refs_in_any_order?: Readonly<Record<string, string>>
  readonly chunks: readonly number[]
}

const fixtures = fileURLToPath(new URL('../fixtures/layers/', import.meta.url))

/** What is committed here, so that a clone needs nothing else. */
export const committed: Record<string, GoldenImage> = JSON.parse(readFileSync(`${fixtures}images.json`, 'utf8'))

/** What lies beside a developer's clone. */
export const golden: Record<string, GoldenImage> = shared.available
  ? { ...shared.json('vectors/oci-images.json'), ...shared.json('vectors/oci-images-more.json') }
  : {}

/** A layer's tar by its name. */
export function layerTar(name: string): Buffer {
  if (existsSync(`${fixtures}${name}.tar`)) return readFileSync(`${fixtures}${name}.tar`)
  const folder = existsSync(shared.path(`vectors/layers/${name}.tar`)) ? 'layers' : 'layers-more'
  return shared.bytes(`vectors/${folder}/${name}.tar`)
}

/** The layout that the reference read, as members of an oci-archive. */
export function goldenMembers(image: GoldenImage): ArchiveMember[] {
  const config = Buffer.from(image.config)
  const manifest = Buffer.from(image.manifest)
  const blobs = new Map<string, Buffer>([[digestOf(config), config]])
  for (const name of image.layers) blobs.set(digestOf(layerTar(name)), layerTar(name))
  blobs.set(image.manifest_digest, manifest)
  for (const [digest, text] of Object.entries(image.blobs_base64 ?? {})) {
    if (image.blob_absent !== true) blobs.set(digest, Buffer.from(text, 'base64'))
  }
  // Not the tars that only exist compressed in the layout.
  const named = new Set([image.manifest_digest, ...(image.manifest.match(/sha256:[0-9a-f]{64}/g) ?? [])])
  const index = indexOf(manifest, image.manifest_digest)
  return [
    { name: 'oci-layout', body: '{"imageLayoutVersion":"1.0.0"}' },
    { name: 'index.json', body: index },
    ...[...blobs].filter(([digest]) => named.has(digest)).map(([digest, body]) => ({ name: blobName(digest), body })),
  ]
}

export function goldenArchive(image: GoldenImage): Buffer {
  return archive(goldenMembers(image))
}
