/**
 * The tag that lists referrers where a registry does not (distribution specification, "Referrers Tag Schema").
 *
 * @packageDocumentation
 */
import { type JsonObject, JsonReader } from '../json.ts'
import { mediaTypes } from '../manifest.ts'
import type { SourceManifest } from '../source.ts'

/** The digest of the manifest that this one refers to. */
export function subjectOf({ bytes }: SourceManifest): string | undefined {
  const json = new JsonReader('manifest')
  const { subject } = json.object(json.parse(bytes))
  return subject == null ? undefined : json.digest(json.object(subject, 'subject')['digest'], 'subject.digest')
}

/** The tag for a digest. */
export const referrersTag = (digest: string): string => digest.replace(':', '-')

/**
 * The list with one more manifest; undefined where it is there already.
 *
 * @param before the list as it is; undefined where there is none
 * @throws {@link ComposefsError} `ERR_OCI_JSON`
 */
export function addReferrer(before: Uint8Array | undefined, manifest: SourceManifest): Buffer | undefined {
  const json = new JsonReader('list of referrers')
  const index = before === undefined ? {} : json.object(json.parse(before))
  const others = json
    .array(index['manifests'] ?? [], 'manifests')
    .map((item, i) => json.object(item, `manifests[${i}]`))
  if (others.some(({ digest }) => digest === manifest.digest)) return undefined
  const manifests = [...others, descriptorOf(manifest)]
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.index, ...index, manifests }))
}

function descriptorOf({ bytes, mediaType, digest }: SourceManifest): JsonObject {
  const json = new JsonReader('manifest')
  const { artifactType, config, annotations } = json.object(json.parse(bytes))
  const type = artifactType ?? (config == null ? undefined : json.object(config, 'config')['mediaType'])
  return {
    mediaType,
    digest,
    size: bytes.length,
    ...(type !== undefined && { artifactType: type }),
    ...(annotations != null && { annotations }),
  }
}
