import { type Algorithm, fsverityDigest, type ObjectId } from '../../src/fsverity/index.ts'
import type { ObjectSink, ObjectStore } from '../../src/streams/records.ts'

/** A user's store that keeps the very buffers it is given, and copies none. */
export class KeepingStore implements ObjectStore {
  readonly algorithm: Algorithm
  readonly takesIds: boolean
  /** What each object was made of. */
  readonly kept: { id: ObjectId; chunks: Buffer[] }[] = []
  readonly #late: boolean

  constructor(options: { algorithm?: Algorithm; takesIds?: boolean; late?: boolean } = {}) {
    this.algorithm = options.algorithm ?? 'sha256'
    this.takesIds = options.takesIds ?? false
    this.#late = options.late ?? false
  }

  put(bytes: Buffer): ObjectId | Promise<ObjectId> {
    const id = this.#keep([bytes])
    return this.#late ? Promise.resolve(id) : id
  }

  create(): ObjectSink {
    const chunks: Buffer[] = []
    return {
      write: (chunk) => {
        chunks.push(chunk)
        return this.#late ? Promise.resolve() : undefined
      },
      finish: async () => this.#keep(chunks),
      abort: async () => {},
    }
  }

  /** How many objects are not what they were when they came. */
  get changed(): number {
    return this.kept.filter(({ id, chunks }) => !fsverityDigest(this.algorithm, Buffer.concat(chunks)).equals(id))
      .length
  }

  #keep(chunks: Buffer[]): ObjectId {
    const id = fsverityDigest(this.algorithm, Buffer.concat(chunks))
    this.kept.push({ id, chunks })
    return id
  }
}
