/**
 * Keeping tagged images whole when something else is published or goes.
 *
 * @packageDocumentation
 */
import type { Repository } from '../repository/repository.ts'
import { contentTypes } from '../streams/splitstream-format.ts'
import { findDocument } from './document.ts'
import { configRefPrefix, configStream, layerStream, manifestPrefix } from './names.ts'
import { linkedStream } from './verify-stream.ts'

/**
 * Makes sure that garbage collection by cfsctl finds all parts of every tagged image. It follows the references of a
 * manifest only to what some link leads to, and cfsctl re-points the link of a config when it pulls another image that has
 * the same one: the image that came first is then gone as soon as the second loses its tag.
 *
 * @param more content ids of manifests that are about to be tagged
 * @throws {@link ComposefsError} `ERR_REPOSITORY_READONLY`, `ERR_NO_SPACE`, `ERR_IO`
 */
export function keepTagged(repository: Repository, more: readonly string[] = []): void {
  const manifests = new Set([...repository.listRefs('streams').map(({ target }) => target), ...more])
  let linked: Set<string> | undefined
  for (const contentId of manifests) {
    if (!contentId.startsWith(manifestPrefix)) continue
    const manifest = findDocument(repository, contentId, contentTypes.manifest, undefined)
    for (const [name, id] of manifest?.namedRefs ?? []) {
      const usual = name.startsWith(configRefPrefix)
        ? configStream(name.slice(configRefPrefix.length))
        : layerStream(name)
      if (linkedStream(repository, usual)?.equals(id) === true || !repository.hasObject(id)) continue
      linked ??= new Set(repository.listStreams().flatMap((name) => linkedStream(repository, name)?.hex ?? []))
      if (!linked.has(id.hex)) repository.keepStream(id)
    }
  }
}
