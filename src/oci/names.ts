/**
 * How the parts of an OCI image are called in a repository (spec: rs-0.9, section 1.2).
 *
 * @packageDocumentation
 */
import { createHash } from 'node:crypto'
import type { ErofsVersion } from '../erofs/format.ts'
import { ComposefsError } from '../errors.ts'
import { encodeTag } from '../repository/names.ts'
import type { XattrFilter } from '../tree/transform.ts'

/** Content id of a layer's stream. */
export const layerStream = (diffId: string): string => `oci-layer-${diffId}`
/** Content id of a config's stream. */
export const configStream = (digest: string): string => `oci-config-${digest}`
/** Content id of a manifest's stream. */
export const manifestStream = (digest: string): string => `oci-manifest-${digest}`

/** The digest that the name of a stream promises. */
export const digestOfName = (contentId: string): string | undefined =>
  /^oci-[a-z]+-(sha256:[0-9a-f]{64})$/.exec(contentId)?.[1]

/** What comes before the digest in the content id of a manifest. */
export const manifestPrefix = 'oci-manifest-'

/** The ref of a tag, below `streams/refs`. @throws {@link ComposefsError} `ERR_OCI_NAME` */
export const tagRef = (tag: string): string => `oci/${encodeTag(tag)}`

/** The ref, below `streams/refs`, of what declares a manifest as its subject. */
export const referrerRef = (subject: string, digest: string): string => `${referrersOf(subject)}/${digest}`

/** Where the refs of everything lie that declares a manifest as its subject. */
export const referrersOf = (subject: string): string => `oci-referrers/${subject}`

/** Begins the names of all image refs of a config stream; the other names are those of layers. */
export const imageRefPrefix = 'composefs.image'

/** The name under which a config stream refers to the image of a format. V0 and V1 are one epoch. */
export const imageRef = (version: ErofsVersion): string => (version === 2 ? imageRefPrefix : `${imageRefPrefix}.v1`)

/** The same for a boot image; that of the default filter of extended attributes has the plain name. */
export function bootRef(version: ErofsVersion, xattrs: XattrFilter): string {
  const name = imageRef(version).replace(imageRefPrefix, `${imageRefPrefix}.boot`)
  return xattrs === 'allowlist-only' ? name : `${name}.xattrs=${xattrs}`
}

/** Begins the name under which a manifest stream refers to its config; the other names are those of layers. */
export const configRefPrefix = 'config:'

/** The name under which a manifest stream refers to its config. */
export const configRef = (digest: string): string => configRefPrefix + digest

/** `sha256:HEX` of some bytes. */
export function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}

/** @throws {@link ComposefsError} `ERR_DIGEST_SYNTAX` unless it is `sha256:` and 64 lower-case hex digits */
export function checkDigest(digest: string): string {
  if (/^sha256:[0-9a-f]{64}$/.test(digest)) return digest
  throw new ComposefsError('ERR_DIGEST_SYNTAX', `not a digest: ${JSON.stringify(digest.slice(0, 100))}`, {
    hint: 'a digest is sha256: and 64 lower-case hex digits',
  })
}
