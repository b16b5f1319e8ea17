/**
 * Where images go, blob by blob: a registry, a directory, an archive.
 *
 * @packageDocumentation
 */
import { createHash } from 'node:crypto'
import type { Readable } from 'node:stream'
import type { Platform } from './manifest.ts'
import type { BlobDescriptor, SourceManifest } from './source.ts'

/** A blob that can be made as often as it takes, and is the same each time. */
export interface BlobMaker {
  /** Where it is known before the blob is made. */
  readonly known?: BlobDescriptor | undefined
  /** Makes it. The stream ends only if the bytes were right. */
  open(): Readable
}

/** How a blob came to be at its destination. */
export type BlobArrival = 'present' | 'mounted' | 'sent'

/** A blob at its destination. */
export interface ArrivedBlob extends BlobDescriptor {
  readonly how: BlobArrival
}

/** One image at one destination. Blobs go first, their manifest last. */
export interface ImageDestination {
  /** What to call it in messages. */
  readonly name: string
  /** Whether it takes nothing but OCI manifests, so that those of Docker are rewritten. */
  readonly ociOnly: boolean
  /**
   * Whether a blob is there, or can be had from nearby.
   *
   * @param what what to call it in messages
   */
  find(blob: BlobDescriptor, what: string, signal: AbortSignal): Promise<'present' | 'mounted' | undefined>
  /** Stores a blob, unless it turns out to be there. */
  put(blob: BlobMaker, what: string, signal: AbortSignal): Promise<ArrivedBlob>
  /** Stores the manifest and gives it the destination's name. */
  publish(manifest: SourceManifest, platform: Platform | undefined, signal: AbortSignal): Promise<void>
  /** Lets go of everything; what was not published need not stay. */
  close(): Promise<void>
}

/** Makes a blob only to see what it is. */
export async function measure(blob: BlobMaker, signal: AbortSignal): Promise<BlobDescriptor> {
  const hash = createHash('sha256')
  let size = 0
  for await (const chunk of blob.open() as AsyncIterable<Buffer>) {
    signal.throwIfAborted()
    hash.update(chunk)
    size += chunk.length
  }
  return { digest: `sha256:${hash.digest('hex')}`, size }
}
