/**
 * A splitstream put together again: the bytes it stands for.
 *
 * @packageDocumentation
 */
import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { setImmediate } from 'node:timers/promises'
import { ComposefsError } from '../errors.ts'
import type { ObjectId } from '../fsverity/object-id.ts'
import type { Repository } from '../repository/repository.ts'
import type { SplitstreamChunk } from '../streams/splitstream-chunks.ts'
import { SplitstreamEntriesMachine } from '../streams/splitstream-entries.ts'
import { contentTypes } from '../streams/splitstream-format.ts'
import { parseSplitstream, type SplitstreamOptions } from '../streams/splitstream-reader.ts'
import { digestOfName } from './names.ts'

/** Objects up to this many bytes are read at once. */
const readAtOnce = 1024 * 1024
const wantedChunk = 64 * 1024

/**
 * The bytes of a stream, bit for bit what was imported. Every object is compared with its id on the way.
 *
 * @param id of the splitstream
 * @throws {@link ComposefsError} (as an error of the stream) `ERR_NOT_FOUND`, `ERR_REPOSITORY_CORRUPT`,
 * `ERR_SPLITSTREAM_*`
 * @example
 * ```ts
 * import { catStream } from 'composefs-streams/oci'
 * import type { Repository } from 'composefs-streams/repository'
 *
 * const print = (repository: Repository, name: string) =>
 *   catStream(repository, repository.resolveStream(name).id).pipe(process.stdout)
 * ```
 */
export function catStream(repository: Repository, id: ObjectId, options: SplitstreamOptions = {}): Readable {
  return Readable.from(pieces(repository, id, options), { objectMode: false, highWaterMark: 4 * wantedChunk })
}

/** How {@link verifyStream} compares. */
export interface VerifyOptions {
  /** Default: any. */
  readonly contentType?: bigint
  readonly signal?: AbortSignal | undefined
}

/**
 * Compares a stream with the digest that it goes by: its name and its link say nothing, anybody may have made them. All
 * of it is put together, every object compared with its id, and the entries of a layer are read by the rules.
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
  const hash = createHash('sha256')
  const entries = contentType === contentTypes.layer ? new SplitstreamEntriesMachine() : undefined
  const ignore = (): void => {}
  const look = entries === undefined ? ignore : (chunk: SplitstreamChunk) => entries.push(chunk, ignore)
  const wanted = contentType === undefined ? {} : { contentType }
  for await (const piece of pieces(repository, id, wanted, look)) {
    hash.update(piece)
    signal?.throwIfAborted()
  }
  entries?.finish(ignore)
  const actual = `sha256:${hash.digest('hex')}`
  if (actual === digest) return
  throw new ComposefsError('ERR_DIGEST_MISMATCH', 'a stream of the repository does not have the digest in its name', {
    path: id.hex,
    expected: digest,
    actual,
    hint: 'do not use it; import or pull again what it belongs to, which replaces it',
  })
}

/** The same for a stream by its name, where that holds a digest: whoever gets `id` may believe in the name. */
export async function believableStream(
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

async function* pieces(
  repository: Repository,
  id: ObjectId,
  options: SplitstreamOptions,
  look: (chunk: SplitstreamChunk) => void = () => {},
): AsyncGenerator<Buffer, void, undefined> {
  const stream = parseSplitstream(repository.objects.openFile(id), { algorithm: repository.algorithm, ...options })
  // Most pieces are short: each on its own would cost a turn of the event loop.
  let gathered: Buffer[] = []
  let length = 0
  for (const chunk of stream.chunks()) {
    look(chunk)
    if (chunk.kind === 'inline') {
      gathered.push(chunk.bytes)
      length += chunk.bytes.length
    } else if (repository.objects.sizeOf(chunk.id) <= readAtOnce) {
      const bytes = repository.readObject(chunk.id)
      gathered.push(bytes)
      length += bytes.length
    } else {
      yield* gathered
      gathered = []
      length = 0
      yield* repository.openObject(chunk.id)
    }
    if (length < wantedChunk) continue
    yield Buffer.concat(gathered, length)
    // Everything here is at hand: without a pause no signal and no timer would be noticed before the end.
    await setImmediate()
    gathered = []
    length = 0
  }
  if (length > 0) yield Buffer.concat(gathered, length)
}
