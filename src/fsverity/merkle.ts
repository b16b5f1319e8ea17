/**
 * fs-verity digests computed in user space (spec: erofs-image, section 15): a Merkle tree over blocks of 4096 bytes
 * without salt, then the hash of a descriptor that holds its root.
 *
 * @packageDocumentation
 */
import { ComposefsError } from '../errors.ts'
import { type BlockHash, blockHash, defaultImplementation, type HashImplementation } from './hash.ts'
import { type Algorithm, algorithmNumber, digestSize, ObjectId } from './object-id.ts'

/** Bytes of a block, of data and of hashes alike. */
export const verityBlockSize = 4096

const blockSizeLog2 = 12
const descriptorSize = 256

/** Hashes that wait for their block to fill up. */
interface Level {
  readonly block: Buffer
  fill: number
}

/**
 * Computes the fs-verity digest of bytes that come in pieces of any size. Memory: one block for the data, and one for
 * each level of the tree (two up to 64 MiB, seven at most).
 *
 * @example
 * ```ts
 * import { createReadStream } from 'node:fs'
 * import { FsVerityHasher } from 'composefs-streams/fsverity'
 *
 * const hasher = new FsVerityHasher('sha512')
 * for await (const chunk of createReadStream('/etc/os-release')) hasher.update(chunk)
 * console.log(`${hasher.digest()}`, hasher.size)
 * ```
 */
export class FsVerityHasher {
  readonly algorithm: Algorithm
  readonly #hash: BlockHash
  readonly #digestSize: number
  readonly #data: Buffer = Buffer.allocUnsafeSlow(verityBlockSize)
  readonly #descriptor: Buffer = Buffer.alloc(descriptorSize)
  readonly #levels: Level[] = []
  /** Levels in use: a hasher that is reset keeps the memory of the others. */
  #height = 0
  #dataFill = 0
  #size = 0
  #ended = false

  constructor(algorithm: Algorithm, implementation: HashImplementation = defaultImplementation) {
    this.algorithm = algorithm
    this.#hash = blockHash(algorithm, implementation)
    this.#digestSize = digestSize[algorithm]
    this.#descriptor[0] = 1
    this.#descriptor[1] = algorithmNumber[algorithm]
    this.#descriptor[2] = blockSizeLog2
  }

  /** Bytes seen so far. */
  get size(): number {
    return this.#size
  }

  /** Nothing of `chunk` is kept. @throws {@link ComposefsError} `ERR_STREAM_ORDER` after {@link digest}. */
  update(chunk: Buffer): void {
    if (this.#ended) throw new ComposefsError('ERR_STREAM_ORDER', 'the digest was taken already')
    const { length } = chunk
    this.#size += length
    let at = 0
    if (this.#dataFill > 0) {
      at = Math.min(verityBlockSize - this.#dataFill, length)
      chunk.copy(this.#data, this.#dataFill, 0, at)
      this.#dataFill += at
      if (this.#dataFill < verityBlockSize) return
      this.#add(0, this.#data)
      this.#dataFill = 0
    }
    for (; length - at >= verityBlockSize; at += verityBlockSize) {
      this.#add(0, chunk.subarray(at, at + verityBlockSize))
    }
    if (at < length) this.#dataFill = chunk.copy(this.#data, 0, at)
  }

  /** Ends the computation. @throws {@link ComposefsError} `ERR_STREAM_ORDER` if it was called before. */
  digest(): ObjectId {
    if (this.#ended) throw new ComposefsError('ERR_STREAM_ORDER', 'the digest was taken already')
    this.#ended = true
    if (this.#dataFill > 0) this.#add(0, this.#data.fill(0, this.#dataFill))
    const descriptor = this.#descriptor
    descriptor.writeUInt32LE(this.#size % 2 ** 32, 8)
    descriptor.writeUInt32LE(Math.floor(this.#size / 2 ** 32), 12)
    this.#writeRoot(descriptor, 16)
    this.#hash(descriptor, this.#data, 0)
    return ObjectId.fromBytes(this.#data.subarray(0, this.#digestSize))
  }

  /** Forgets everything, so that the hasher serves for another file. */
  reset(): void {
    for (let i = 0; i < this.#height; i++) this.#levels[i]!.fill = 0
    this.#height = 0
    this.#dataFill = 0
    this.#size = 0
    this.#ended = false
  }

  /** Adds the hash of a block to a level; a level that is full becomes a block of the next one. */
  #add(height: number, block: Buffer): void {
    let level = this.#levels[height]
    if (level === undefined) {
      level = { block: Buffer.allocUnsafeSlow(verityBlockSize), fill: 0 }
      this.#levels.push(level)
    }
    if (height === this.#height) this.#height++
    this.#hash(block, level.block, level.fill)
    level.fill += this.#digestSize
    if (level.fill === verityBlockSize) {
      level.fill = 0
      this.#add(height + 1, level.block)
    }
  }

  /** The root is the hash that stands alone on the topmost level; an empty file has zeros. */
  #writeRoot(target: Buffer, offset: number): void {
    target.fill(0, offset, offset + this.#digestSize)
    for (let height = 0; height < this.#height; height++) {
      const level = this.#levels[height]!
      if (height === this.#height - 1 && level.fill === this.#digestSize) {
        level.block.copy(target, offset, 0, this.#digestSize)
        return
      }
      if (level.fill > 0) this.#add(height + 1, level.block.fill(0, level.fill))
    }
  }
}

const hashers = new Map<string, FsVerityHasher>()

/**
 * The fs-verity digest of bytes at hand: the name of the object that holds them.
 *
 * @example
 * ```ts
 * import { fsverityDigest } from 'composefs-streams/fsverity'
 *
 * fsverityDigest('sha256', Buffer.from('hello world')).hex // '1e2eaa4202d750a4…'
 * ```
 */
export function fsverityDigest(
  algorithm: Algorithm,
  bytes: Buffer,
  implementation: HashImplementation = defaultImplementation,
): ObjectId {
  const key = algorithm + implementation
  let hasher = hashers.get(key)
  if (hasher === undefined) {
    hasher = new FsVerityHasher(algorithm, implementation)
    hashers.set(key, hasher)
  }
  hasher.reset()
  hasher.update(bytes)
  return hasher.digest()
}
