/**
 * Images in directories: OCI layouts (`oci:`), and what skopeo calls `dir:`.
 *
 * @packageDocumentation
 */
import { createReadStream, type ReadStream, statSync } from 'node:fs'
import { join } from 'node:path'
import { ComposefsError } from '../errors.ts'
import { isErrno, systemError } from '../native/errno.ts'
import { openRegular, readRegular } from '../native/regular-file.ts'
import { blobName } from './archive.ts'
import { imageCalled, type LayoutImage, layoutImages } from './image-index.ts'
import { type Descriptor, documentType, hasLayersOfFiles, isIndex, mediaTypes, parseManifest } from './manifest.ts'
import { sha256 } from './names.ts'
import type { BlobDescriptor, ImageSource, SourceManifest } from './source.ts'
import { otherLayout } from './transport-hints.ts'

/** Largest manifest, index or config, in bytes. */
const maxJson = 8 * 1024 * 1024

/** Images as files, each blob named by its digest. */
export class DirectorySource implements ImageSource {
  readonly name: string
  readonly #directory: string
  readonly #fileOf: (digest: string) => string
  #top: SourceManifest | undefined

  private constructor(name: string, directory: string, fileOf: (digest: string) => string) {
    this.name = name
    this.#directory = directory
    this.#fileOf = fileOf
  }

  /**
   * An OCI layout.
   *
   * @param tag which of its images, or `@` and its number in the index from 0 on; may be left out where there is one, or
   * one for each platform
   * @throws {@link ComposefsError} `ERR_NOT_FOUND`, `ERR_OCI_NOT_FOUND` naming the tags that are there, `ERR_OCI_JSON`,
   * `ERR_IO`, `ERR_LIMIT`
   */
  static layout(directory: string, tag?: string): DirectorySource {
    const images = layoutImages(readJson(directory, 'index.json', 'oci'))
    const source = new DirectorySource(`oci:${directory}${tag === undefined ? '' : `:${tag}`}`, directory, blobName)
    const { entries } = source.#choose(images, tag)
    const [first] = entries
    source.#top = entries.length === 1 ? source.#read(first!.digest) : indexOf(entries)
    if (entries.length === 1) source.#checkSize('the manifest', first!.size, source.#top.bytes)
    return source
  }

  /** What skopeo writes to `dir:`. Throws as {@link layout} does. */
  static plain(directory: string): DirectorySource {
    const source = new DirectorySource(`dir:${directory}`, directory, (digest) => digest.slice('sha256:'.length))
    source.#top = asManifest(readJson(directory, 'manifest.json', 'dir'))
    return source
  }

  async manifest(digest?: string): Promise<SourceManifest> {
    return digest === undefined ? this.#top! : this.#read(digest)
  }

  async readBlob({ digest, size }: BlobDescriptor, what = 'the blob'): Promise<Buffer> {
    const bytes = readJson(this.#directory, this.#fileOf(digest))
    this.#check(what, digest, bytes)
    this.#checkSize(what, size, bytes)
    return bytes
  }

  blob({ digest }: BlobDescriptor, what = 'the blob'): ReadStream {
    const path = join(this.#directory, this.#fileOf(digest))
    try {
      return createReadStream('', { fd: openRegular(path).fd, highWaterMark: 256 * 1024 })
    } catch (error) {
      throw missing(error, what, path)
    }
  }

  async close(): Promise<void> {}

  #choose(images: readonly LayoutImage[], tag: string | undefined): LayoutImage {
    const called = tag === undefined ? undefined : imageCalled(images, tag)
    const found = tag === undefined ? images : called === undefined ? [] : [called]
    // Signatures and the like are beside the image, or in its place.
    const ofFiles = found.length > 1 ? found.filter((image) => this.#isOfFiles(image)) : []
    const [only, ...more] = ofFiles.length > 0 ? ofFiles : found
    if (only !== undefined && more.length === 0) return only
    const problem = only === undefined ? 'the layout has no such image' : 'the layout has several images'
    const tags = images.flatMap(({ tags }) => tags)
    const hint =
      images.length === 0
        ? 'its index.json is empty'
        : tags.length === 0
          ? 'its images have no tags: @0 is the first of them'
          : `choose one of its tags: ${tags.join(', ')}`
    throw new ComposefsError('ERR_OCI_NOT_FOUND', problem, { path: this.name, hint })
  }

  #isOfFiles({ entries }: LayoutImage): boolean {
    try {
      const { bytes, mediaType } = this.#read(entries[0]!.digest)
      return isIndex({ mediaType }) || hasLayersOfFiles(parseManifest(bytes))
    } catch {
      // What is wrong with it is told when it is the only one.
      return true
    }
  }

  #checkSize(what: string, expected: number, { length: actual }: Buffer): void {
    if (actual === expected) return
    throw new ComposefsError('ERR_SIZE_MISMATCH', `${what} has another size than its descriptor says`, {
      path: this.name,
      expected,
      actual,
    })
  }

  #read(digest: string): SourceManifest {
    // A dir: of several platforms keeps their manifests apart from its blobs.
    const names = [this.#fileOf(digest), `${digest.slice('sha256:'.length)}.manifest.json`]
    const name = names.find((name) => statSync(join(this.#directory, name), { throwIfNoEntry: false }) !== undefined)
    const bytes = readJson(this.#directory, name ?? names[0]!)
    this.#check('the manifest', digest, bytes)
    return asManifest(bytes)
  }

  #check(what: string, expected: string, bytes: Buffer): void {
    const actual = sha256(bytes)
    if (actual === expected) return
    throw new ComposefsError('ERR_DIGEST_MISMATCH', `${what} of ${this.name} does not have its digest`, {
      expected,
      actual,
      hint: 'the directory is damaged or was tampered with: fetch the image again',
    })
  }
}

function asManifest(bytes: Buffer): SourceManifest {
  return { bytes, mediaType: documentType(bytes), digest: sha256(bytes) }
}

/** Images of one tag, for a choice by platform. */
function indexOf(manifests: readonly Descriptor[]): SourceManifest {
  const mediaType = mediaTypes.index
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, manifests }))
  return { bytes, mediaType, digest: sha256(bytes) }
}

/** @param transport where it is the file that makes the directory a layout */
function readJson(directory: string, name: string, transport?: 'oci' | 'dir'): Buffer {
  const path = join(directory, name)
  try {
    return readRegular(path, maxJson)
  } catch (error) {
    if (transport === undefined) throw missing(error, 'the image', path)
    throw missing(error, 'the image', path, otherLayout(directory, transport))
  }
}

function missing(
  error: unknown,
  what: string,
  path: string,
  hint = 'the directory holds no whole image',
): ComposefsError {
  if (!isErrno(error, 'ENOENT', 'ENOTDIR')) return systemError(error, 'read', `cannot read ${what}`, path)
  return new ComposefsError('ERR_NOT_FOUND', `${what} is missing`, { path, hint })
}
