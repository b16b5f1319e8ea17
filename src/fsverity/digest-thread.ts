/**
 * Digests computed by another thread.
 *
 * @packageDocumentation
 */
import { existsSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import { type Algorithm, digestSize, ObjectId } from './object-id.ts'

/** What the thread is asked. */
export interface DigestRequest {
  readonly algorithm: Algorithm
  readonly memory: SharedArrayBuffer
  readonly lengths: readonly number[]
}

interface Waiting {
  resolve(ids: ObjectId[]): void
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

  private constructor(algorithm: Algorithm, worker: Worker) {
    this.#algorithm = algorithm
    this.#worker = worker
    worker.on('message', (digests: Uint8Array) => this.#waiting.shift()?.resolve(split(digests, digestSize[algorithm])))
    worker.on('error', (error: Error) => this.#fail(error))
    worker.on('exit', () => this.#fail(new Error('the thread that computes digests has ended')))
  }

  /** Starts a thread; undefined where there is no script for it or threads are not allowed. */
  static start(algorithm: Algorithm): DigestThread | undefined {
    if (!existsSync(script)) return undefined
    try {
      return new DigestThread(algorithm, new Worker(script))
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
  digest(memory: SharedArrayBuffer, lengths: readonly number[]): Promise<ObjectId[]> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject })
      const request: DigestRequest = { algorithm: this.#algorithm, memory, lengths }
      this.#worker.postMessage(request)
    })
  }

  /** Ends the thread; what it still owes is rejected. */
  async close(): Promise<void> {
    await this.#worker.terminate()
  }

  #fail(error: Error): void {
    this.#failure ??= error
    for (const { reject } of this.#waiting.splice(0)) reject(error)
  }
}

function split(digests: Uint8Array, size: number): ObjectId[] {
  return Array.from({ length: digests.length / size }, (_, i) =>
    ObjectId.fromBytes(digests.subarray(i * size, (i + 1) * size)),
  )
}
