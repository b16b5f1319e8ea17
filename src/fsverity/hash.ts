/**
 * Hashing, over `node:crypto` where it exists and over `@noble/hashes` where it does not.
 *
 * @packageDocumentation
 */
import { sha256, sha512 } from '@noble/hashes/sha2.js'
import { ComposefsError } from '../errors.ts'
import type { Algorithm } from './object-id.ts'

/** Which code hashes. `noble` is portable and about ten times slower. */
export type HashImplementation = 'node' | 'noble'

/** A hash of bytes that come in pieces. */
export interface Hasher {
  update(bytes: Uint8Array): void
  /** Ends the hash. */
  digest(): Buffer
}

/** Hashes `block` and writes the digest into `target` at `offset`. */
export type BlockHash = (block: Uint8Array, target: Buffer, offset: number) => void

type NodeCrypto = typeof import('node:crypto')

const noble = { sha256, sha512 } as const
const nodeCrypto = findNodeCrypto()

/** Not an import: that would fail as a whole where Node was built without OpenSSL, and outside Node. */
function findNodeCrypto(): NodeCrypto | undefined {
  try {
    return globalThis.process?.getBuiltinModule?.('node:crypto')
  } catch {
    return undefined
  }
}

/** `node` wherever `node:crypto` exists. */
export const defaultImplementation: HashImplementation = nodeCrypto === undefined ? 'noble' : 'node'

/**
 * A hash to feed piece by piece.
 *
 * @throws {@link ComposefsError} `ERR_ARGUMENT` if `node` is asked for where there is no `node:crypto`.
 * @example
 * ```ts
 * import { createHasher } from 'composefs-streams/fsverity'
 *
 * const hasher = createHasher('sha256')
 * hasher.update(Buffer.from('hello '))
 * hasher.update(Buffer.from('world'))
 * hasher.digest().toString('hex')
 * ```
 */
export function createHasher(algorithm: Algorithm, implementation: HashImplementation = defaultImplementation): Hasher {
  if (implementation === 'node') return cryptoOf().createHash(algorithm)
  const hash = noble[algorithm].create()
  return {
    update: (bytes) => {
      hash.update(bytes)
    },
    digest: () => Buffer.from(hash.digest()),
  }
}

/** The digest of bytes at hand. Throws as {@link createHasher} does. */
export function hashBlock(algorithm: Algorithm, bytes: Uint8Array, implementation?: HashImplementation): Buffer {
  const hasher = createHasher(algorithm, implementation)
  hasher.update(bytes)
  return hasher.digest()
}

/** The fastest way to hash many small blocks, for hot loops. Throws as {@link createHasher} does. */
export function blockHash(algorithm: Algorithm, implementation: HashImplementation = defaultImplementation): BlockHash {
  if (implementation === 'noble') {
    const hash = noble[algorithm]
    return (block, target, offset) => {
      target.set(hash(block), offset)
    }
  }
  const crypto = cryptoOf()
  // One-shot hashing came with Node 20.12 and 21.7. Digests as latin1 text spare an allocation off the heap.
  if (typeof crypto.hash === 'function') {
    return (block, target, offset) => {
      target.write(crypto.hash(algorithm, block, 'binary'), offset, 'latin1')
    }
  }
  return (block, target, offset) => {
    target.write(crypto.createHash(algorithm).update(block).digest('binary'), offset, 'latin1')
  }
}

function cryptoOf(): NodeCrypto {
  if (nodeCrypto !== undefined) return nodeCrypto
  throw new ComposefsError('ERR_ARGUMENT', 'this runtime has no node:crypto', {
    hint: "choose the implementation 'noble'",
  })
}
