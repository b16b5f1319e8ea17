/**
 * An image archive from a pipe into a repository, in one pass and without temporary files.
 *
 * @packageDocumentation
 */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { pipeline, type Readable } from 'node:stream'
import { ComposefsError } from '../errors.ts'
import type { Repository } from '../repository/repository.ts'
import { ArchiveReader, type ArchiveReaderOptions, type ArchiveRecord } from '../streams/archive-reader.ts'
import { Decompressor } from '../streams/decompressor.ts'
import { Progress, type ProgressEvent } from '../streams/progress.ts'
import type { ObjectSink } from '../streams/records.ts'
import { Archive } from './archive.ts'
import { type LayerOptions, type LayerReceiver, receiveLayer, type StoredLayer } from './layer.ts'
import { hostPlatform, type Platform } from './manifest.ts'
import { tagRef } from './names.ts'
import {
  type ImageParts,
  type PreparedImage,
  type PublishedImage,
  type PublishOptions,
  prepareImage,
} from './publish.ts'
import { parseReference, referenceText } from './registry/reference.ts'

/** What an import tells while it goes on. Library code prints nothing. */
export type ImportEvent =
  | ({ readonly type: 'progress' } & ProgressEvent)
  | { readonly type: 'layer-start'; readonly name: string; readonly size: number }
  | {
      readonly type: 'layer'
      readonly name: string
      readonly layer: StoredLayer
      readonly newObjects: number
      readonly newBytes: number
      readonly presentObjects: number
    }
  | { readonly type: 'image'; readonly image: PublishedImage }

/** Options of {@link importArchive}. */
export interface ImportOptions
  extends PublishOptions,
    ArchiveReaderOptions,
    Pick<LayerOptions, 'decompressor' | 'tar'> {
  /** Tag for the image; of several in the archive it chooses the one. Default: the names in the archive. */
  readonly name?: string
  /**
   * The one to take, by its name in the archive, or `@` and its number there from 0 on. Default: the only one, or of
   * several the one called `name`.
   */
  readonly select?: string
  /** Which image of a multi-platform archive. Default: that of this machine. */
  readonly platform?: Platform
  readonly onEvent?: (event: ImportEvent) => void
}

/**
 * Imports what `docker save`, `podman save` and skopeo write, from any stream and in any order of members: contents are
 * stored as they come, and published once the manifest has confirmed all of them.
 *
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
  repository: Repository,
  source: Readable,
  options: ImportOptions = {},
): Promise<PublishedImage[]> {
  repository.assertWritable()
  if (options.name !== undefined) tagRef(options.name)
  const { onEvent = () => {}, signal } = options
  const progress = new Progress({ onProgress: (event) => onEvent({ type: 'progress', ...event }) })
  const reader = pipeline(
    [source, progress, new Decompressor(options.decompressor), new ArchiveReader(options)],
    () => {},
  ) as unknown as ArchiveReader
  const taker = new MemberTaker(repository, options, onEvent)
  try {
    for await (const record of signal === undefined ? reader : abortable(reader, signal)) {
      const waiting = taker.take(record as ArchiveRecord)
      if (waiting !== undefined) await waiting
    }
  } catch (error) {
    await taker.abort(error as Error)
    throw error
  }
  const chosen = choose(taker.archive.images(options.platform ?? hostPlatform()), options)
  // All or none: what one of them fails with leaves nothing of the others.
  const prepared: PreparedImage[] = []
  for (const parts of chosen) prepared.push(await prepareImage(repository, parts, options))
  await repository.transaction((transaction) => {
    for (const { link } of prepared) link(transaction)
  })
  const images = prepared.map(({ image }) => image)
  for (const image of images) onEvent({ type: 'image', image })
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
function choose(images: readonly ImageParts[], { name, select }: ImportOptions): ImageParts[] {
  const wanted = select ?? name
  if (wanted === undefined) return [...images]
  const renamed = (image: ImageParts): ImageParts => (name === undefined ? image : { ...image, tags: [name] })
  if (select === undefined && images.length === 1) return [renamed(images[0]!)]
  const number = /^@([0-9]+)$/.exec(wanted)?.[1]
  const image = number === undefined ? imageCalled(images, wanted) : images[Number(number)]
  if (image !== undefined) return [renamed(image)]
  const known = images.flatMap(({ tags }) => tags)
  const hint = known.length > 0 ? `they are: ${known.join(', ')}` : 'they have no names: @0 is the first of them'
  const what = `the archive holds ${images.length} ${images.length === 1 ? 'image, which is not' : 'images, none'} called`
  throw new ComposefsError('ERR_OCI_NOT_FOUND', `${what} ${wanted}`, { hint })
}

/** Tools leave the host or the `library/` out, or not, and layouts have tags alone. */
function imageCalled(images: readonly ImageParts[], name: string): ImageParts | undefined {
  const full = fullName(name)
  for (const image of images) {
    const tag = image.tags.find((tag) => tag === name || fullName(tag) === full || tag.endsWith(`:${name}`))
    if (tag !== undefined) return { ...image, tags: [tag] }
  }
  return undefined
}

/** With Docker's defaults, where it is a reference at all. */
function fullName(name: string): string {
  try {
    return referenceText(parseReference(name))
  } catch {
    return name
  }
}

