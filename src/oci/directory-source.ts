/**
 * Images in directories: OCI layouts (`oci:`), and what skopeo calls `dir:`.
 *
 * @packageDocumentation
 */
import { createReadStream, openSync, type ReadStream, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { ComposefsError } from '../errors.ts'
import { isErrno, systemError } from '../native/errno.ts'
import { blobName } from './archive.ts'
import { JsonReader } from './json.ts'
import { type Descriptor, parseIndex } from './manifest.ts'
import { sha256 } from './names.ts'
import type { BlobDescriptor, ImageSource, SourceManifest } from './source.ts'

const refName = 'org.opencontainers.image.ref.name'
const indexType = 'application/vnd.oci.image.index.v1+json'
/** Largest manifest, index or config, in bytes. */
const maxJson = 8 * 1024 * 1024

/** Images as files, each blob named by its digest. */
export class DirectorySource implements ImageSource {
  readonly name: string
  readonly #directory: string
  readonly #top: SourceManifest
  readonly #fileOf: (digest: string) => string

  private constructor(name: string, directory: string, top: SourceManifest, fileOf: (digest: string) => string) {
    this.name = name
    this.#directory = directory
    this.#top = top
    this.#fileOf = fileOf
  }

  /**
   * An OCI layout.
   *
   * @param tag which of its images; may be left out where there is one, or one for each platform
   * @throws {@link ComposefsError} `ERR_NOT_FOUND`, `ERR_OCI_NOT_FOUND` naming the tags that are there, `ERR_OCI_JSON`,
   * `ERR_IO`
   */
  static layout(directory: string, tag?: string): DirectorySource {
    const bytes = readJson(directory, 'index.json')
    const all = parseIndex(bytes)
    const found = all.filter(({ annotations }) => tag === undefined || annotations[refName] === tag)
    const name = `oci:${directory}${tag === undefined ? '' : `:${tag}`}`
    if (found.length === 0 || new Set(found.map(({ annotations }) => annotations[refName])).size > 1) {
      const tags = all.flatMap(({ annotations }) => annotations[refName] ?? [])
      const problem = found.length === 0 ? 'the layout has no such image' : 'the layout has several images'
      throw new ComposefsError('ERR_OCI_NOT_FOUND', problem, {
        path: name,
        hint: tags.length === 0 ? 'its images have no tags' : `choose one of its tags: ${tags.join(', ')}`,
      })
    }
    const [only] = found
    const source = new DirectorySource(name, directory, indexOf(found), blobName)
    return found.length > 1 ? source : new DirectorySource(name, directory, source.#read(only!.digest), blobName)
  }

  /** What skopeo writes to `dir:`. Throws as {@link layout} does. */
  static plain(directory: string): DirectorySource {
    return new DirectorySource(
      `dir:${directory}`,
      directory,
      asManifest(readJson(directory, 'manifest.json')),
      (digest) => digest.slice('sha256:'.length),
    )
  }

  async manifest(digest?: string): Promise<SourceManifest> {
    return digest === undefined ? this.#top : this.#read(digest)
  }

  async readBlob({ digest, size }: BlobDescriptor, what = 'the blob'): Promise<Buffer> {
    const bytes = readJson(this.#directory, this.#fileOf(digest))
    this.#check(what, digest, bytes)
    if (bytes.length === size) return bytes
    throw new ComposefsError('ERR_SIZE_MISMATCH', `${what} has another size than its descriptor says`, {
      path: this.name,
      expected: size,
      actual: bytes.length,
    })
  }

  blob({ digest }: BlobDescriptor, what = 'the blob'): ReadStream {
    const path = join(this.#directory, this.#fileOf(digest))
    try {
      return createReadStream('', { fd: openSync(path, 'r'), highWaterMark: 256 * 1024 })
    } catch (error) {
      throw missing(error, what, path)
    }
  }

  async close(): Promise<void> {}

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
  const json = new JsonReader('manifest')
  const { mediaType, manifests } = json.object(json.parse(bytes))
  const type = typeof mediaType === 'string' ? mediaType : manifests === undefined ? '' : indexType
  return { bytes, mediaType: type, digest: sha256(bytes) }
}

/** Images of one tag, for a choice by platform. */
function indexOf(manifests: readonly Descriptor[]): SourceManifest {
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: indexType, manifests }))
  return { bytes, mediaType: indexType, digest: sha256(bytes) }
}

function readJson(directory: string, name: string): Buffer {
  const path = join(directory, name)
  try {
    if (statSync(path).size > maxJson) {
      throw new ComposefsError('ERR_LIMIT', `the file is larger than the limit of ${maxJson} bytes`, { path })
    }
    return readFileSync(path)
  } catch (error) {
    throw missing(error, 'the image', path)
  }
}

function missing(error: unknown, what: string, path: string): ComposefsError {
  if (!isErrno(error, 'ENOENT', 'ENOTDIR')) return systemError(error, 'read', `cannot read ${what}`, path)
  return new ComposefsError('ERR_NOT_FOUND', `${what} is missing`, { path, hint: 'the directory holds no whole image' })
}
