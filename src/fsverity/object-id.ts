/**
 * Object ids: fs-verity digests as values.
 *
 * @packageDocumentation
 */
import { ComposefsError } from '../errors.ts'

/** The hash of a repository. Digests have 32 (sha256) or 64 (sha512) bytes. */
export type Algorithm = 'sha256' | 'sha512'

/** Bytes of one digest. */
export const digestSize = { sha256: 32, sha512: 64 } as const

/** The algorithm numbers of the kernel's `FS_VERITY_HASH_ALG_*`, also used in splitstreams and metacopy xattrs. */
export const algorithmNumber = { sha256: 1, sha512: 2 } as const

/**
 * The fs-verity digest of an object: its name in the store. A value: equal ids have equal `hex`.
 *
 * @example
 * ```ts
 * import { ObjectId } from 'composefs-streams/fsverity'
 *
 * const id = ObjectId.fromHex('1e2eaa4202d750a41174ee454970b92c1bc2f925b1e35076d8c7d5f56362ba64')
 * id.path // '1e/2eaa4202…'
 * id.toString() // 'sha256:1e2eaa42…'
 * ```
 */
export class ObjectId {
  /** Lower-case hex, 64 or 128 digits. */
  readonly hex: string

  private constructor(hex: string) {
    this.hex = hex
  }

  get algorithm(): Algorithm {
    return this.hex.length === 64 ? 'sha256' : 'sha512'
  }

  /** The raw digest, 32 or 64 bytes (a fresh Buffer). */
  get bytes(): Buffer {
    return Buffer.from(this.hex, 'hex')
  }

  /** Path below the object store: two digits, a slash, the rest. */
  get path(): string {
    return `${this.hex.slice(0, 2)}/${this.hex.slice(2)}`
  }

  equals(other: ObjectId): boolean {
    return this.hex === other.hex
  }

  /** `sha256:HEX` or `sha512:HEX`. */
  toString(): string {
    return `${this.algorithm}:${this.hex}`
  }

  toJSON(): string {
    return this.hex
  }

  /** @throws {@link ComposefsError} `ERR_DIGEST_SYNTAX` unless 64 or 128 lower-case hex digits are given. */
  static fromHex(hex: string): ObjectId {
    if (!/^(?:[0-9a-f]{64}|[0-9a-f]{128})$/.test(hex)) {
      throw new ComposefsError('ERR_DIGEST_SYNTAX', `not an object id: ${JSON.stringify(hex.slice(0, 140))}`, {
        hint: 'an object id is 64 (sha256) or 128 (sha512) lower-case hex digits',
      })
    }
    return new ObjectId(hex)
  }

  /** @throws {@link ComposefsError} `ERR_DIGEST_SYNTAX` unless 32 or 64 bytes are given. */
  static fromBytes(bytes: Uint8Array): ObjectId {
    const hex = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
    return bytes.length === 32 || bytes.length === 64 ? new ObjectId(hex) : ObjectId.fromHex(hex)
  }

  /** Reads `sha256:HEX`, `sha512:HEX` or bare hex. @throws {@link ComposefsError} `ERR_DIGEST_SYNTAX` */
  static parse(text: string): ObjectId {
    const match = /^(?:(sha256|sha512):)?([0-9a-f]+)$/.exec(text)
    const id = ObjectId.fromHex(match?.[2] ?? text)
    if (match?.[1] !== undefined && match[1] !== id.algorithm) {
      throw new ComposefsError('ERR_DIGEST_SYNTAX', `the digest has the wrong length for ${match[1]}: ${text}`, {
        expected: 2 * digestSize[match[1] as Algorithm],
        actual: id.hex.length,
        hint: 'sha256 has 64 hex digits, sha512 has 128',
      })
    }
    return id
  }

  /** Reads a path below the object store (`XX/REST`), or undefined where it is none. */
  static fromPath(path: string): ObjectId | undefined {
    return /^[0-9a-f]{2}\/(?:[0-9a-f]{62}|[0-9a-f]{126})$/.test(path)
      ? new ObjectId(path.slice(0, 2) + path.slice(3))
      : undefined
  }
}
