/**
 * The chunks of a splitstream (spec: splitstream, section 1.6).
 *
 * @packageDocumentation
 */
import type { ObjectId } from '../fsverity/object-id.ts'
import { invalidSplitstream } from './splitstream-format.ts'

/**
 * Part of the file that a splitstream stands for: bytes, or the whole contents of an object. An inline chunk may come in
 * several records, each a view: copy what you keep.
 */
export type SplitstreamChunk =
  | { readonly kind: 'inline'; readonly bytes: Buffer }
  | { readonly kind: 'external'; readonly id: ObjectId }

const wordSize = 8

/** What the chunks of a stream section may hold. */
export interface ChunkBounds {
  readonly objectRefs: readonly ObjectId[]
  readonly streamSize: number
  /** Where the section begins in the file, for messages. */
  readonly offset: number
}

/**
 * Cuts the unpacked stream section into chunks.
 *
 * @throws {@link ComposefsError} `ERR_SPLITSTREAM_INVALID` for an index that there is no object for, more inline bytes
 * than the whole file has, and a section that ends inside of a chunk.
 */
export function* readChunks(
  pieces: Iterable<Buffer>,
  { objectRefs, streamSize, offset }: ChunkBounds,
): Generator<SplitstreamChunk, void, undefined> {
  const word = Buffer.alloc(wordSize)
  let wordLength = 0
  let inlineLeft = 0
  let room = streamSize
  for (const piece of pieces) {
    let at = 0
    while (at < piece.length) {
      if (inlineLeft > 0) {
        const end = Math.min(piece.length, at + inlineLeft)
        inlineLeft -= end - at
        yield { kind: 'inline', bytes: piece.subarray(at, end) }
        at = end
        continue
      }
      let count: number
      if (wordLength === 0 && at + wordSize <= piece.length) {
        count = signed64(piece, at)
        at += wordSize
      } else {
        const end = Math.min(piece.length, at + wordSize - wordLength)
        piece.copy(word, wordLength, at, end)
        wordLength += end - at
        at = end
        if (wordLength < wordSize) continue
        wordLength = 0
        count = signed64(word, 0)
      }
      if (count < 0) {
        if (-count > room) {
          throw invalidSplitstream('a splitstream holds more inline bytes than it says', offset, {
            expected: `at most ${room}`,
            actual: -count,
          })
        }
        inlineLeft = -count
        room += count
        continue
      }
      const id = objectRefs[count]
      if (id === undefined) {
        throw invalidSplitstream('a splitstream refers to an object that it does not list', offset, {
          expected: `an index below ${objectRefs.length}`,
          actual: count,
        })
      }
      yield { kind: 'external', id }
    }
  }
  if (wordLength > 0 || inlineLeft > 0) {
    throw invalidSplitstream('the stream of a splitstream is cut off', offset, {
      expected: inlineLeft > 0 ? `${inlineLeft} more inline bytes` : `${wordSize - wordLength} more bytes of a count`,
      actual: 'its end',
    })
  }
}

/** Not exact from 2^53 on, where no count is allowed anyway. */
function signed64(bytes: Buffer, at: number): number {
  return bytes.readInt32LE(at + 4) * 2 ** 32 + bytes.readUInt32LE(at)
}
