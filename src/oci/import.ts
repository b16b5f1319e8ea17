/**
 * An image archive from a pipe into a repository, in one pass and without temporary files.
 *
 * @packageDocumentation
 */
import { pipeline, type Readable } from 'node:stream'
import { ComposefsError } from '../errors.ts'
import type { Repository } from '../repository/repository.ts'
import { ArchiveReader, type ArchiveReaderOptions, type ArchiveRecord } from '../streams/archive-reader.ts'
import { Decompressor } from '../streams/decompressor.ts'
import { limitsOfImage, OutputBudget } from '../streams/output-budget.ts'
import { Progress, type ProgressEvent } from '../streams/progress.ts'
import { Archive, type ArchiveOptions, type OfferedImage } from './archive.ts'
import { type ArchiveLayerEvent, MemberTaker } from './archive-members.ts'
import { imageCalled } from './image-index.ts'
import type { LayerOptions } from './layer.ts'
import type { Platform } from './manifest.ts'
import { tagRef } from './names.ts'
import { hostPlatform } from './platform.ts'
import {
  type ImageParts,
  type PreparedImage,
  type PublishedImage,
  type PublishOptions,
  prepareImage,
} from './publish.ts'
import { openedLate, type RepositoryOpener } from './repository-opener.ts'

/** What an import tells while it goes on. Library code prints nothing. */
export type ImportEvent =
  | ({ readonly type: 'progress' } & ProgressEvent)
  | ArchiveLayerEvent
  | { readonly type: 'image'; readonly image: PublishedImage }

/** Options of {@link importArchive}. */
export interface ImportOptions
  extends PublishOptions,
    ArchiveReaderOptions,
    ArchiveOptions,
    Pick<LayerOptions, 'decompressor' | 'tar'> {
  /** Tag for the image; of several in the archive it chooses the one. Default: the names in the archive. */
  readonly name?: string
  /**
   * The one to take, by its name in the archive, or `@` and its number there from 0 on. Default: the only one, or of
   * several the one called `name`.
   */
  readonly select?: string
  /** Refuse an archive of several images where neither `select` nor `name` chooses one. Default false: all are taken. */
  readonly single?: boolean
  /** Which image of a multi-platform archive. Default: that of this machine. */
  readonly platform?: Platform
  /** Most bytes that all layers together may hold; `decompressor.maxOutput` is for each. Default: no limit. */
  readonly maxOutput?: number
  readonly onEvent?: (event: ImportEvent) => void
}

/**
 * Imports what `docker save`, `podman save` and skopeo write, from any stream and in any order of members: contents are
 * stored as they come, and published once the manifest has confirmed all of them.
 *
 * @param repository may be made only when an image begins to come: see {@link RepositoryOpener}
 * @returns the images, in the order of the archive
 * @throws {@link ComposefsError} `ERR_ARCHIVE_*`, `ERR_OCI_*`, `ERR_DIGEST_MISMATCH`, `ERR_SIZE_MISMATCH` and the codes
 * of every stage; nothing is published then, and what was stored is found again by the next try
 * @example
 * ```ts
 * import { importArchive } from 'composefs-streams/oci'
 * import { Repository } from 'composefs-streams/repository'
 *
 * const repository = await Repository.init('./repo', { insecure: 'auto' })
 * const [image] = await importArchive(repository, process.stdin, { name: 'fedora' })
 * console.log(image?.imageId.hex)
 * ```
 */
export async function importArchive(
  repository: Repository | RepositoryOpener,
  source: Readable,
  options: ImportOptions = {},
): Promise<PublishedImage[]> {
  const open = openedLate(repository)
  if (options.name !== undefined) tagRef(options.name)
  const { onEvent = () => {}, signal, decompressor, tar } = options
  const progress = new Progress({ onProgress: (event) => onEvent({ type: 'progress', ...event }) })
  const limits = limitsOfImage(options.maxOutput, decompressor)
  // Of the archive nothing is stored but the layers, which count for themselves.
  const decompress = new Decompressor({ ...decompressor, ...limits, maxOutput: undefined })
  const reader = pipeline(
    [source, progress, decompress, new ArchiveReader(options)],
    () => {},
  ) as unknown as ArchiveReader
  const archive = new Archive(options)
  const budget = new OutputBudget(limits, 'the image')
  const taker = new MemberTaker(archive, open, { decompressor, tar, budget, onEvent })
  try {
    for await (const record of signal === undefined ? reader : abortable(reader, signal)) {
      const waiting = taker.take(record as ArchiveRecord)
      if (waiting !== undefined) await waiting
    }
  } catch (error) {
    await taker.abort(error as Error)
    throw error
  }
  const chosen = archive.images(options.platform ?? hostPlatform(), (offered) => choose(offered, options))
  return publish(await open(), chosen, options)
}

async function publish(
  repository: Repository,
  chosen: readonly ImageParts[],
  options: ImportOptions,
): Promise<PublishedImage[]> {
  // All or none: what one of them fails with leaves nothing of the others.
  const prepared: PreparedImage[] = []
  for (const parts of chosen) prepared.push(await prepareImage(repository, parts, options))
  await repository.transaction((transaction) => {
    for (const { link } of prepared) link(transaction)
  }, options)
  const images = prepared.map(({ image }) => image)
  for (const image of images) options.onEvent?.({ type: 'image', image })
  return images
}

function abortable(reader: ArchiveReader, signal: AbortSignal): ArchiveReader {
  const stop = (): void => {
    reader.destroy(signal.reason instanceof Error ? signal.reason : new Error('aborted', { cause: signal.reason }))
  }
  if (signal.aborted) stop()
  else signal.addEventListener('abort', stop, { once: true })
  reader.once('close', () => signal.removeEventListener('abort', stop))
  return reader
}

/** One image takes the name; of several it must be the name of one, unless one is selected. */
function choose(images: readonly OfferedImage[], options: ImportOptions): readonly OfferedImage[] {
  const { name, select, single = false } = options
  const wanted = select ?? name
  const known = images.flatMap(({ tags }) => tags)
  const hint = known.length > 0 ? `they are: ${known.join(', ')}` : 'they have no names: @0 is the first of them'
  if (wanted === undefined) {
    if (!single || images.length === 1) return images
    throw new ComposefsError('ERR_OCI_REFERENCE', `the archive holds ${images.length} images`, { hint })
  }
  const renamed = (image: OfferedImage): OfferedImage => {
    const tags = [name ?? image.tags.find((tag) => tag === wanted) ?? image.tags].flat()
    return { ...image, tags, read: () => ({ ...image.read(), tags }) }
  }
  if (select === undefined && images.length === 1) return [renamed(images[0]!)]
  const image = imageCalled(images, wanted)
  if (image !== undefined) return [renamed(image)]
  const what = `the archive holds ${images.length} ${images.length === 1 ? 'image, which is not' : 'images, none'} called`
  throw new ComposefsError('ERR_OCI_NOT_FOUND', `${what} ${wanted}`, { hint })
}
