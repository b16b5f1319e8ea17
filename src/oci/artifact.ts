/**
 * Artifacts: manifests that describe no container image. Their blobs are kept as they are (spec: rs-0.9, section 1.2).
 *
 * @packageDocumentation
 */
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { ObjectId } from '../fsverity/object-id.ts'
import type { Repository } from '../repository/repository.ts'
import type { CommitOptions } from '../repository/transaction.ts'
import { DigestVerifier } from '../streams/digest-verifier.ts'
import { contentTypes } from '../streams/splitstream-format.ts'
import { encodeSplitstream } from '../streams/splitstream-writer.ts'
import { writeDocument } from './document.ts'
import { keepTagged } from './keep.ts'
import { type StoredLayer, streamInfo } from './layer.ts'
import { type Descriptor, parseManifest } from './manifest.ts'
import { configRef, configStream, layerStream, manifestStream, referrerRef, sha256, tagRef } from './names.ts'
import type { ImageParts } from './publish.ts'
import type { BlobDescriptor } from './source.ts'
import { findStream, linkedStream } from './verify-stream.ts'

/** A published artifact. */
export interface PublishedArtifact {
  readonly kind: 'artifact'
  readonly manifestDigest: string
  readonly configDigest: string
  readonly blobs: readonly Descriptor[]
  readonly tags: readonly string[]
}

/**
 * The splitstream of a blob that the repository has, put together and hashed; one of a layer will do, whose tar is that
 * very blob. @throws the reason of `signal`
 */
export async function findBlob(
  repository: Repository,
  { digest, size }: BlobDescriptor,
  signal?: AbortSignal | undefined,
): Promise<ObjectId | undefined> {
  const id = await findStream(repository, layerStream(digest), digest, { signal })
  return id !== undefined && streamInfo(repository, id).streamSize === size ? id : undefined
}

/**
 * Stores one blob, as one object. Nothing is linked.
 *
 * @throws {@link ComposefsError} the codes of `DigestVerifier` and of the repository; an `AbortError`
 */
export async function importBlob(
  repository: Repository,
  source: Readable,
  { digest, size }: BlobDescriptor,
  signal: AbortSignal,
): Promise<StoredLayer> {
  const { algorithm, objects } = repository
  const object = objects.create(size)
  try {
    await pipeline(
      source,
      new DigestVerifier({ digest, size }),
      async (chunks: AsyncIterable<Buffer>) => {
        for await (const chunk of chunks) await object.write(chunk)
      },
      { signal },
    )
  } catch (error) {
    await object.abort()
    throw error
  }
  const body = { type: 'external', id: await object.finish(), size } as const
  const id = objects.put(encodeSplitstream({ algorithm, contentType: contentTypes.blob, body }))
  const sizes = { size, tarSize: size, inlineSize: 0 }
  return { diffId: digest, digest, ...sizes, compression: 'none', id, present: false }
}

/**
 * Publishes an artifact whose blobs are stored: whoever finds the tag finds all of it. Where the manifest that it is
 * about is here, it becomes a referrer of that.
 *
 * @throws {@link ComposefsError} the codes of the repository; `ERR_OCI_JSON`, `ERR_OCI_NAME`. Nothing is published then
 */
export async function publishArtifact(
  repository: Repository,
  parts: ImageParts,
  options: CommitOptions = {},
): Promise<PublishedArtifact> {
  const { manifest, config, layers, tags } = parts
  const { layers: blobs, subject } = parseManifest(manifest)
  const refs = blobs.map(({ digest }) => [digest, layers.get(digest)!] as const)
  const manifestDigest = sha256(manifest)
  const configDigest = sha256(config)
  const contentId = manifestStream(manifestDigest)
  const isKnown = subject !== undefined && linkedStream(repository, manifestStream(subject.digest)) !== undefined
  await repository.transaction((transaction) => {
    for (const [digest, id] of refs) transaction.linkStream(layerStream(digest), id)
    for (const tag of tags) transaction.setRef('streams', tagRef(tag), contentId)
    if (isKnown) transaction.setRef('streams', referrerRef(subject.digest, manifestDigest), contentId)
    transaction.defer(() => {
      keepTagged(repository)
      const configId = writeDocument(repository, configStream(configDigest), contentTypes.config, config, refs)
      const named = [[configRef(configDigest), configId] as const, ...refs]
      const manifestId = writeDocument(repository, contentId, contentTypes.manifest, manifest, named)
      transaction.linkStream(configStream(configDigest), configId).linkStream(contentId, manifestId)
    })
  }, options)
  return { kind: 'artifact', manifestDigest, configDigest, blobs, tags }
}
