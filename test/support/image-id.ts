import type { PublishedArtifact, PublishedImage } from '../../src/oci/index.ts'

/** Id of the image that was pulled, in hex; an artifact has none, and is an error. */
export function imageIdOf(pulled: PublishedImage | PublishedArtifact): string {
  if (pulled.kind === 'image') return pulled.imageId.hex
  throw new Error(`an artifact: ${pulled.manifestDigest}`)
}
