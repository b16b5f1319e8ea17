/**
 * What a docker-archive or oci-archive turned out to hold, once all of it was seen.
 *
 * @packageDocumentation
 */
import { bytesOf, fromLatin1, printable } from '../bytes.ts'
import { ComposefsError, type ErrorCode } from '../errors.ts'
import { IndexWalk, layoutImages, type NamedImage } from './image-index.ts'
import type { StoredLayer } from './layer.ts'
import {
  type Descriptor,
  type DockerImage,
  hasLayersOfFiles,
  isContainerImage,
  layerCompression,
  makeManifest,
  type Platform,
  parseConfig,
  parseDockerManifest,
  parseManifest,
} from './manifest.ts'
import { sha256 } from './names.ts'
import { choosePlatform } from './platform.ts'
import type { ImageParts } from './publish.ts'

/** A member of the archive, as it was taken. */
export type Member =
  | { readonly kind: 'json'; readonly bytes: Buffer }
  | { readonly kind: 'layer'; readonly layer: StoredLayer }
  /** It looked like a layer and is none: an error only if an image has it for a layer. */
  | { readonly kind: 'no-layer'; readonly error: ComposefsError }
  /** Neither; or JSON for which there was no room. */
  | { readonly kind: 'blob'; readonly overLimit?: boolean }

/** An image that the archive offers. */
export interface OfferedImage extends NamedImage {
  /** Checks it against what came. */
  read(): ImageParts
}

/** Options of {@link Archive}. */
export interface ArchiveOptions {
  /**
   * Most bytes that are kept of an archive: of its JSON documents, names and links. Documents beyond it count as other
   * blobs do. Default 64 MiB.
   */
  readonly maxKept?: number
}

const defaultMaxKept = 64 * 1024 * 1024
const madeByNobody = 'the program before the pipe may have failed (a wrong name, say); its own message says why'
/** What a broken index.json beside a manifest.json may fail with. A wrong digest is never passed over. */
const brokenIndex: ReadonlySet<ErrorCode> = new Set(['ERR_OCI_JSON', 'ERR_ARCHIVE_INCOMPLETE', 'ERR_ARCHIVE_MEMBER'])

/** All members by name. Links were noted as they came; what they lead to may have come later. */
export class Archive {
  readonly #members = new Map<string, Member>()
  readonly #links = new Map<string, string>()
  readonly #maxKept: number
  #kept = 0

  constructor({ maxKept = defaultMaxKept }: ArchiveOptions = {}) {
    this.#maxKept = maxKept
  }

  /** Whether a document of this size can still be kept. */
  hasRoom(size: number): boolean {
    return this.#kept + size <= this.#maxKept
  }

  /** @throws {@link ComposefsError} `ERR_LIMIT` where names alone are too much to keep */
  add(name: string, member: Member): void {
    this.#keep(name.length + (member.kind === 'json' ? member.bytes.length : 0))
    this.#members.set(name, member)
  }

  /** Throws as {@link add} does. */
  link(name: string, target: string): void {
    this.#keep(name.length + target.length)
    this.#links.set(name, target)
  }

  #keep(bytes: number): void {
    this.#kept += bytes
    if (this.#kept > this.#maxKept) throw tooMuch(this.#maxKept)
  }

