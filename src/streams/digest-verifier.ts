/**
 * Bytes that are what they were promised to be, or an error.
 *
 * @packageDocumentation
 */
import { ComposefsError } from '../errors.ts'
import { createHasher, type Hasher } from '../fsverity/hash.ts'
import type { Algorithm } from '../fsverity/object-id.ts'
import { type Emit, type Machine, Stage } from './stage.ts'

/** What is known about the bytes in advance; nothing has to be. */
export interface DigestVerifierOptions {
  /** `sha256:HEX` or `sha512:HEX`, as in OCI manifests. */
  readonly digest?: string
  /** Bytes in all. */
  readonly size?: number
  /** The hash where no digest is given. Default sha256. */
  readonly algorithm?: Algorithm
  /** What the bytes are, for messages: `layer 2 of 5`. */
  readonly name?: string
}

/** The logic of {@link DigestVerifier}. */
export class DigestVerifierMachine implements Machine<Buffer, Buffer> {
  readonly #options: DigestVerifierOptions
  readonly #algorithm: Algorithm
  readonly #hasher: Hasher
  #size = 0
  #digest: string | undefined

  /** @throws {@link ComposefsError} `ERR_DIGEST_SYNTAX`, `ERR_ARGUMENT` for a size that is none. */
  constructor(options: DigestVerifierOptions = {}) {
    if (typeof options !== 'object') {
      throw new ComposefsError('ERR_ARGUMENT', 'a verifier takes options', {
        stage,
        hint: 'write { digest: "sha256:…" }',
      })
    }
    const { digest, size, algorithm = 'sha256' } = options
    const match = digest === undefined ? undefined : /^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/.exec(digest)
    if (match === null) {
      throw new ComposefsError('ERR_DIGEST_SYNTAX', `not a digest: ${JSON.stringify(digest?.slice(0, 140))}`, {
        stage,
        hint: 'a digest is sha256: and 64, or sha512: and 128, lower-case hex digits',
      })
    }
    if (size !== undefined && !(Number.isSafeInteger(size) && size >= 0)) {
      throw new ComposefsError('ERR_ARGUMENT', `not a size in bytes: ${size}`, { stage })
    }
    this.#options = options
    this.#algorithm = match === undefined ? algorithm : match[1]!.startsWith('sha256') ? 'sha256' : 'sha512'
    this.#hasher = createHasher(this.#algorithm)
  }

  /** The digest of all bytes, once they have passed; undefined before. */
  get digest(): string | undefined {
    return this.#digest
  }

  /** Bytes that have passed. */
  get size(): number {
    return this.#size
  }

  push(chunk: Buffer, emit: Emit<Buffer>): void {
    const size = this.#size + chunk.length
    if (size > (this.#options.size ?? Number.POSITIVE_INFINITY)) throw this.#wrongSize(size, 'more')
    this.#size = size
    this.#hasher.update(chunk)
    emit(chunk)
  }

  finish(): void {
    const { digest, size = this.#size } = this.#options
    if (this.#size < size) throw this.#wrongSize(this.#size, 'fewer')
    const actual = `${this.#algorithm}:${this.#hasher.digest().toString('hex')}`
    if (digest !== undefined && actual !== digest) {
      throw new ComposefsError('ERR_DIGEST_MISMATCH', `the bytes${this.#of()} do not have the promised digest`, {
        stage,
        expected: digest,
        actual,
        hint: 'they were changed on the way or at their source; fetch them again, and do not use these',
      })
    }
    this.#digest = actual
  }

  #wrongSize(actual: number, relation: 'more' | 'fewer'): ComposefsError {
    const expected = this.#options.size!
    return new ComposefsError('ERR_SIZE_MISMATCH', `there are ${relation} bytes${this.#of()} than promised`, {
      stage,
      expected,
      actual: relation === 'more' ? `at least ${actual}` : actual,
      hint: relation === 'more' ? 'the source sends something else' : 'the transfer was cut off; fetch them again',
    })
  }

  #of(): string {
    return this.#options.name === undefined ? '' : ` of ${this.#options.name}`
  }
}

/**
 * Passes bytes on and hashes them. It ends only if digest and size are as promised, and fails at the first byte too
 * many, so nothing downstream ever sees a complete stream of wrong bytes. Without promises it measures.
 *
 * Errors: `ERR_DIGEST_MISMATCH`, `ERR_SIZE_MISMATCH` (with `expected` and `actual`).
 *
 * @example
 * ```ts
 * import { createReadStream } from 'node:fs'
 * import { pipeline } from 'node:stream/promises'
 * import { DigestVerifier } from 'composefs-streams/streams'
 *
 * const meter = new DigestVerifier()
 * await pipeline(createReadStream('layer.tar'), meter.resume())
 * meter.digest // 'sha256:…'
 * ```
 */
export class DigestVerifier extends Stage<Buffer, Buffer> {
  readonly #verifier: DigestVerifierMachine

  constructor(options: DigestVerifierOptions = {}) {
    const machine = new DigestVerifierMachine(options)
    super(machine, { input: 'bytes', output: 'bytes' })
    this.#verifier = machine
  }

  /** The digest of all bytes, once they have passed and were right; undefined before. */
  get digest(): string | undefined {
    return this.#verifier.digest
  }

  /** Bytes that have passed. */
  get size(): number {
    return this.#verifier.size
  }
}

const stage = 'DigestVerifier'
