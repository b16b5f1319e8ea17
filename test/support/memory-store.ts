import { type Algorithm, fsverityDigest, type ObjectId } from '../../src/fsverity/index.ts'
import type { ObjectSink, ObjectStore } from '../../src/streams/records.ts'

/** What a {@link MemoryStore} can be told. */
export interface MemoryStoreOptions {
  readonly algorithm?: Algorithm
  /** Answers with promises, after so many milliseconds. */
  readonly delay?: (size: number) => number
  /** Fails instead of storing. */
  readonly fail?: (bytes: Buffer) => Error | undefined
}

/** An object store without a disk, which counts what is asked of it. */
export class MemoryStore implements ObjectStore {
  readonly algorithm: Algorithm
  readonly objects: Map<string, Buffer> = new Map()
  /** Sinks that were created, finished and aborted. */
  readonly sinks: { created: number; finished: number; aborted: number } = { created: 0, finished: 0, aborted: 0 }
  busy = 0
  mostBusy = 0
  readonly #options: MemoryStoreOptions

  constructor(options: MemoryStoreOptions = {}) {
    this.algorithm = options.algorithm ?? 'sha256'
    this.#options = options
  }

  put(bytes: Buffer): ObjectId | Promise<ObjectId> {
    return this.#options.delay === undefined ? this.#store(bytes) : this.#later(bytes)
  }

  create(size: number): ObjectSink {
    this.sinks.created++
    const chunks: Buffer[] = []
    return {
      write: async (chunk) => {
        chunks.push(Buffer.from(chunk))
        if (this.#options.delay !== undefined) await sleep(0)
      },
      finish: async () => {
        const bytes = Buffer.concat(chunks)
        if (bytes.length !== size) throw new Error(`${bytes.length} bytes instead of ${size}`)
        const id = await this.put(bytes)
        this.sinks.finished++
        return id
      },
      abort: async () => {
        this.sinks.aborted++
      },
    }
  }

  #store(bytes: Buffer): ObjectId {
    const error = this.#options.fail?.(bytes)
    if (error !== undefined) throw error
    const id = fsverityDigest(this.algorithm, bytes)
    this.objects.set(id.hex, Buffer.from(bytes))
    return id
  }

  async #later(bytes: Buffer): Promise<ObjectId> {
    this.busy++
    this.mostBusy = Math.max(this.mostBusy, this.busy)
    await sleep(this.#options.delay!(bytes.length))
    this.busy--
    return this.#store(bytes)
  }
}

function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds))
}
