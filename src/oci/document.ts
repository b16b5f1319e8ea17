/**
 * JSON documents in a repository: a splitstream with one external object (spec: oci-image, section 7).
 *
 * @packageDocumentation
 */
import { ComposefsError } from '../errors.ts'
import type { ObjectId } from '../fsverity/object-id.ts'
import type { Repository } from '../repository/repository.ts'
import { parseSplitstream } from '../streams/splitstream-reader.ts'
import { encodeSplitstream } from '../streams/splitstream-writer.ts'
import { linkedStream } from './verify-stream.ts'

/** A manifest or config, and what its stream refers to. */
export interface Document {
  /** The stream itself. */
  readonly id: ObjectId
  /** Exact bytes. */
  readonly json: Buffer
  readonly namedRefs: ReadonlyMap<string, ObjectId>
}

/** No document is larger than this, in bytes. */
const maxDocument = 64 * 1024 * 1024

/**
 * Reads a document by the id of its stream.
 *
 * @throws {@link ComposefsError} `ERR_SPLITSTREAM_INVALID` unless it consists of one object, and the codes of
 * `parseSplitstream` and of the repository
 */
export function readDocument(repository: Repository, id: ObjectId, contentType: bigint): Document {
  const { algorithm } = repository
  const stream = parseSplitstream(repository.readObject(id, { limit: maxDocument }), { algorithm, contentType })
  const [chunk, ...more] = firstTwo(stream.chunks())
  if (chunk?.kind !== 'external' || more.length > 0 || stream.objectRefs.length > 1) {
    const hint = 'import or pull the image again'
    throw new ComposefsError('ERR_SPLITSTREAM_INVALID', 'the document does not consist of one object', {
      path: id.hex,
      hint,
    })
  }
  return { id, json: repository.readObject(chunk.id, { limit: maxDocument }), namedRefs: stream.namedRefs }
}

function firstTwo<T>(items: Iterable<T>): T[] {
  const found: T[] = []
  for (const item of items) if (found.push(item) === 2) break
  return found
}

/**
 * Stores a document as a splitstream, unless there is one that says the same. One that cannot be read is replaced.
 * Throws what the repository throws.
 */
export function writeDocument(
  repository: Repository,
  contentId: string,
  contentType: bigint,
  json: Buffer,
  namedRefs: Iterable<readonly [string, ObjectId]>,
): ObjectId {
  const refs = new Map(namedRefs)
  const existing = findDocument(repository, contentId, contentType, json)
  if (existing !== undefined && sameRefs(existing.namedRefs, refs)) return existing.id
  const body = { type: 'external', id: repository.objects.put(json), size: json.length } as const
  const { algorithm } = repository
  return repository.objects.put(encodeSplitstream({ algorithm, contentType, namedRefs: refs, body }))
}

/**
 * The document that the repository has under a name or id, if it can be read and its bytes are those. What else it says
 * nobody vouches for.
 *
 * @param json undefined where any will do
 */
export function findDocument(
  repository: Repository,
  stream: string | ObjectId | undefined,
  contentType: bigint,
  json: Buffer | undefined,
): Document | undefined {
  const id = typeof stream === 'string' ? linkedStream(repository, stream) : stream
  if (id === undefined) return undefined
  try {
    const document = readDocument(repository, id, contentType)
    return json === undefined || document.json.equals(json) ? document : undefined
  } catch (error) {
    if (error instanceof ComposefsError) return undefined
    throw error
  }
}

function sameRefs(a: ReadonlyMap<string, ObjectId>, b: ReadonlyMap<string, ObjectId>): boolean {
  return a.size === b.size && [...a].every(([name, id]) => b.get(name)?.equals(id) === true)
}