  /**
   * The images that the archive describes, checked against what came.
   *
   * @param choose those of the images that are wanted. Default: all
   * @throws {@link ComposefsError} `ERR_ARCHIVE_UNKNOWN` where nothing says what the members are,
   * `ERR_ARCHIVE_INCOMPLETE` where something is missing, `ERR_ARCHIVE_MEMBER`, `ERR_OCI_JSON`, `ERR_OCI_PLATFORM`,
   * `ERR_OCI_MEDIA_TYPE`, `ERR_DIGEST_MISMATCH`, `ERR_SIZE_MISMATCH`, `ERR_LIMIT`
   */
  images(
    platform: Platform,
    choose: (images: readonly OfferedImage[]) => readonly OfferedImage[] = (all) => all,
  ): ImageParts[] {
    const read = (offered: readonly OfferedImage[]) => choose(offered).map((image) => image.read())
    const hasManifest = this.#members.has('manifest.json')
    if (!this.#members.has('index.json')) {
      if (hasManifest) return read(this.#dockerImages())
      throw this.#unknown()
    }
    try {
      return read(this.#ociImages(platform))
    } catch (error) {
      if (!hasManifest || !(error instanceof ComposefsError) || !brokenIndex.has(error.code)) throw error
      try {
        return read(this.#dockerImages())
      } catch {
        throw error
      }
    }
  }

  #ociImages(platform: Platform): OfferedImage[] {
    const images = layoutImages(this.#json('index.json'))
    if (images.length === 0) {
      throw new ComposefsError('ERR_ARCHIVE_INCOMPLETE', 'the index of the archive names no image', {
        hint: madeByNobody,
      })
    }
    const offered = images.map(({ entries, ...named }) => {
      const manifest = () => this.#manifest(entries, platform)
      return { ...named, manifest, read: () => ({ ...this.#ociImage(manifest()), tags: named.tags }) }
    })
    // Signatures and the like are beside the images, or in their place.
    const ofFiles = offered.filter(({ manifest }) => isImage(manifest))
    return ofFiles.length > 0 ? ofFiles : offered
  }

  #manifest(entries: readonly Descriptor[], platform: Platform): Buffer {
    const walk = new IndexWalk(platform, 'the archive')
    let at: Descriptor | undefined = entries.length === 1 ? entries[0] : choosePlatform(entries, platform)
    for (;;) {
      const document = this.#blobJson(at!, 'manifest')
      at = walk.next(document)
      if (at === undefined) return document
    }
  }

  #ociImage(manifestBytes: Buffer): Omit<ImageParts, 'tags'> {
    const manifest = parseManifest(manifestBytes)
    if (!isContainerImage(manifest)) {
      throw new ComposefsError('ERR_OCI_MEDIA_TYPE', 'the archive holds an artifact, not a container image', {
        actual: manifest.config.mediaType,
        expected: 'an image config',
        hint: 'to keep it as it is, unpack the archive and use: composefs oci pull oci:DIRECTORY',
      })
    }
    const config = this.#blobJson(manifest.config, 'config')
    const { diffIds } = parseConfig(config)
    checkCount(diffIds.length, manifest.layers.length)
    const layers = manifest.layers.map((descriptor, i) => this.#ociLayer(descriptor, i, diffIds))
    return { manifest: manifestBytes, config, layers: new Map(layers.map(({ diffId, id }) => [diffId, id])) }
  }

  #ociLayer(descriptor: Descriptor, i: number, diffIds: readonly string[]): StoredLayer {
    const number = `layer ${i + 1} of ${diffIds.length}`
    layerCompression(descriptor.mediaType)
    const layer = this.#layer(blobName(descriptor.digest), number)
    checkSize(number, descriptor.size, layer.size)
    checkDigest(number, descriptor.digest, layer.digest)
    checkDigest(number, diffIds[i]!, layer.diffId)
    return layer
  }

  #dockerImages(): OfferedImage[] {
    const bytes = this.#json('manifest.json')
    // What skopeo and its like write where they find no image.
    const isNull = bytes.toString('latin1').trim() === 'null'
    const images = isNull ? [] : parseDockerManifest(bytes)
    if (images.length === 0) {
      const what = `the archive is empty: its manifest.json ${isNull ? 'is null' : 'names no image'}`
      throw new ComposefsError('ERR_ARCHIVE_INCOMPLETE', what, { hint: madeByNobody })
    }
    return images.map((image, i) => {
      const { tags } = image
      return { tags, names: tags, numbers: [i], read: () => this.#dockerImage(image) }
    })
  }

  #dockerImage(image: DockerImage): ImageParts {
    const config = this.#json(image.config)
    const digest = sha256(config)
    const named = /^(?:blobs\/sha256\/)?([0-9a-f]{64})(?:\.json)?$/.exec(image.config)?.[1]
    if (named !== undefined) checkDigest('the config', `sha256:${named}`, digest)
    const { diffIds } = parseConfig(config)
    checkCount(diffIds.length, image.layers.length)
    const layers = image.layers.map((name, i) => {
      const number = `layer ${i + 1} of ${diffIds.length}`
      const layer = this.#layer(name, number)
      checkDigest(number, diffIds[i]!, layer.diffId)
      return layer
    })
    const sizes = layers.map(({ diffId, tarSize }) => ({ diffId, size: tarSize }))
    return {
      manifest: makeManifest({ digest, size: config.length }, sizes),
      config,
      layers: new Map(layers.map(({ diffId, id }) => [diffId, id])),
      tags: image.tags,
    }
  }

  /** Neither list of images is there: perhaps since it is elsewhere, or since this is a layer. */
  #unknown(): ComposefsError {
    const what = 'the archive has neither a manifest.json nor an index.json'
    for (const [name, member] of this.#members) {
      const [folder = '', file, ...deeper] = name.split('/')
      const isIndex = file === 'index.json' && this.#members.has(`${folder}/oci-layout`)
      // Applications have files of that name as well.
      const isManifest =
        file === 'manifest.json' && member.kind === 'json' && /^\s*\[/.test(member.bytes.toString('latin1'))
      if (deeper.length > 0 || !(isIndex || isManifest)) continue
      const shown = printable(fromLatin1(folder))
      return new ComposefsError('ERR_ARCHIVE_UNKNOWN', `${what}: they are in its folder ${shown}`, {
        hint: `make it again from inside of the folder: tar -C ${shown} -c . (or unpack it, and pull oci:${shown})`,
      })
    }
    return new ComposefsError('ERR_ARCHIVE_UNKNOWN', what, {
      hint: 'for the bare tar of a layer use --layer DIFFID; otherwise the archive may have been cut off',
    })
  }

  #find(name: string): Member | undefined {
    // JSON is UTF-8, names in the archive are bytes.
    let at: string = bytesOf(name.replace(/^\.?\/+/, ''))
    for (let steps = 0; steps <= this.#links.size; steps++) {
      const member = this.#members.get(at)
      if (member !== undefined) return member
      const target = this.#links.get(at)
      if (target === undefined) return undefined
      at = target
    }
    return undefined
  }

  #json(name: string): Buffer {
    const member = this.#find(name)
    if (member?.kind === 'json') return member.bytes
    if (member === undefined) throw incomplete(name)
    if (member.kind === 'blob' && member.overLimit) throw tooMuch(this.#maxKept, name)
    throw new ComposefsError('ERR_ARCHIVE_MEMBER', 'a member of the archive should be a JSON document and is not', {
      path: name,
      hint: 'the archive was damaged, or what made it is at fault; make it again',
    })
  }

  #layer(name: string, number: string): StoredLayer {
    const member = this.#find(name)
    if (member?.kind === 'layer') return member.layer
    if (member === undefined) throw incomplete(name, number)
    if (member.kind === 'no-layer') throw member.error.within(`${number} (${name})`)
    throw new ComposefsError(
      'ERR_ARCHIVE_MEMBER',
      `${number} is no tar, plain or compressed with gzip, zstd, xz or bzip2`,
      {
        path: name,
      },
    )
  }

  #blobJson(descriptor: Descriptor, what: string): Buffer {
    const bytes = this.#json(blobName(descriptor.digest))
    checkSize(`the ${what}`, descriptor.size, bytes.length)
    // Its name says so already, unless the name is that of a link.
    checkDigest(`the ${what}`, descriptor.digest, sha256(bytes))
    return bytes
  }
}

