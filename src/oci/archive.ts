/**
 * What a docker-archive or oci-archive turned out to hold, once all of it was seen.
 *
 * @packageDocumentation
 */
import { bytesOf } from '../bytes.ts'
import { ComposefsError } from '../errors.ts'
import type { StoredLayer } from './layer.ts'
import {
  choosePlatform,
  type Descriptor,
  isContainerImage,
  isIndex,
  layerCompression,
  makeManifest,
  type Platform,
  parseConfig,
  parseDockerManifest,
  parseIndex,
  parseManifest,
} from './manifest.ts'
import { sha256 } from './names.ts'
import type { ImageParts } from './publish.ts'

/** A member of the archive, as it was taken. */
export type Member =
  | { readonly kind: 'json'; readonly bytes: Buffer }
  | { readonly kind: 'layer'; readonly layer: StoredLayer }
  | { readonly kind: 'blob'; readonly digest: string; readonly size: number }

const refName = 'org.opencontainers.image.ref.name'
const containerdName = 'io.containerd.image.name'

/** All members by name. Links were noted as they came; what they lead to may have come later. */
export class Archive {
  readonly #members = new Map<string, Member>()
  readonly #links = new Map<string, string>()

  add(name: string, member: Member): void {
    this.#members.set(name, member)
  }

  link(name: string, target: string): void {
    this.#links.set(name, target)
  }

  /**
   * The images that the archive describes, checked against what came.
   *
   * @throws {@link ComposefsError} `ERR_ARCHIVE_UNKNOWN` where nothing says what the members are,
   * `ERR_ARCHIVE_INCOMPLETE` where something is missing, `ERR_ARCHIVE_MEMBER`, `ERR_OCI_JSON`, `ERR_OCI_PLATFORM`,
   * `ERR_OCI_MEDIA_TYPE`, `ERR_DIGEST_MISMATCH`, `ERR_SIZE_MISMATCH`
   */
  images(platform: Platform): ImageParts[] {
    if (this.#members.has('index.json')) return this.#ociImages(platform)
    if (this.#members.has('manifest.json')) return this.#dockerImages()
    throw new ComposefsError('ERR_ARCHIVE_UNKNOWN', 'the archive has neither a manifest.json nor an index.json', {
      hint: 'for the bare tar of a layer use --layer DIFFID; otherwise the archive may have been cut off',
    })
  }

  #ociImages(platform: Platform): ImageParts[] {
    const found = new Map<string, ImageParts>()
    for (const descriptor of this.#chosen(parseIndex(this.#json('index.json')), platform)) {
      const manifest = this.#blobJson(descriptor, 'manifest')
      const tags = [descriptor.annotations[containerdName] ?? descriptor.annotations[refName]]
      const known = found.get(descriptor.digest)
      const names = [...(known?.tags ?? []), ...tags.filter((tag) => tag !== undefined)]
      found.set(descriptor.digest, { ...(known ?? this.#ociImage(manifest)), tags: [...new Set(names)] })
    }
    return [...found.values()]
  }

  /** An index of several platforms is one image; separate manifests of a layout are several. */
  #chosen(manifests: readonly Descriptor[], platform: Platform): Descriptor[] {
    if (manifests.length === 0) {
      throw new ComposefsError('ERR_ARCHIVE_INCOMPLETE', 'the index of the archive names no image')
    }
    const names = new Set(manifests.map(({ annotations }) => annotations[refName]))
    const platforms = new Set(manifests.map(({ platform }) => `${platform?.os}/${platform?.architecture}`))
    const variants = manifests.length > 1 && names.size === 1 && platforms.size > 1
    const top = variants ? [choosePlatform(manifests, platform)] : manifests
    return top.map((descriptor) => {
      let at = descriptor
      for (let depth = 0; isIndex(at); depth++) {
        if (depth === 4) throw new ComposefsError('ERR_OCI_JSON', 'the indexes of the archive are nested too deep')
        const chosen = choosePlatform(parseIndex(this.#blobJson(at, 'index')), platform)
        at = { ...chosen, annotations: { ...chosen.annotations, ...at.annotations } }
      }
      return at
    })
  }

  #ociImage(manifestBytes: Buffer): ImageParts {
    const manifest = parseManifest(manifestBytes)
    if (!isContainerImage(manifest)) {
      throw new ComposefsError('ERR_OCI_MEDIA_TYPE', 'the archive holds an artifact, not a container image', {
        actual: manifest.config.mediaType,
        expected: 'an image config',
      })
    }
    const config = this.#blobJson(manifest.config, 'config')
    const { diffIds } = parseConfig(config)
    checkCount(diffIds.length, manifest.layers.length)
    const layers = manifest.layers.map((descriptor, i) => this.#ociLayer(descriptor, i, diffIds))
    return { manifest: manifestBytes, config, layers: new Map(layers.map(({ diffId, id }) => [diffId, id])), tags: [] }
  }

  #ociLayer(descriptor: Descriptor, i: number, diffIds: readonly string[]): StoredLayer {
    const number = `layer ${i + 1} of ${diffIds.length}`
    const compression = layerCompression(descriptor.mediaType)
    const layer = this.#layer(blobName(descriptor.digest), number)
    checkSize(number, descriptor.size, layer.size)
    checkDigest(number, descriptor.digest, layer.digest)
    if (layer.compression !== compression && layer.tarSize > 0) {
      throw new ComposefsError('ERR_OCI_MEDIA_TYPE', `${number} is not compressed as its media type says`, {
        expected: compression,
        actual: layer.compression,
        hint: 'the tool that built the image labelled it wrongly; copy it with skopeo, which repairs that',
      })
    }
    checkDigest(number, diffIds[i]!, layer.diffId)
    return layer
  }

  #dockerImages(): ImageParts[] {
    const images = parseDockerManifest(this.#json('manifest.json'))
    if (images.length === 0) throw new ComposefsError('ERR_ARCHIVE_INCOMPLETE', 'the manifest.json names no image')
    return images.map((image) => {
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
    throw new ComposefsError('ERR_ARCHIVE_MEMBER', 'a member of the archive should be JSON and is not', { path: name })
  }

  #layer(name: string, number: string): StoredLayer {
    const member = this.#find(name)
    if (member?.kind === 'layer') return member.layer
    if (member === undefined) throw incomplete(name, number)
    throw new ComposefsError('ERR_ARCHIVE_MEMBER', `${number} is no tar, plain or compressed with gzip or zstd`, {
      path: name,
    })
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
