/**
 * Forgetting everything but the objects.
 *
 * @packageDocumentation
 */
import { rmSync } from 'node:fs'
import { metadataName } from './metadata.ts'

/** Removes streams, images and metadata of a repository; a new `init` and imports find the objects again. */
export function resetMetadata(root: string): void {
  for (const name of ['streams', 'images', metadataName]) rmSync(`${root}/${name}`, { recursive: true, force: true })
}