/** Where an OCI layout keeps the blob of a digest. */
export const blobName = (digest: string): string => `blobs/${digest.replace(':', '/')}`

function incomplete(path: string, number?: string): ComposefsError {
  const what = number === undefined ? 'a member that the archive refers to' : `${number}, which the archive refers to,`
  const hint = 'the archive was cut off, or written incompletely: make it again'
  return new ComposefsError('ERR_ARCHIVE_INCOMPLETE', `${what} is missing`, { path, hint })
}

function tooMuch(limit: number, path?: string): ComposefsError {
  return new ComposefsError('ERR_LIMIT', `the archive has more documents and names than are kept (${limit} bytes)`, {
    ...(path !== undefined && { path }),
    hint: 'raise maxKept (--max-kept) if the archive can be trusted',
  })
}

/** Whatever is wrong with a manifest is told when it is read. */
function isImage(manifest: () => Buffer): boolean {
  try {
    return hasLayersOfFiles(parseManifest(manifest()))
  } catch {
    return true
  }
}

function checkCount(diffIds: number, layers: number): void {
  if (diffIds === layers) return
  throw new ComposefsError('ERR_OCI_JSON', 'config and manifest have different numbers of layers', {
    expected: diffIds,
    actual: layers,
  })
}

function checkSize(what: string, expected: number, actual: number): void {
  if (expected === actual) return
  throw new ComposefsError('ERR_SIZE_MISMATCH', `${what} has another size than its descriptor says`, {
    expected,
    actual,
  })
}

function checkDigest(what: string, expected: string, actual: string): void {
  if (expected !== actual) throw mismatch(what, expected, actual)
}

function mismatch(what: string, expected: string, actual: string): ComposefsError {
  const hint = 'the archive is damaged or was tampered with: fetch the image again'
  return new ComposefsError('ERR_DIGEST_MISMATCH', `${what} does not have its digest`, { expected, actual, hint })
}
