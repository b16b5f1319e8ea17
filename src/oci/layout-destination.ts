/**
 * An OCI layout in a directory as the place to push to.
 *
 * @packageDocumentation
 */
import { createHash } from 'node:crypto'
import { closeSync, constants, createReadStream, openSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { ComposefsError } from '../errors.ts'
import { isErrno, systemError } from '../native/errno.ts'
import { makeDirectories } from '../native/make-directories.ts'
import { readRegular } from '../native/regular-file.ts'
import { lockDirectory } from '../repository/lock.ts'
import { syncMade } from '../repository/sync.ts'
import { type TemporaryFile, TemporaryFiles } from '../repository/temporary.ts'
import { blobName } from './archive.ts'
import type { ArrivedBlob, BlobMaker, ImageDestination } from './destination.ts'
import { addToIndex, layoutFile } from './layout-index.ts'
import type { Platform } from './manifest.ts'
import type { BlobDescriptor, SourceManifest } from './source.ts'

/** No index is larger than this, in bytes. */
const maxIndex = 8 * 1024 * 1024

/**
 * One image in a layout that may hold others. Every file gets its name when it is whole and on disk.
 *
 * @example
 * ```ts
 * import { LayoutDestination, pushImage } from 'composefs-streams/oci'
 * import type { Repository } from 'composefs-streams/repository'
 *
 * const save = (repository: Repository) => pushImage(repository, 'os', new LayoutDestination('./layout', 'latest'))
 * ```
 */
export class LayoutDestination implements ImageDestination {
  readonly name: string
  readonly ociOnly = true
  readonly #directory: string
  readonly #tag: string | undefined
  readonly #temporaries: TemporaryFiles

  /** @param tag of the image in the layout; whatever has it loses it */
  constructor(directory: string, tag?: string) {
    this.name = `oci:${directory}${tag === undefined ? '' : `:${tag}`}`
    this.#directory = directory
    this.#tag = tag
    this.#temporaries = new TemporaryFiles(`${directory}/`, '.composefs-')
  }

  /** A file that has the name of the blob is believed once it was hashed. */
  async find({ digest, size }: BlobDescriptor, _what: string, signal: AbortSignal): Promise<'present' | undefined> {
    const path = this.#path(blobName(digest))
    try {
      const found = await stat(path)
      // One of another size is what a crash left behind.
      if (!found.isFile() || found.size !== size) return undefined
      const hash = createHash('sha256')
      for await (const chunk of createReadStream(path, { highWaterMark: 256 * 1024, signal })) hash.update(chunk)
      return `sha256:${hash.digest('hex')}` === digest ? 'present' : undefined
    } catch (error) {
      signal.throwIfAborted()
      if (isErrno(error, 'ENOENT', 'ENOTDIR')) return undefined
      throw this.#failed(error)
    }
  }

  async put(blob: BlobMaker, what: string, signal: AbortSignal): Promise<ArrivedBlob> {
    const hash = createHash('sha256')
    let size = 0
    const how = await this.#write(async (file) => {
      for await (const chunk of blob.open() as AsyncIterable<Buffer>) {
        signal.throwIfAborted()
        hash.update(chunk)
        size += chunk.length
        await file.append(chunk)
      }
      const digest = `sha256:${hash.copy().digest('hex')}`
      const name = blobName(digest)
      return (await this.find({ digest, size }, what, signal)) === undefined ? name : undefined
    })
    return { digest: `sha256:${hash.digest('hex')}`, size, how }
  }

  async publish(manifest: SourceManifest, platform: Platform | undefined, signal: AbortSignal): Promise<void> {
    await this.#file(blobName(manifest.digest), manifest.bytes)
    await this.#file('oci-layout', Buffer.from(layoutFile))
    const unlock = await this.#lock(signal)
    try {
      await this.#file('index.json', addToIndex(this.#index(), manifest, this.#tag, platform))
    } finally {
      unlock()
    }
  }

  async close(): Promise<void> {}

  /** Keeps others who use this package from changing the index, and from losing what we add to it. */
  async #lock(signal: AbortSignal): Promise<() => void> {
    const fd = openSync(this.#directory, constants.O_RDONLY | constants.O_DIRECTORY)
    try {
      await lockDirectory(fd, this.#directory, 'exclusive', { signal })
    } catch (error) {
      // Where there are no locks, nobody has one.
      if (!(error instanceof ComposefsError) || error.code !== 'ERR_NATIVE_MISSING') {
        closeSync(fd)
        throw error
      }
    }
    return () => closeSync(fd)
  }

  #index(): Buffer | undefined {
    try {
      return readRegular(this.#path('index.json'), maxIndex)
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return undefined
      throw systemError(error, 'read', 'cannot read the index of the layout', this.#directory)
    }
  }

  async #file(name: string, bytes: Buffer): Promise<void> {
    await this.#write(async (file) => {
      await file.append(bytes)
      return name
    })
  }

  /** Writes a file and gives it the name that `fill` returns; without one it goes. */
  async #write(fill: (file: TemporaryFile) => Promise<string | undefined>): Promise<'sent' | 'present'> {
    let file: TemporaryFile | undefined
    try {
      const blobs = this.#path('blobs/sha256')
      const made = makeDirectories(blobs)
      if (made !== undefined) syncMade(blobs, made)
      file = this.#temporaries.create()
      const name = await fill(file)
      if (name === undefined) return 'present'
      await file.publish(this.#path(name))
      return 'sent'
    } catch (error) {
      throw this.#failed(error)
    } finally {
      file?.close()
    }
  }

  #path(name: string): string {
    return join(this.#directory, name)
  }

  /** What the operating system refused is ours to tell; everything else comes from the blob. */
  #failed(error: unknown): unknown {
    if (typeof (error as NodeJS.ErrnoException).syscall !== 'string') return error
    return systemError(error, 'write', 'cannot write the layout', this.#directory)
  }
}
