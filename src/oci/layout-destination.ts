/**
 * An OCI layout in a directory as the place to push to.
 *
 * @packageDocumentation
 */
import { createHash, randomUUID } from 'node:crypto'
import { type FileHandle, mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { ComposefsError } from '../errors.ts'
import { isErrno, systemError } from '../native/errno.ts'
import { blobName } from './archive.ts'
import type { ArrivedBlob, BlobMaker, ImageDestination } from './destination.ts'
import { DirectorySource } from './directory-source.ts'
import { addToIndex, layoutFile } from './layout-index.ts'
import type { Platform } from './manifest.ts'
import type { BlobDescriptor, SourceManifest } from './source.ts'

/**
 * One image in a layout that may hold others. Every file is written under another name, and renamed when it is whole.
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

  /** @param tag of the image in the layout; whatever has it loses it */
  constructor(directory: string, tag?: string) {
    this.name = `oci:${directory}${tag === undefined ? '' : `:${tag}`}`
    this.#directory = directory
    this.#tag = tag
  }

  async current(): Promise<SourceManifest | undefined> {
    try {
      return await DirectorySource.layout(this.#directory, this.#tag).manifest()
    } catch (error) {
      if (error instanceof ComposefsError && error.code !== 'ERR_IO') return undefined
      throw error
    }
  }

  async find({ digest, size }: BlobDescriptor): Promise<'present' | undefined> {
    try {
      // One of another size is what a crash left behind.
      return (await stat(this.#path(blobName(digest)))).size === size ? 'present' : undefined
    } catch (error) {
      if (isErrno(error, 'ENOENT', 'ENOTDIR')) return undefined
      throw this.#failed(error)
    }
  }

  async put(blob: BlobMaker, _what: string, signal: AbortSignal): Promise<ArrivedBlob> {
    const hash = createHash('sha256')
    let size = 0
    const how = await this.#write(async (file) => {
      for await (const chunk of blob.open() as AsyncIterable<Buffer>) {
        signal.throwIfAborted()
        hash.update(chunk)
        size += chunk.length
        await writeAll(file, chunk)
      }
      const digest = `sha256:${hash.copy().digest('hex')}`
      const name = blobName(digest)
      return (await this.find({ digest, size })) === undefined ? name : undefined
    })
    return { digest: `sha256:${hash.digest('hex')}`, size, how }
  }

  async publish(manifest: SourceManifest, platform: Platform | undefined): Promise<void> {
    await this.#file(blobName(manifest.digest), manifest.bytes)
    await this.#file('oci-layout', Buffer.from(layoutFile))
    await this.#file('index.json', addToIndex(await this.#index(), manifest, this.#tag, platform))
  }

  async close(): Promise<void> {}

  async #index(): Promise<Buffer | undefined> {
    try {
      return await readFile(this.#path('index.json'))
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return undefined
      throw systemError(error, 'read', 'cannot read the index of the layout', this.#directory)
    }
  }

  async #file(name: string, bytes: Buffer): Promise<void> {
    await this.#write(async (file) => {
      await writeAll(file, bytes)
      return name
    })
  }

  /** Writes a file and gives it the name that `fill` returns; without one it goes. */
  async #write(fill: (file: FileHandle) => Promise<string | undefined>): Promise<'sent' | 'present'> {
    const temporary = this.#path(`.composefs-${randomUUID()}`)
    let file: FileHandle | undefined
    try {
      await mkdir(this.#path('blobs/sha256'), { recursive: true })
      file = await open(temporary, 'wx', 0o644)
      const name = await fill(file)
      if (name === undefined) return 'present'
      await file.sync()
      await rename(temporary, this.#path(name))
      await syncDirectory(dirname(this.#path(name)))
      return 'sent'
    } catch (error) {
      throw this.#failed(error)
    } finally {
      if (file !== undefined) {
        await file.close()
        await rm(temporary, { force: true })
      }
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

async function writeAll(file: FileHandle, bytes: Buffer): Promise<void> {
  for (let at = 0; at < bytes.length; ) at += (await file.write(bytes, at)).bytesWritten
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}
