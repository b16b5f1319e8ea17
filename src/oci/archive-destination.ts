/**
 * An oci-archive as the place to push to: one pass, into a file or a pipe.
 *
 * @packageDocumentation
 */
import { once } from 'node:events'
import type { Writable } from 'node:stream'
import { finished } from 'node:stream/promises'
import { systemError } from '../native/errno.ts'
import { OutputFile } from '../repository/output-file.ts'
import { endBlocks, zeroPadding } from '../streams/tar-encoder.ts'
import { encodeHeader, typeflags } from '../streams/tar-header.ts'
import { blobName } from './archive.ts'
import { type ArrivedBlob, type BlobMaker, type ImageDestination, measure } from './destination.ts'
import { addToIndex, layoutFile } from './layout-index.ts'
import type { Platform } from './manifest.ts'
import type { BlobDescriptor, SourceManifest } from './source.ts'

/**
 * One image in an archive. A tar tells the size of a member before its bytes, so a blob whose size is not known is made
 * twice: once to measure it.
 *
 * @example
 * ```ts
 * import { ArchiveDestination, pushImage } from 'composefs-streams/oci'
 * import type { Repository } from 'composefs-streams/repository'
 *
 * const save = (repository: Repository) => pushImage(repository, 'os', new ArchiveDestination(process.stdout, 'latest'))
 * ```
 */
export class ArchiveDestination implements ImageDestination {
  readonly name: string
  readonly ociOnly = true
  readonly #output: Writable
  readonly #tag: string | undefined
  readonly #written = new Set<string>()
  /** The end of the queue: members come one after the other. */
  #turn: Promise<unknown> = Promise.resolve()
  #failure: Error | undefined

  /** @param tag of the image in the archive */
  constructor(output: Writable, tag?: string, name = 'the archive') {
    this.name = name
    this.#output = output
    this.#tag = tag
    output.on('error', (error) => {
      this.#failure ??= error
    })
  }

  /** An archive that has its name once it is whole. */
  static file(path: string, tag?: string): ArchiveDestination {
    return new FileArchive(path, tag)
  }

  async find({ digest }: BlobDescriptor): Promise<'present' | undefined> {
    return this.#written.has(digest) ? 'present' : undefined
  }

  put(blob: BlobMaker, _what: string, signal: AbortSignal): Promise<ArrivedBlob> {
    const turn = this.#turn.then(() => this.#put(blob, signal))
    this.#turn = turn.catch(() => {})
    return turn
  }

  async publish(manifest: SourceManifest, platform: Platform | undefined, signal: AbortSignal): Promise<void> {
    await this.#member(blobName(manifest.digest), manifest.bytes, signal)
    await this.#member('oci-layout', Buffer.from(layoutFile), signal)
    await this.#member('index.json', addToIndex(undefined, manifest, this.#tag, platform), signal)
    await this.#write(endBlocks(), signal)
    await this.finish(this.#output)
  }

  async close(): Promise<void> {
    if (!this.#output.writableFinished) this.#output.destroy()
  }

  protected async finish(output: Writable): Promise<void> {
    output.end()
    await finished(output)
  }

  async #put(blob: BlobMaker, signal: AbortSignal): Promise<ArrivedBlob> {
    const { digest, size } = blob.known ?? (await measure(blob, signal))
    if (this.#written.has(digest)) return { digest, size, how: 'present' }
    await this.#write(header(blobName(digest), size), signal)
    for await (const chunk of blob.open() as AsyncIterable<Buffer>) await this.#write(chunk, signal)
    await this.#write(zeroPadding(size), signal)
    this.#written.add(digest)
    return { digest, size, how: 'sent' }
  }

  async #member(name: string, bytes: Buffer, signal: AbortSignal): Promise<void> {
    await this.#write(Buffer.concat([header(name, bytes.length), bytes, zeroPadding(bytes.length)]), signal)
  }

  async #write(bytes: Buffer, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    if (!this.#output.write(bytes) && this.#failure === undefined) {
      await once(this.#output, 'drain', { signal }).catch(() => {})
      signal.throwIfAborted()
    }
    if (this.#failure === undefined) return
    throw systemError(this.#failure, 'write', 'cannot write the archive', this.name)
  }
}

class FileArchive extends ArchiveDestination {
  readonly #file: OutputFile

  constructor(path: string, tag?: string) {
    const file = new OutputFile(path)
    super(file.stream, tag, `oci-archive:${path}`)
    this.#file = file
  }

  override async close(): Promise<void> {
    await this.#file.discard()
  }

  protected override async finish(): Promise<void> {
    await this.#file.commit()
  }
}

function header(name: string, size: number): Buffer {
  return encodeHeader({ name, typeflag: typeflags.file, mode: 0o644, size })
}
