import type { ObjectId } from '../../src/fsverity/index.ts'
import { openImage } from '../../src/oci/index.ts'
import { imageRefPrefix, tagRef } from '../../src/oci/names.ts'
import type { Repository } from '../../src/repository/index.ts'
import { parseSplitstream } from '../../src/streams/index.ts'
import { liveObjects } from './cfsctl-model.ts'
import { type ImageBytes, imageOf } from './image-archive.ts'
import { entry, tar } from './tar.ts'

const directories = ['usr/', 'boot/', 'sysroot/'].map((name) => entry({ name, type: '5', mode: 0o755 }))
const [a, b, c] = ['a', 'b', 'c'].map((name) => tar(...directories, entry({ name: `usr/${name}` }, name.repeat(300))))

/** The same config under another manifest: what a registry and an archive make of one image. */
export function sibling({ manifest, ...image }: ImageBytes): ImageBytes {
  return { ...image, manifest: Buffer.from(JSON.stringify({ ...JSON.parse(manifest.toString()), annotations: {} })) }
}

const [one, other] = [imageOf([a!, b!]), imageOf([b!, c!])]

/** Two pairs of images with one config each; all have a layer in common. */
export const kindredImages: readonly ImageBytes[] = [one, sibling(one), other, sibling(other)]

/** All objects of a tagged image, however deep; undefined where there is no such tag, or something is missing. */
export function objectsOf(repository: Repository, tag: string): Set<string> | undefined {
  const found = new Set<string>()
  const gather = (id: ObjectId): void => {
    found.add(id.hex)
    const { objectRefs, namedRefs } = parseSplitstream(repository.readObject(id), { algorithm: repository.algorithm })
    for (const object of objectRefs) found.add(object.hex)
    for (const [name, reference] of namedRefs) {
      if (name.startsWith(imageRefPrefix)) found.add(reference.hex)
      else gather(reference)
    }
  }
  try {
    openImage(repository, tag)
    gather(repository.resolveStream(`refs/${tagRef(tag)}`).id)
    return found
  } catch {
    return undefined
  }
}

/** What a garbage collection by cfsctl takes of a tagged image, once all others have lost their tags. */
export function lostWithoutOthers(repository: Repository, tag: string): string[] {
  const objects = objectsOf(repository, tag)
  if (objects === undefined) return []
  const live = liveObjects(repository, [repository.resolveStream(`refs/${tagRef(tag)}`).contentId])
  return [...objects].filter((hex) => !live.has(hex))
}
