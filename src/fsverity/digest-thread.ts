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
  resolve(bodies: HashedBody[]): void
  reject(error: Error): void
}

/** Exists once the package is built: Node cannot start a thread from TypeScript everywhere. */
const script = new URL('./digest-worker.js', import.meta.url)

/** A thread that computes fs-verity digests. It does not keep the process alive, but end it all the same. */
export class DigestThread {
  readonly #algorithm: Algorithm
  readonly #worker: Worker
  /** In the order of their questions, which is that of the answers. */
  readonly #waiting: Waiting[] = []
  #failure: Error | undefined
  #last: Promise<unknown> | undefined

  private constructor(algorithm: Algorithm, worker: Worker) {
    this.#algorithm = algorithm
    this.#worker = worker
    worker.on('message', (reply: DigestReply) => this.#answer(reply))
    worker.on('error', (error: Error) => this.#fail(error))
    worker.on('exit', () => this.#fail(new Error('the thread that computes digests has ended')))
  }

  /** Starts a thread; undefined where there is no script for it or threads are not allowed. */
  static start(algorithm: Algorithm): DigestThread | undefined {
    if (!existsSync(script)) return undefined
    try {
      // Descriptors that it opens are closed by others, and their numbers used again.
      return new DigestThread(algorithm, new Worker(script, { trackUnmanagedFds: false }))
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
  digest(memory: SharedArrayBuffer, lengths: readonly number[], drafts?: WantedDrafts): Promise<HashedBody[]> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    const answer = new Promise<HashedBody[]>((resolve, reject) => {
      this.#waiting.push({ resolve, reject })
      const request: DigestRequest = { algorithm: this.#algorithm, memory, lengths, drafts }
      this.#worker.postMessage(request)
    })
    this.#last = answer
    return answer
  }

  /** Ends the thread, once it has answered: it may have opened files that others have to close. */
  async close(): Promise<void> {
    await this.#last?.catch(() => {})
    await this.#worker.terminate()
  }

  #answer({ digests, descriptors }: DigestReply): void {
    const size = digestSize[this.#algorithm]
    const bodies = Array.from({ length: digests.length / size }, (_, i) => ({
      id: ObjectId.fromBytes(digests.subarray(i * size, (i + 1) * size)),
      draft: descriptors[i] ?? -1,
    }))
    this.#waiting.shift()?.resolve(bodies)
  }

  #fail(error: Error): void {
    this.#failure ??= error
    for (const { reject } of this.#waiting.splice(0)) reject(error)
  }
}
