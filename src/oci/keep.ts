/**
 * Keeping tagged images whole when something else is published or goes.
 *
 * @packageDocumentation
 */
import type { Repository } from '../repository/repository.ts'
import { contentTypes } from '../streams/splitstream-format.ts'
import { type Document, findDocument } from './document.ts'
import { configRefPrefix, configStream, layerStream, manifestPrefix } from './names.ts'
import { linkedStream } from './verify-stream.ts'

/** A manifest that has a tag, or is about to get one. */
export interface TaggedManifest {
  readonly contentId: string
  readonly document: Document
}

/** Those that can be read. @param more content ids of others */
export function taggedManifests(repository: Repository, more: readonly string[] = []): TaggedManifest[] {
  const contentIds = new Set([...repository.listRefs('streams').map(({ target }) => target), ...more])
  return [...contentIds].flatMap((contentId) => {
    if (!contentId.startsWith(manifestPrefix)) return []
    const document = findDocument(repository, contentId, contentTypes.manifest, undefined)
    return document === undefined ? [] : { contentId, document }
  })
}

/**
 * Makes sure that garbage collection by cfsctl finds all parts of these images. It follows the references of a manifest
 * only to what some link leads to, and cfsctl re-points the link of a config when it pulls another image that has the same
 * one: the image that came first is then gone as soon as the second loses its tag.
 *
 * @throws {@link ComposefsError} `ERR_REPOSITORY_READONLY`, `ERR_NO_SPACE`, `ERR_IO`
 */
export function keepTagged(
  repository: Repository,
  manifests: readonly TaggedManifest[] = taggedManifests(repository),
): void {
  let linked: Set<string> | undefined
  for (const [name, id] of manifests.flatMap(({ document }) => [...document.namedRefs])) {
    const usual = name.startsWith(configRefPrefix)
      ? configStream(name.slice(configRefPrefix.length))
      : layerStream(name)
    if (linkedStream(repository, usual)?.equals(id) === true || !repository.hasObject(id)) continue
    linked ??= new Set(repository.listStreams().flatMap((name) => linkedStream(repository, name)?.hex ?? []))
    if (!linked.has(id.hex)) repository.keepStream(id)
  }
}
