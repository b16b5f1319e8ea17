/**
 * The members of an image archive, each put where it belongs while it passes.
 *
 * @packageDocumentation
 */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { ComposefsError } from '../errors.ts'
import type { Repository } from '../repository/repository.ts'
import type { ArchiveRecord } from '../streams/archive-reader.ts'
import type { OutputBudget } from '../streams/output-budget.ts'
import type { Archive } from './archive.ts'
import { type LayerOptions, type LayerReceiver, receiveLayer, type StoredLayer } from './layer.ts'

/** What happens to a member that looks like a layer. */
export type ArchiveLayerEvent =
  | { readonly type: 'layer-start'; readonly name: string; readonly size: number }
  | {
      readonly type: 'layer'
      readonly name: string
      readonly layer: StoredLayer
      readonly newObjects: number
      readonly newBytes: number
      readonly presentObjects: number
    }

/** What {@link MemberTaker} needs to know. */
export interface MemberOptions extends Pick<LayerOptions, 'decompressor' | 'tar'> {
  /** What all layers together may expand to. */
  readonly budget: OutputBudget
  readonly onEvent: (event: ArchiveLayerEvent) => void
}

type MemberRecord = ArchiveRecord & { readonly kind: 'member' }

/** What makes a member no layer; everything else, such as a full disk, ends the import. */
const unfit = /^ERR_(?:TAR|PAX|COMPRESSION|LIMIT)/

/** Stores layers in a repository, and keeps in an {@link Archive} what is needed to make images of them. */
export class MemberTaker {
  readonly #archive: Archive
  readonly #open: () => Promise<Repository>
  readonly #options: MemberOptions
  #repository: Repository | undefined
  #receiver: Receiver | undefined
  /** One is enough: an archive may have very many members that are empty. */
  #empty: StoredLayer | undefined

  /** @param open called when there is something to store for the first time */
  constructor(archive: Archive, open: () => Promise<Repository>, options: MemberOptions) {
    this.#archive = archive
    this.#open = open
    this.#options = options
  }

  take(record: ArchiveRecord): void | Promise<void> {
    switch (record.kind) {
      case 'member':
        if (record.content === 'layer' && this.#repository === undefined) {
          return this.#open().then((repository) => {
            this.#repository = repository
            this.#receiver = this.#begin(record)
          })
        }
        this.#receiver = this.#begin(record)
        return
      case 'link':
        this.#archive.link(record.name, record.target)
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

  #begin(member: MemberRecord): Receiver {
    const { name, size, content } = member
    const hex = /^blobs\/sha256\/([0-9a-f]{64})$/.exec(name)?.[1]
    const digest = hex === undefined ? undefined : `sha256:${hex}`
    if (content === 'layer') return this.#beginLayer(member, digest)
    const json = content === 'json' && this.#archive.hasRoom(size)
    return new BlobReceiver(digest, name, json, (bytes) =>
      this.#archive.add(
        name,
        bytes === undefined ? { kind: 'blob', overLimit: content === 'json' } : { kind: 'json', bytes },
      ),
    )
  }

  #beginLayer(member: MemberRecord, digest: string | undefined): Receiver {
    const { name, size } = member
    const repository = this.#repository!
    const { decompressor, tar, budget, onEvent } = this.#options
    if (size === 0 && this.#empty !== undefined) {
      return new BlobReceiver(digest, name, false, () =>
        this.#archive.add(name, { kind: 'layer', layer: this.#empty! }),
      )
    }
    const compression = member.compression === 'none' ? member.compression : undefined
    if (compression === 'none') budget.add(size, size)
    onEvent({ type: 'layer-start', name, size })
    const before = { ...repository.stats }
    const done = (layer: StoredLayer): void => {
      if (size === 0) this.#empty = layer
      this.#archive.add(name, { kind: 'layer', layer })
      const { newObjects, newBytes, presentObjects } = repository.stats
      onEvent({
        type: 'layer',
        name,
        layer,
        newObjects: newObjects - before.newObjects,
        newBytes: newBytes - before.newBytes,
        presentObjects: presentObjects - before.presentObjects,
      })
    }
    const options = { digest, name, compression, decompressor: { ...decompressor, budget }, tar }
    return new LayerTaker(receiveLayer(repository, options), done, (error) =>
      this.#archive.add(name, { kind: 'no-layer', error }),
    )
  }
}

interface Receiver {
  write(chunk: Buffer): void | Promise<void>
  end(): Promise<void>
  abort(error: Error): Promise<void>
}

/** Whether a member is a layer shows only when it is read: it may be any blob, of an artifact beside the image say. */
class LayerTaker implements Receiver {
  readonly #layer: LayerReceiver
  readonly #done: (layer: StoredLayer) => void
  readonly #noLayer: (error: ComposefsError) => void
  #failure: ComposefsError | undefined

  constructor(layer: LayerReceiver, done: (layer: StoredLayer) => void, noLayer: (error: ComposefsError) => void) {
    this.#layer = layer
    this.#done = done
    this.#noLayer = noLayer
  }

  write(chunk: Buffer): void | Promise<void> {
    const { input, result } = this.#layer
    if (this.#failure !== undefined || input.write(chunk)) return
    // A failure further down destroys the input: there will be no drain then.
    return Promise.race([once(input, 'drain'), result]).then(
      () => {},
      (error: unknown) => this.#fail(error),
    )
  }

  async end(): Promise<void> {
    if (this.#failure === undefined) {
      this.#layer.input.end()
      let layer: StoredLayer | undefined
      try {
        layer = await this.#layer.result
      } catch (error) {
        this.#fail(error)
      }
      if (layer !== undefined) return this.#done(layer)
    }
    this.#noLayer(this.#failure!)
  }

  async abort(error: Error): Promise<void> {
    this.#layer.input.destroy(error)
    await this.#layer.result.catch(() => {})
  }

  #fail(error: unknown): void {
    if (!(error instanceof ComposefsError) || !unfit.test(error.code)) throw error
    this.#failure = error
  }
}

/** Compares a member with the digest in its name, and keeps its bytes if they are wanted. */
class BlobReceiver implements Receiver {
  readonly #digest: string | undefined
  readonly #name: string
  readonly #chunks: Buffer[] | undefined
  readonly #done: (bytes: Buffer | undefined) => void
  readonly #hash = createHash('sha256')

  constructor(digest: string | undefined, name: string, keep: boolean, done: (bytes: Buffer | undefined) => void) {
    this.#digest = digest
    this.#name = name
    this.#chunks = keep ? [] : undefined
    this.#done = done
  }

  write(chunk: Buffer): void {
    this.#hash.update(chunk)
    this.#chunks?.push(Buffer.from(chunk))
  }

  async end(): Promise<void> {
    const actual = `sha256:${this.#hash.digest('hex')}`
    if (this.#digest !== undefined && this.#digest !== actual) {
      throw new ComposefsError('ERR_DIGEST_MISMATCH', 'a blob of the archive does not have the digest in its name', {
        path: this.#name,
        expected: this.#digest,
        actual,
      })
    }
    this.#done(this.#chunks === undefined ? undefined : Buffer.concat(this.#chunks))
  }

  async abort(): Promise<void> {}
}
