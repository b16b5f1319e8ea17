/**
 * OCI images: archives and layers into a repository, and what is in it.
 *
 * @packageDocumentation
 */
export { ArchiveDestination } from './archive-destination.ts'
export type { PublishedArtifact } from './artifact.ts'
export { type BootImage, findBootImage, makeBootImages } from './boot.ts'
export { catStream } from './cat.ts'
export type { ArrivedBlob, BlobArrival, BlobMaker, ImageDestination } from './destination.ts'
export { openDestination, type PushByNameOptions, push } from './destinations.ts'
export { DirectorySource } from './directory-source.ts'
export { type Document, readDocument } from './document.ts'
export { type FoundImage, findImage } from './find.ts'
export {
  imageTree,
  type ListedImage,
  linkedImage,
  listImages,
  listReferrers,
  type OpenedConfig,
  type OpenedImage,
  openConfig,
  openImage,
  resolveConfig,
  tagImage,
  untagImage,
  verifyLayers,
} from './image.ts'
export { type ImportEvent, type ImportOptions, importArchive } from './import.ts'
export { importLayer, type LayerOptions, type LayerReceiver, receiveLayer, type StoredLayer } from './layer.ts'
export { LayoutDestination } from './layout-destination.ts'
export {
  type Descriptor,
  documentType,
  type ImageConfig,
  isIndex,
  type Manifest,
  makeManifest,
  mediaTypes,
  type Platform,
  parseConfig,
  parseIndex,
  parseManifest,
} from './manifest.ts'
export { configStream, layerStream, manifestStream, tagRef } from './names.ts'
export { choosePlatform, hostPlatform, parsePlatform } from './platform.ts'
export { type ImageParts, type PublishedImage, type PublishOptions, publishImage } from './publish.ts'
export { type PullEvent, type PullOptions, pullAny, pullImage } from './pull.ts'
export type { LayerEvent } from './pull-layers.ts'
export { type PushEvent, type PushedImage, type PushOptions, pushImage } from './push.ts'
export type { LayerBlob, PushLayerEvent } from './push-layers.ts'
export type { PushCompression } from './push-manifest.ts'
export * from './registry/index.ts'
export type { RepositoryOpener } from './repository-opener.ts'
export { type CopyOptions, copyAny, copyImage } from './repository-source.ts'
export { SkopeoSource } from './skopeo-source.ts'
export type { BlobDescriptor, ImageSource, SourceManifest } from './source.ts'
export { openSource, type PullByNameOptions, pull } from './transports.ts'
export { layersToTree, storeImage, type TreeOptions } from './tree.ts'
export { type VerifyOptions, verifyStream } from './verify-stream.ts'
