/**
 * Digests computed by another thread, which may write what it hashes as well.
 *
 * @packageDocumentation
 */
import { existsSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import type { DraftRules } from '../native/draft-files.ts'
import { type Algorithm, digestSize, ObjectId } from './object-id.ts'

/** What the thread is asked. */
export interface DigestRequest {
  readonly algorithm: Algorithm
  readonly memory: SharedArrayBuffer
  readonly lengths: readonly number[]
  readonly drafts: WantedDrafts | undefined
}

/** Where bodies are to be written as well, and how many of them: the first ones. */
export interface WantedDrafts extends DraftRules {
  readonly count: number
}

/** What it answers. */
export interface DigestReply {
  readonly digests: Uint8Array
  /** Of the first bodies; -1 where there is no draft. */
  readonly descriptors: Int32Array
}

/** A body that was hashed. */
export interface HashedBody {
  readonly id: ObjectId
  /** Descriptor of a file without a name that holds the body, for its receiver to close; -1 where there is none. */
  readonly draft: number
}

interface Waiting {
  resolve(reply: DigestReply): void
  reject(error: Error): void
}

/** Exists once the package is built: Node cannot start a thread from TypeScript everywhere. */
const script = new URL('./digest-worker.js', import.meta.url)
/** Milliseconds that the thread outlives its last user: the next layer begins soon after. */
const idleTime = 1000

/** The thread behind all {@link DigestThread}s: one keeps up with the thread that reads for all of them. */
class Hasher {
  readonly #worker: Worker
  /** In the order of their questions, which is that of the answers. */
  readonly #waiting: Waiting[] = []
  #users = 0
  #idle: NodeJS.Timeout | undefined
  failure: Error | undefined

  constructor() {
    // Descriptors that it opens are closed by others, and their numbers used again. Options are for the main script.
    this.#worker = new Worker(script, { trackUnmanagedFds: false, execArgv: [] })
    this.#worker.unref()
    this.#worker.on('message', (reply: DigestReply) => {
      this.#waiting.shift()?.resolve(reply)
      if (this.#waiting.length === 0) this.#worker.unref()
    })
    this.#worker.on('error', (error: Error) => this.#fail(error))
    this.#worker.on('exit', () => this.#fail(new Error('the thread that computes digests has ended')))
  }

  ask(request: DigestRequest): Promise<DigestReply> {
    return new Promise((resolve, reject) => {
      if (this.failure !== undefined) throw this.failure
      this.#worker.postMessage(request)
      this.#waiting.push({ resolve, reject })
      this.#worker.ref()
    })
  }

  enter(): void {
    this.#users++
    clearTimeout(this.#idle)
  }

  leave(): void {
    if (--this.#users > 0) return
    this.#idle = setTimeout(() => {
      this.failure ??= new Error('the thread that computes digests has ended')
      void this.#worker.terminate()
    }, idleTime).unref()
  }

  #fail(error: Error): void {
    this.failure ??= error
    for (const { reject } of this.#waiting.splice(0)) reject(error)
  }
}

let shared: Hasher | undefined

/** A use of the thread that computes fs-verity digests. It keeps the process alive only while it owes an answer. */
export class DigestThread {
  readonly #algorithm: Algorithm
  readonly #hasher: Hasher
  #last: Promise<unknown> | undefined
  #closed = false

  private constructor(algorithm: Algorithm, hasher: Hasher) {
    this.#algorithm = algorithm
    this.#hasher = hasher
    hasher.enter()
  }

  /** Starts the thread unless it runs; undefined where there is no script for it or threads are not allowed. */
  static start(algorithm: Algorithm): DigestThread | undefined {
    if (!existsSync(script)) return undefined
    try {
      if (shared === undefined || shared.failure !== undefined) shared = new Hasher()
      return new DigestThread(algorithm, shared)
    } catch {
      return undefined
    }
  }

  /**
   * The digests of bodies that lie one behind the other at the beginning of `memory`, which must not be written to
   * until the answer is there.
   *
   * @param lengths of the bodies, in bytes
   */
  async digest(memory: SharedArrayBuffer, lengths: readonly number[], drafts?: WantedDrafts): Promise<HashedBody[]> {
    const answer = this.#hasher.ask({ algorithm: this.#algorithm, memory, lengths, drafts })
    this.#last = answer
    const { digests, descriptors } = await answer
    const size = digestSize[this.#algorithm]
    return Array.from(lengths, (_, i) => ({
      id: ObjectId.fromBytes(digests.subarray(i * size, (i + 1) * size)),
      draft: descriptors[i] ?? -1,
    }))
  }

  /** Ends the use, once all is answered: files may have been opened that others have to close. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#last?.catch(() => {})
    this.#hasher.leave()
  }
}
