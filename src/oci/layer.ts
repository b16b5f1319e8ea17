/**
 * One layer: from the bytes of a blob to a splitstream in the repository.
 *
 * @packageDocumentation
 */
import type { Readable, Transform, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { ComposefsError } from '../errors.ts'
import type { ObjectId } from '../fsverity/object-id.ts'
import { DigestStore } from '../repository/digest-store.ts'
import type { Repository } from '../repository/repository.ts'
import { type FinishedSplitstream, SplitstreamSink } from '../sinks/splitstream-sink.ts'
import type { Compression } from '../streams/compression.ts'
import { ContentSplitter } from '../streams/content-splitter.ts'
import { Decompressor, type DecompressorOptions } from '../streams/decompressor.ts'
import { DigestVerifier } from '../streams/digest-verifier.ts'
import { fuse } from '../streams/fuse.ts'
import { ObjectWriter } from '../streams/object-writer.ts'
import { PaxParser } from '../streams/pax-parser.ts'
import {
  contentTypes,
  parseSplitstreamInfo,
  type SplitstreamExpectations,
  type SplitstreamInfo,
} from '../streams/splitstream-format.ts'
import { TarDecoder } from '../streams/tar-decoder.ts'
import type { PaxParserOptions } from '../streams/tar-options.ts'
import { layerStream } from './names.ts'
import { findStream, linkedStream } from './verify-stream.ts'

/** What is known about a layer before it comes, and the limits it must keep. */
export interface LayerOptions {
  /** Digest of the blob as it comes, that is compressed. */
  readonly digest?: string | undefined
  /** Size of the blob as it comes. */
  readonly size?: number | undefined
  /** Digest of the tar. */
  readonly diffId?: string | undefined
  /** What to call it in messages. */
  readonly name?: string | undefined
  /** `none` where the blob is known to be a plain tar: it is hashed once, not twice. */
  readonly compression?: 'none' | undefined
  readonly decompressor?: DecompressorOptions | undefined
  readonly tar?: PaxParserOptions | undefined
  readonly signal?: AbortSignal | undefined
}

/** A layer whose contents are in the repository. Nothing names it yet. */
export interface StoredLayer {
  readonly diffId: string
  /** Digest of the blob as it came. */
  readonly digest: string
  /** Bytes of the blob as it came. */
  readonly size: number
  /** Bytes of the tar. */
  readonly tarSize: number
  /** Bytes of the tar that are in the splitstream itself, and not in objects of their own. */
  readonly inlineSize: number
  readonly compression: Compression
  /** The splitstream that represents it. */
  readonly id: ObjectId
  /** Whether the repository had this layer before. */
  readonly present: boolean
}

/** A layer that is being received: write the blob into `input`, await `result`. */
export interface LayerReceiver {
  readonly input: Writable
  readonly result: Promise<StoredLayer>
}

/**
 * Stores one layer from a stream of its blob, compressed or not. Objects and splitstream are stored, nothing is linked.
 *
 * @throws {@link ComposefsError} the codes of `Decompressor`, `DigestVerifier`, `TarDecoder`, `PaxParser` and of the
 * repository; an `AbortError`
 * @example
 * ```ts
 * import { createReadStream } from 'node:fs'
 * import { importLayer, layerStream } from 'composefs-streams/oci'
 * import type { Repository } from 'composefs-streams/repository'
 *
 * const add = async (repository: Repository, file: string) => {
 *   const { diffId, id } = await importLayer(repository, createReadStream(file))
 *   await repository.linkStream(layerStream(diffId), id)
 * }
 * ```
 */
export function importLayer(
  repository: Repository,
  source: Readable | AsyncIterable<Uint8Array>,
  options: LayerOptions = {},
): Promise<StoredLayer> {
  const { stages, sink, finish } = layerStages(repository, options)
  return pipeline([source as Readable, ...stages, sink], signalOf(options)).then(finish)
}

/** The splitstream of a layer that the repository has, put together and hashed. @throws the reason of `signal` */
export function findLayer(
  repository: Repository,
  diffId: string,
  signal?: AbortSignal | undefined,
): Promise<ObjectId | undefined> {
  // It may have come as the blob of an artifact, of which no tree can be made.
  return findStream(repository, layerStream(diffId), diffId, { contentType: contentTypes.layer, signal })
}

/**
 * What the header of a splitstream says, of the kind that is wanted.
 *
 * @throws {@link ComposefsError} `ERR_SPLITSTREAM_*`, `ERR_REPOSITORY_CORRUPT`, `ERR_IO`
 */
export function streamInfo(
  repository: Repository,
  id: ObjectId,
  wanted: SplitstreamExpectations = {},
): SplitstreamInfo {
  // Whoever uses it will read it again, and compare it with its id then.
  const file = repository.objects.openFile(id, { verify: false })
  return parseSplitstreamInfo(file, { ...wanted, algorithm: repository.algorithm })
}

/** What the layers of an image must be; an artifact's blobs may be of any kind. */
export const layersOf = ({ config }: { readonly config: unknown }): SplitstreamExpectations =>
  config === undefined ? {} : { contentType: contentTypes.layer }

/** The same for a blob that comes in pieces. A failure destroys `input`. */
export function receiveLayer(repository: Repository, options: LayerOptions = {}): LayerReceiver {
  const { stages, sink, finish } = layerStages(repository, options)
  const result = pipeline([...stages, sink] as unknown as [Transform, Writable], signalOf(options)).then(finish)
  result.catch(() => {})
  return { input: stages[0]!, result }
}

function layerStages(repository: Repository, options: LayerOptions) {
  const { digest, size, diffId, name, decompressor, tar } = options
  const plain = options.compression === 'none'
  const blob = new DigestVerifier({
    ...defined({ digest, size, name }),
    ...(plain && defined({ digest: digest ?? diffId })),
  })
  const layer = plain ? blob : new DigestVerifier(defined({ digest: diffId, name }))
  const decode = new TarDecoder(tar)
  const parse = new PaxParser(tar)
  const split = fuse(layer, decode, parse, new ContentSplitter())
  const decompress = plain ? undefined : new Decompressor(decompressor)
  const sink = new SplitstreamSink(repository.objects)
  const head: Transform[] = decompress === undefined ? [split] : [blob, decompress, split]
  const finish = async (): Promise<StoredLayer> => {
    const stream = await sink.result
    try {
      // One verifier keeps one promise: of a plain tar that is the blob's digest.
      if (diffId !== undefined && layer.digest !== diffId) throw wrongDiffId(name, diffId, layer.digest!)
      const known = await settle(repository, layer.digest!, stream, options.signal)
      return {
        diffId: layer.digest!,
        digest: blob.digest!,
        size: blob.size,
        tarSize: layer.size,
        inlineSize: stream.inlineSize,
        compression: decompress?.compression ?? 'none',
        ...known,
      }
    } finally {
      stream.discard()
    }
  }
  return { stages: [...head, new ObjectWriter(repository.objects)], sink, finish }
}

function wrongDiffId(name = 'the layer', expected: string, actual: string): ComposefsError {
  return new ComposefsError('ERR_DIGEST_MISMATCH', `${name} does not have its diffID`, { expected, actual })
}

/** Stores the splitstream, unless the layer has one that proves equal: encoders differ, and one is enough. */
async function settle(
  repository: Repository,
  diffId: string,
  stream: FinishedSplitstream,
  signal: AbortSignal | undefined,
) {
  const linked = linkedStream(repository, layerStream(diffId))
  if (linked !== undefined) {
    const own = await stream.store(new DigestStore(repository.algorithm))
    // The same bytes need no proof, but they have to be there.
    const isSame = linked.equals(own) && repository.objects.isIntact(linked)
    const existing = isSame ? linked : await findLayer(repository, diffId, signal)
    if (existing !== undefined) return { id: existing, present: true }
  }
  return { id: await stream.store(), present: false }
}

function signalOf({ signal }: LayerOptions): { signal?: AbortSignal } {
  return signal === undefined ? {} : { signal }
}

/** Without the fields that are undefined. */
function defined<T extends object>(object: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as never
}
