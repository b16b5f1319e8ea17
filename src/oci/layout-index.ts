/**
 * The `index.json` of an OCI layout, as it is written.
 *
 * @packageDocumentation
 */
import { JsonReader } from './json.ts'
import type { Platform } from './manifest.ts'
import type { SourceManifest } from './source.ts'

/** The annotation that holds the tag of an image in a layout. */
export const refName = 'org.opencontainers.image.ref.name'

/** The file `oci-layout`. */
export const layoutFile = '{"imageLayoutVersion":"1.0.0"}'

/**
 * An index with one more image. What had its tag loses it, and what had neither a tag nor another digest goes.
 *
 * @param before the index as it is; undefined where there is none
 * @throws {@link ComposefsError} `ERR_OCI_JSON`
 */
export function addToIndex(
  before: Uint8Array | undefined,
  { bytes, mediaType, digest }: SourceManifest,
  tag: string | undefined,
  platform: Platform | undefined,
): Buffer {
  const json = new JsonReader('index.json')
  const index = before === undefined ? {} : json.object(json.parse(before))
  const others = json.array(index['manifests'] ?? [], 'manifests').filter((item, i) => {
    const other = json.object(item, `manifests[${i}]`)
    const name = json.object(other['annotations'] ?? {}, `manifests[${i}].annotations`)[refName]
    return name !== tag || (tag === undefined && other['digest'] !== digest)
  })
  const descriptor = {
    mediaType,
    digest,
    size: bytes.length,
    ...(tag !== undefined && { annotations: { [refName]: tag } }),
    ...(platform !== undefined && { platform }),
  }
  return Buffer.from(JSON.stringify({ schemaVersion: 2, ...index, manifests: [...others, descriptor] }))
}
