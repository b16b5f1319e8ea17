/**
 * Manifests of images some of whose blobs are others than they were.
 *
 * @packageDocumentation
 */
import { JsonReader } from './json.ts'
import { mediaTypes } from './manifest.ts'
import { sha256 } from './names.ts'
import type { BlobDescriptor, SourceManifest } from './source.ts'

/** How a layer is packed where it is pushed. */
export type PushCompression = 'gzip' | 'zstd' | 'none'

/** A layer where it was pushed; undefined where it is the blob that the manifest names. */
export type PushedLayer = (BlobDescriptor & { readonly compression: PushCompression }) | undefined

const docker = {
  manifest: 'application/vnd.docker.distribution.manifest.v2+json',
  config: 'application/vnd.docker.container.image.v1+json',
  layer: 'application/vnd.docker.image.rootfs.diff.tar',
} as const
/** What is said of the blob and not of the layer: tables of contents of zstd:chunked and eStargz. */
const ofTheBlob = /^(?:io\.github\.containers\.zstd-chunked\.|io\.containers\.estargz\.|containerd\.io\/snapshot\/)/

/**
 * The manifest for an image as it was pushed: the same bytes where nothing changed. Whatever else the manifest says stays.
 *
 * @param ociOnly whether one of Docker must become one of OCI; it does anyway where a layer is zstd, which Docker's lacks
 * @throws {@link ComposefsError} `ERR_OCI_JSON`
 */
export function pushedManifest(before: Buffer, layers: readonly PushedLayer[], ociOnly: boolean): SourceManifest {
  const json = new JsonReader('manifest')
  const manifest = json.object(json.parse(before))
  const config = json.object(manifest['config'], 'config')
  const isDocker = manifest['mediaType'] === docker.manifest || config['mediaType'] === docker.config
  const toOci = isDocker && (ociOnly || layers.some((layer) => layer?.compression === 'zstd'))
  const mediaType = isDocker && !toOci ? docker.manifest : mediaTypes.manifest
  if (!toOci && layers.every((layer) => layer === undefined))
    return { bytes: before, mediaType, digest: sha256(before) }
  const rewritten = {
    ...manifest,
    ...((toOci || manifest['mediaType'] !== undefined) && { mediaType }),
    config: toOci ? { ...config, mediaType: mediaTypes.config } : config,
    layers: json.array(manifest['layers'], 'layers').map((item, i) => {
      const { data: _data, urls: _urls, ...layer } = json.object(item, `layers[${i}]`)
      const type = json.string(layer['mediaType'], `layers[${i}].mediaType`)
      const pushed = layers[i]
      if (pushed === undefined)
        return toOci ? { ...layer, mediaType: layerType(type, compressionOf(type), true) } : item
      const { annotations, ...rest } = layer
      return {
        ...rest,
        mediaType: layerType(type, pushed.compression, toOci || !isDocker),
        digest: pushed.digest,
        size: pushed.size,
        ...annotationsOfLayer(json.object(annotations ?? {}, `layers[${i}].annotations`)),
      }
    }),
  }
  const bytes = Buffer.from(JSON.stringify(rewritten))
  return { bytes, mediaType, digest: sha256(bytes) }
}

/** The compression that the media type of a layer tells. */
export function compressionOf(mediaType: string): PushCompression {
  return mediaType.endsWith('zstd') ? 'zstd' : mediaType.endsWith('gzip') ? 'gzip' : 'none'
}

function layerType(before: string, compression: PushCompression, oci: boolean): string {
  if (!oci) return `${docker.layer}${compression === 'none' ? '' : `.${compression}`}`
  const base = before.includes('.nondistributable.')
    ? mediaTypes.layer.replace('.v1', '.nondistributable.v1')
    : mediaTypes.layer
  return `${base}${compression === 'none' ? '' : `+${compression}`}`
}

function annotationsOfLayer(annotations: Readonly<Record<string, unknown>>): { annotations?: Record<string, unknown> } {
  const kept = Object.entries(annotations).filter(([name]) => !ofTheBlob.test(name))
  return kept.length === 0 ? {} : { annotations: Object.fromEntries(kept) }
}
