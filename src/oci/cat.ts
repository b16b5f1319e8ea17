/**
 * A splitstream put together again: the bytes it stands for.
 *
 * @packageDocumentation
 */
import { Readable } from 'node:stream'
import { setImmediate } from 'node:timers/promises'
import type { ObjectId } from '../fsverity/object-id.ts'
import type { Repository } from '../repository/repository.ts'
import { parseSplitstream, type SplitstreamOptions } from '../streams/splitstream-reader.ts'

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

async function* pieces(
  repository: Repository,
  id: ObjectId,
  options: SplitstreamOptions,
): AsyncGenerator<Buffer, void, undefined> {
  const stream = parseSplitstream(repository.objects.openFile(id), { algorithm: repository.algorithm, ...options })
  // Most pieces are short: each on its own would cost a turn of the event loop.
  let gathered: Buffer[] = []
  let length = 0
  for (const chunk of stream.chunks()) {
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
