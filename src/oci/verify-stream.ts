/**
 * Streams of the repository compared with the digests that they go by: a name is only a link, which anybody may have
 * made, and what it leads to may have decayed.
 *
 * @packageDocumentation
 */
import { createHash, type Hash } from 'node:crypto'
import { ComposefsError } from '../errors.ts'
import { DigestThread } from '../fsverity/digest-thread.ts'
import type { ObjectId } from '../fsverity/object-id.ts'
import { DigestStore } from '../repository/digest-store.ts'
import type { Repository } from '../repository/repository.ts'
import { batchSize, DigestBatches } from '../streams/digest-batches.ts'
import { SplitstreamEntriesMachine } from '../streams/splitstream-entries.ts'
import { contentTypes } from '../streams/splitstream-format.ts'
import { parseSplitstream } from '../streams/splitstream-reader.ts'
import { Turns } from '../turns.ts'
import { digestOfName } from './names.ts'

/** How {@link verifyStream} compares. */
export interface VerifyOptions {
  /** Default: any. */
  readonly contentType?: bigint
  readonly signal?: AbortSignal | undefined
}

/** Bytes of a stream from which on another thread computes the ids of its objects: for less it is not worth starting. */
const threadFrom = 8 * 1024 * 1024

/**
 * Compares a stream with a digest. All of it is put together, every object compared with its id, and the entries of a
 * layer are read by the rules.
 *
 * @param id of the splitstream
 * @throws {@link ComposefsError} `ERR_DIGEST_MISMATCH`, `ERR_NOT_FOUND`, `ERR_REPOSITORY_CORRUPT`, `ERR_SPLITSTREAM_*`,
 * the codes of reading a tar; the reason of `signal`
 */
export async function verifyStream(
  repository: Repository,
  id: ObjectId,
  digest: string,
  { contentType, signal }: VerifyOptions = {},
): Promise<void> {
  const expected = { algorithm: repository.algorithm, ...(contentType !== undefined && { contentType }) }
  const stream = parseSplitstream(repository.objects.openFile(id), expected)
  const { streamSize } = stream
  const entries = contentType === contentTypes.layer ? new SplitstreamEntriesMachine({ streamSize }) : undefined
  const ignore = (): void => {}
  const hash = createHash('sha256')
  const objects = new ObjectHasher(repository, hash, streamSize)
  const turns = new Turns(signal)
  try {
    for (const chunk of stream.chunks()) {
      entries?.push(chunk, ignore)
      if (chunk.kind === 'inline') hash.update(chunk.bytes)
      else {
        const wait = objects.take(chunk.id)
        if (wait !== undefined) await wait
      }
      if (turns.over) await turns.next()
    }
    entries?.finish(ignore)
    await objects.finish()
  } finally {
    await objects.close()
  }
  const actual = `sha256:${hash.digest('hex')}`
  if (actual === digest) return
  throw new ComposefsError('ERR_DIGEST_MISMATCH', 'a stream of the repository does not have the digest in its name', {
    path: id.hex,
    expected: digest,
    actual,
    hint: 'do not use it; import or pull again what it belongs to, which replaces it',
  })
}

/** The same for a stream by its name, where that holds a digest: whoever gets the id may believe in the name. */
export async function verifiedStream(
  repository: Repository,
  name: string,
  options: VerifyOptions = {},
): Promise<ObjectId> {
  const { contentId, id } = repository.resolveStream(name)
  const digest = digestOfName(contentId)
  if (digest !== undefined) await verifyStream(repository, id, digest, options)
  return id
}

/**
 * The stream that the repository has of a content, if it has all of it and it is that content. Whatever is wrong with it
 * is a reason to fetch it again.
 *
 * @throws the reason of `signal`
 */
export async function findStream(
  repository: Repository,
  contentId: string,
  digest: string,
  options: VerifyOptions = {},
): Promise<ObjectId | undefined> {
  const id = linkedStream(repository, contentId)
  if (id === undefined) return undefined
  try {
    await verifyStream(repository, id, digest, options)
    return id
  } catch (error) {
    options.signal?.throwIfAborted()
    if (error instanceof ComposefsError) return undefined
    throw error
  }
}

/** What is linked as a content, whatever it may be. A link that leads elsewhere than to an object is as good as none. */
export function linkedStream(repository: Repository, contentId: string): ObjectId | undefined {
  try {
    return repository.hasStream(contentId)
  } catch (error) {
    if (error instanceof ComposefsError) return undefined
    throw error
  }
}

/** An object that was read: its place in the batch. */
interface ReadObject {
  readonly id: ObjectId
  readonly index: number
}

/** Feeds objects to the hash of what they are part of, while another thread compares them with their ids. */
class ObjectHasher {
  readonly #repository: Repository
  readonly #hash: Hash
  readonly #thread: DigestThread | undefined
  readonly #batches: DigestBatches<ReadObject> | undefined

  constructor(repository: Repository, hash: Hash, streamSize: number) {
    this.#repository = repository
    this.#hash = hash
    // Where the kernel vouches for objects nobody has to compute anything.
    if (repository.verityRequired) return
    const { algorithm } = repository
    this.#thread = streamSize < threadFrom ? undefined : DigestThread.start(algorithm)
    this.#batches = new DigestBatches(
      () => this.#thread,
      new DigestStore(algorithm),
      ({ id, index }, ids) => {
        // Looked at once more by the store, which then knows and tells that it is damaged.
        if (!ids[index]!.equals(id)) repository.objects.verify(id)
      },
    )
  }

  /** The promise, where there is one, asks to wait before the next. */
  take(id: ObjectId): undefined | Promise<void> {
    const size = this.#repository.objects.sizeOf(id)
    if (size > batchSize) return this.#takeLarge(id)
    if (this.#batches === undefined) this.#hash.update(this.#repository.readObject(id))
    else if (this.#batches.hasRoom(size)) this.#read(this.#batches, id, size)
    else return this.#takeLater(this.#batches, id, size)
  }

  async finish(): Promise<void> {
    await this.#batches?.finish()
  }

  async close(): Promise<void> {
    await this.#batches?.close()
    await this.#thread?.close()
  }

  async #takeLarge(id: ObjectId): Promise<void> {
    for await (const chunk of this.#repository.openObject(id)) this.#hash.update(chunk as Buffer)
  }

  async #takeLater(batches: DigestBatches<ReadObject>, id: ObjectId, size: number): Promise<void> {
    await batches.next()
    this.#read(batches, id, size)
  }

  #read(batches: DigestBatches<ReadObject>, id: ObjectId, size: number): void {
    const memory = batches.reserve(size)
    const bytes = this.#repository.readObject(id, { verify: false, memory })
    this.#hash.update(bytes)
    if (bytes.length === size) batches.push({ id, index: batches.addReserved(size) })
    else this.#repository.objects.verify(id)
  }
}
