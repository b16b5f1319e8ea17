/**
 * Where images come from, blob by blob: a registry, or a directory that is laid out like one.
 *
 * @packageDocumentation
 */
import type { Readable } from 'node:stream'
import type { Descriptor } from './manifest.ts'

/** The part of a descriptor that leads to a blob. */
export type BlobDescriptor = Pick<Descriptor, 'digest' | 'size'>

/** A manifest or index, exactly as it came, and checked where its digest was known. */
export interface SourceManifest {
  readonly bytes: Buffer
  readonly mediaType: string
  readonly digest: string
}

/** One image, or one index of images, from which a pull takes what it needs. */
export interface ImageSource {
  /** What to call it in messages. */
  readonly name: string
  /**
   * The manifest or index, or one that the index names.
   *
   * @param what what to call it in messages
   */
  manifest(digest?: string, what?: string): Promise<SourceManifest>
  /** A small blob, compared with its digest. */
  readBlob(blob: BlobDescriptor, what?: string): Promise<Buffer>
  /**
   * The blobs it has for the layers, in their order, where those that the manifest names may not be there: a store that
   * keeps layers unpacked has their tars.
   */
  layers?(): Promise<readonly Descriptor[] | undefined>
  /** A blob as a stream, not compared with its digest. `bytesRead` tells how far it is. */
  blob(blob: BlobDescriptor, what?: string): Readable & { readonly bytesRead: number }
  close(): Promise<void>
}
