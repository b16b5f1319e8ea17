/**
 * How far a pipeline is.
 *
 * @packageDocumentation
 */
import { type Emit, type Machine, type Mode, Stage } from './stage.ts'

/** One report. */
export interface ProgressEvent {
  /** Bytes that have passed. */
  readonly bytes: number
  /** Bytes in all, where that was known in advance. */
  readonly total?: number
  /** Milliseconds since the stage was made. */
  readonly elapsed: number
}

/** What Progress is told. */
export interface ProgressOptions {
  readonly onProgress: (event: ProgressEvent) => void
  /** Bytes in all, to be repeated in each event. */
  readonly total?: number
  /** Least milliseconds between two events; the last one comes regardless. Default 100. */
  readonly interval?: number
  /** Whether bytes pass, or records of any kind. Default bytes. */
  readonly mode?: Mode
  /** A clock in milliseconds. Default `performance.now`. */
  readonly now?: () => number
}

/** The logic of {@link Progress}: hands on what it gets. */
export class ProgressMachine<T> implements Machine<T, T> {
  readonly #options: ProgressOptions
  readonly #now: () => number
  readonly #start: number
  #last: number
  #bytes = 0

  constructor(options: ProgressOptions) {
    this.#options = options
    this.#now = options.now ?? (() => performance.now())
    this.#start = this.#now()
    this.#last = this.#start
  }

  push(record: T, emit: Emit<T>): void {
    this.#bytes += byteLength(record)
    const now = this.#now()
    if (now - this.#last >= (this.#options.interval ?? 100)) this.#report(now)
    emit(record)
  }

  finish(): void {
    this.#report(this.#now())
  }

  #report(now: number): void {
    const { total, onProgress } = this.#options
    this.#last = now
    onProgress({ bytes: this.#bytes, ...(total !== undefined && { total }), elapsed: now - this.#start })
  }
}

/**
 * Counts the bytes that pass and tells about them now and then, and once at the end. Prints nothing.
 *
 * It may stand anywhere; between record stages (`mode: 'records'`) it counts the bytes that the records carry.
 *
 * @example
 * ```ts
 * import { createReadStream } from 'node:fs'
 * import { Progress, TarDecoder } from 'composefs-streams/streams'
 *
 * const progress = new Progress<Buffer>({ onProgress: ({ bytes }) => process.stderr.write(`\r${bytes}`) })
 * createReadStream('layer.tar').pipe(progress).pipe(new TarDecoder())
 * ```
 */
export class Progress<T = Buffer> extends Stage<T, T> {
  constructor(options: ProgressOptions) {
    const { mode = 'bytes' } = options
    super(new ProgressMachine<T>(options), { input: mode, output: mode })
  }
}

const carriers = ['block', 'chunk', 'bytes', 'padding'] as const
type Carrier = { readonly [key in (typeof carriers)[number]]?: unknown } & { readonly raw?: readonly Uint8Array[] }

function byteLength(record: unknown): number {
  if (record instanceof Uint8Array) return record.length
  if (typeof record !== 'object' || record === null) return 0
  const fields: Carrier = record
  let sum = 0
  for (const key of carriers) {
    const value = fields[key]
    if (value instanceof Uint8Array) sum += value.length
  }
  for (const part of fields.raw ?? []) sum += part.length
  return sum
}
