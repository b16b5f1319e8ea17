/**
 * Arrays of ids and names of references in splitstreams (spec: splitstream, sections 1.4 and 1.5).
 *
 * @packageDocumentation
 */
import { isUtf8 } from 'node:buffer'
import { ComposefsError } from '../errors.ts'
import { type Algorithm, digestSize, ObjectId } from '../fsverity/object-id.ts'
import { invalidSplitstream } from './splitstream-format.ts'

/** Each id once, in the order of its first `add`. */
export class RefTable {
  readonly #algorithm: Algorithm
  readonly #indexes = new Map<string, number>()

  constructor(algorithm: Algorithm) {
    this.#algorithm = algorithm
  }

  get size(): number {
    return this.#indexes.size
  }

  /**
   * Index of the id in the table.
   *
   * @throws {@link ComposefsError} `ERR_ALGORITHM_MISMATCH` for an id of the other hash.
   */
  add(id: ObjectId): number {
    const { hex } = id
    const known = this.#indexes.get(hex)
    if (known !== undefined) return known
    if (id.algorithm !== this.#algorithm) {
      throw new ComposefsError('ERR_ALGORITHM_MISMATCH', 'an object id has another hash than the splitstream', {
        stage: 'SplitstreamWriter',
        expected: this.#algorithm,
        actual: `${id}`,
      })
    }
    const index = this.#indexes.size
    this.#indexes.set(hex, index)
    return index
  }

  /** The raw digests, one behind the other. */
  encode(): Buffer {
    const size = digestSize[this.#algorithm]
    const bytes = Buffer.allocUnsafe(this.#indexes.size * size)
    let at = 0
    for (const hex of this.#indexes.keys()) at += bytes.write(hex, at, 'hex')
    return bytes
  }
}

/** The digests of a section that begins at byte `offset` of the file. */
export function decodeRefs(section: Buffer, algorithm: Algorithm, offset: number): ObjectId[] {
  const size = digestSize[algorithm]
  if (section.length % size !== 0) {
    throw invalidSplitstream('an array of object ids does not hold whole ids', offset, {
      expected: `a multiple of ${size} bytes`,
      actual: section.length,
    })
  }
  const ids: ObjectId[] = []
  for (let at = 0; at < section.length; at += size) ids.push(ObjectId.fromHex(section.toString('hex', at, at + size)))
  return ids
}

/**
 * Records `INDEX:NAME` with a NUL behind each, sorted by the bytes of the names.
 *
 * @throws {@link ComposefsError} `ERR_ARGUMENT` for a name with a NUL, or with half a surrogate pair.
 */
export function encodeNames(names: ReadonlyMap<string, number>): Buffer {
  const records = Array.from(names, ([name, index]) => {
    const bytes = Buffer.from(name, 'utf8')
    if (name.includes('\0') || bytes.toString('utf8') !== name) {
      throw new ComposefsError('ERR_ARGUMENT', `not usable as the name of a reference: ${JSON.stringify(name)}`)
    }
    return { bytes, index }
  })
  records.sort((a, b) => Buffer.compare(a.bytes, b.bytes))
  const nul = Buffer.alloc(1)
  return Buffer.concat(records.flatMap(({ bytes, index }) => [Buffer.from(`${index}:`), bytes, nul]))
}

/** Names to ids; where one is given twice the last wins. `offset` is where the section begins in the file. */
export function decodeNames(names: Buffer, streamRefs: readonly ObjectId[], offset: number): Map<string, ObjectId> {
  const refs = new Map<string, ObjectId>()
  if (names.length === 0) return refs
  if (names.at(-1) !== 0) throw invalidSplitstream('the names of a splitstream are cut off', offset)
  if (!isUtf8(names)) throw invalidSplitstream('the names of a splitstream are not UTF-8', offset)
  const records = names.toString('utf8', 0, names.length - 1).split('\0')
  for (const record of records) {
    const colon = record.indexOf(':')
    const index = record.slice(0, Math.max(0, colon))
    const id = /^\+?[0-9]+$/.test(index) ? streamRefs[Number(index)] : undefined
    if (id === undefined) {
      throw invalidSplitstream('a named reference of a splitstream leads nowhere', offset, {
        expected: `0 to ${streamRefs.length - 1}, a colon and a name`,
        actual: JSON.stringify(record.slice(0, 100)),
      })
    }
    refs.set(record.slice(colon + 1), id)
  }
  return refs
}
