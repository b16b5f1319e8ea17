/**
 * From the layers in a repository to a tree, and to the images of it.
 *
 * @packageDocumentation
 */
import type { ErofsVersion } from '../erofs/format.ts'
import { makeImage } from '../erofs/writer.ts'
import { ComposefsError } from '../errors.ts'
import { fsverityDigest } from '../fsverity/merkle.ts'
import type { ObjectId } from '../fsverity/object-id.ts'
import type { Repository } from '../repository/repository.ts'
import { bootSteps } from '../selinux/boot.ts'
import { SplitstreamEntriesMachine, type StoredEntry } from '../streams/splitstream-entries.ts'
import { contentTypes } from '../streams/splitstream-format.ts'
import { parseSplitstream } from '../streams/splitstream-reader.ts'
import type { FileSystem } from '../tree/filesystem.ts'
import type { Leaf } from '../tree/inode.ts'
import { LayerMerger, type MergeOptions } from '../tree/merge.ts'
import { type TransformOptions, transformForOci } from '../tree/transform.ts'
import { inTurns, Turns } from '../turns.ts'

/** How an image is made of layers. */
export interface TreeOptions extends MergeOptions, TransformOptions {
  /** Make it bootable: `/boot` and `/sysroot` are emptied, all is labelled by its SELinux policy. Default false. */
  readonly bootable?: boolean
  /** Heeded within 20 milliseconds or so while layers are merged and images made. */
  readonly signal?: AbortSignal
}

/**
 * Merges layers that are in the repository, the lowest first, and applies the rules of OCI images.
 *
 * @param layers the ids of their splitstreams
 * @throws {@link ComposefsError} the codes of reading splitstreams, of `LayerMerger`, of `transformForOci` and of
 * `transformForBoot`; of a layer, the message names it by its number; the reason of the signal
 */
export async function layersToTree(
  repository: Repository,
  layers: readonly ObjectId[],
  options: TreeOptions = {},
): Promise<FileSystem> {
  const merger = new LayerMerger(options)
  const add = ({ entry, content }: StoredEntry): void => merger.add(entry, content)
  const wanted = { algorithm: repository.algorithm, contentType: contentTypes.layer }
  const turns = new Turns(options.signal)
  // Nothing is kept of a splitstream once its entries are there: one piece of memory serves for all.
  let memory: Buffer | undefined
  for (const [i, id] of layers.entries()) {
    await turns.next()
    merger.beginLayer()
    try {
      const file = repository.objects.openFile(id, { memory })
      if (Buffer.isBuffer(file) && (memory === undefined || file.length > memory.length)) memory = file
      const layer = parseSplitstream(file, wanted)
      const machine = new SplitstreamEntriesMachine({ streamSize: layer.streamSize })
      for (const chunk of layer.chunks()) {
        machine.push(chunk, add)
        if (turns.over) await turns.next()
      }
      machine.finish(add)
    } catch (error) {
      throw inLayer(error, i + 1, layers.length)
    }
  }
  const { fileSystem } = merger
  transformForOci(fileSystem, options)
  await turns.next()
  if (options.bootable === true) {
    await inTurns(bootSteps(fileSystem, { readLeaf: (leaf) => contentsOf(repository, leaf) }), options.signal)
  }
  await turns.next()
  return fileSystem
}

/** Layers give every file above the inline limit the id of its object. */
function contentsOf(repository: Repository, { content }: Leaf): Buffer {
  if (content.type === 'external' && content.id !== undefined) return repository.readObject(content.id)
  throw new TypeError('not a file whose contents are an object')
}

/** Stores the image of a tree as an object. Nothing names it yet. @throws as `makeImage` does; the reason of `signal` */
export async function storeImage(
  repository: Repository,
  fileSystem: FileSystem,
  version: ErofsVersion,
  signal?: AbortSignal,
): Promise<ObjectId> {
  return putImage(repository, await makeImage(fileSystem, { version, signal }))
}

/** Stores an image; one that is there is compared with its id, however large it is. */
export function putImage({ algorithm, objects }: Repository, image: Buffer): ObjectId {
  const id = fsverityDigest(algorithm, image)
  // A damaged one is noticed so, and replaced.
  if (objects.has(id)) objects.isIntact(id)
  return objects.put(image, id)
}

function inLayer(error: unknown, number: number, count: number): unknown {
  return error instanceof ComposefsError ? error.within(`layer ${number} of ${count}`) : error
}