/** Puts each member where it belongs while it passes. */
class MemberTaker {
  readonly archive = new Archive()
  readonly #repository: Repository
  readonly #options: ImportOptions
  readonly #onEvent: (event: ImportEvent) => void
  #receiver: Receiver | undefined

  constructor(repository: Repository, options: ImportOptions, onEvent: (event: ImportEvent) => void) {
    this.#repository = repository
    this.#options = options
    this.#onEvent = onEvent
  }

  take(record: ArchiveRecord): void | Promise<void> {
    switch (record.kind) {
      case 'member':
        this.#receiver = this.#begin(record)
        return
      case 'link':
        this.archive.link(record.name, record.target)
        return
      case 'data':
        return this.#receiver!.write(record.chunk)
      case 'end':
        return this.#receiver!.end().then(() => {
          this.#receiver = undefined
        })
    }
  }

  async abort(error: Error): Promise<void> {
    await this.#receiver?.abort(error)
  }

  #begin(member: ArchiveRecord & { kind: 'member' }): Receiver {
    const { name, size, content } = member
    const hex = /^blobs\/sha256\/([0-9a-f]{64})$/.exec(name)?.[1]
    const digest = hex === undefined ? undefined : `sha256:${hex}`
    if (content === 'json')
      return new JsonReceiver(digest, name, (bytes) => this.archive.add(name, { kind: 'json', bytes }))
    if (content === 'blob') {
      // A member without a digest is a note of some tool ("VERSION"): nothing will ever name it.
      const sink = digest === undefined ? undefined : this.#repository.objects.create(size)
      return new BlobReceiver(digest, name, sink, (measured) =>
        this.archive.add(name, { kind: 'blob', size, digest: measured }),
      )
    }
    return this.#beginLayer(member, digest)
  }

  #beginLayer(member: ArchiveRecord & { kind: 'member' }, digest: string | undefined): Receiver {
    const { name, size } = member
    const repository = this.#repository
    const { decompressor, tar } = this.#options
    const compression = member.compression === 'none' ? member.compression : undefined
    this.#onEvent({ type: 'layer-start', name, size })
    const before = { ...repository.stats }
    return new LayerTaker(receiveLayer(repository, { digest, name, compression, decompressor, tar }), (layer) => {
      this.archive.add(name, { kind: 'layer', layer })
      const { newObjects, newBytes, presentObjects } = repository.stats
      this.#onEvent({
        type: 'layer',
        name,
        layer,
        newObjects: newObjects - before.newObjects,
        newBytes: newBytes - before.newBytes,
        presentObjects: presentObjects - before.presentObjects,
      })
    })
  }
}

interface Receiver {
  write(chunk: Buffer): void | Promise<void>
  end(): Promise<void>
  abort(error: Error): Promise<void>
}

class LayerTaker implements Receiver {
  readonly #layer: LayerReceiver
  readonly #done: (layer: StoredLayer) => void

  constructor(layer: LayerReceiver, done: (layer: StoredLayer) => void) {
    this.#layer = layer
    this.#done = done
  }

  write(chunk: Buffer): void | Promise<void> {
    const { input, result } = this.#layer
    if (input.write(chunk)) return
    // A failure further down destroys the input: there will be no drain then.
    return Promise.race([once(input, 'drain'), result]).then(() => {})
  }

  async end(): Promise<void> {
    this.#layer.input.end()
    this.#done(await this.#layer.result)
  }

  async abort(error: Error): Promise<void> {
    this.#layer.input.destroy(error)
    await this.#layer.result.catch(() => {})
  }
}

class JsonReceiver implements Receiver {
  readonly #digest: string | undefined
  readonly #name: string
  readonly #done: (bytes: Buffer) => void
  readonly #chunks: Buffer[] = []

  constructor(digest: string | undefined, name: string, done: (bytes: Buffer) => void) {
    this.#digest = digest
    this.#name = name
    this.#done = done
  }

  write(chunk: Buffer): void {
    this.#chunks.push(Buffer.from(chunk))
  }

  async end(): Promise<void> {
    const bytes = Buffer.concat(this.#chunks)
    checkBlob(this.#name, this.#digest, createHash('sha256').update(bytes).digest('hex'))
    this.#done(bytes)
  }

  async abort(): Promise<void> {}
}

class BlobReceiver implements Receiver {
  readonly #digest: string | undefined
  readonly #name: string
  readonly #sink: ObjectSink | undefined
  readonly #done: (digest: string) => void
  readonly #hash = createHash('sha256')

  constructor(digest: string | undefined, name: string, sink: ObjectSink | undefined, done: (digest: string) => void) {
    this.#digest = digest
    this.#name = name
    this.#sink = sink
    this.#done = done
  }

  write(chunk: Buffer): void | Promise<void> {
    this.#hash.update(chunk)
    return this.#sink?.write(chunk)
  }

  async end(): Promise<void> {
    const hex = this.#hash.digest('hex')
    checkBlob(this.#name, this.#digest, hex)
    await this.#sink?.finish()
    this.#done(`sha256:${hex}`)
  }

  async abort(): Promise<void> {
    await this.#sink?.abort()
  }
}

function checkBlob(path: string, expected: string | undefined, hex: string): void {
  if (expected === undefined || expected === `sha256:${hex}`) return
  throw new ComposefsError('ERR_DIGEST_MISMATCH', 'a blob of the archive does not have the digest in its name', {
    path,
    expected,
    actual: `sha256:${hex}`,
  })
}
