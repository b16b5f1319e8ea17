/**
 * One pass into several branches.
 *
 * @packageDocumentation
 */
import { finished, Writable } from 'node:stream'
import { ComposefsError } from '../errors.ts'
import { type Sink, watchResult } from './pipeline.ts'
import { recordHighWaterMark, type TypedTransform } from './stage.ts'

/** Where records go: a sink, or a stage whose output is read elsewhere. */
export type Branch<In> = Sink<In, unknown> | TypedTransform<In, unknown> | Writable

/** What one branch takes. */
type Taken<B> = '~takes' extends keyof B
  ? NonNullable<B['~takes']> extends (input: infer In) => void
    ? In
    : unknown
  : '~shape' extends keyof B
    ? NonNullable<B['~shape']> extends (input: infer In) => unknown
      ? In
      : unknown
    : unknown

/** What all of them take. */
type TakenByAll<Branches extends readonly unknown[]> = {
  [I in keyof Branches]: (input: Taken<Branches[I]>) => void
}[number] extends (input: infer In) => void
  ? In
  : unknown

type Results<Branches extends readonly Branch<never>[]> = {
  -readonly [I in keyof Branches]: Branches[I] extends { readonly result: Promise<infer R> } ? R : undefined
}

/**
 * A sink that writes every record into each of the branches, as fast as the slowest takes them. An error of one branch
 * destroys all, and so does one that ends early (`ERR_STREAM_ORDER`). The result is that of each branch (`undefined` for one that has none), in their order.
 *
 * Branches share the records: none may change them.
 *
 * @example
 * ```ts
 * import { tee } from 'composefs-streams/streams'
 * import { SplitstreamSink, TreeSink } from 'composefs-streams/sinks'
 * import type { ObjectStore } from 'composefs-streams/streams'
 *
 * const both = (store: ObjectStore) => tee(new SplitstreamSink(store), new TreeSink())
 * ```
 */
export function tee<const Branches extends readonly Branch<never>[]>(
  ...branches: Branches
): Sink<TakenByAll<Branches>, Results<Branches>> {
  return new Tee<Results<Branches>>(branches) as Sink<TakenByAll<Branches>, Results<Branches>>
}

class Tee<Result> extends Writable {
  readonly result: Promise<Result>
  readonly #branches: readonly Writable[]
  #ending = false

  constructor(branches: readonly Branch<never>[]) {
    super({ objectMode: true, highWaterMark: recordHighWaterMark })
    this.#branches = branches as readonly Writable[]
    const results = branches.map((branch) => ('result' in branch ? branch.result : undefined))
    this.result = new Promise<Result>((resolve, reject) => {
      finished(this, { readable: false }, (error) => {
        if (error) reject(error)
        else resolve(Promise.all(results) as Promise<unknown> as Promise<Result>)
      })
    })
    // Whoever drives the pipeline learns of the error there; the result need not be looked at.
    this.result.catch(() => {})
    for (const branch of this.#branches) {
      watchResult(branch)
      finished(branch, { readable: false }, (error) => {
        if (error) this.destroy(error)
        else if (!this.#ending) this.destroy(endedTooEarly())
      })
    }
  }

  override _write(record: unknown, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    // Such a branch would never ask for more.
    if (this.#branches.some((branch) => branch.destroyed || branch.writableEnded)) {
      callback(endedTooEarly())
      return
    }
    let waiting = 0
    const drained = (): void => {
      if (--waiting === 0) callback()
    }
    const full = this.#branches.filter((branch) => !branch.write(record))
    if (full.length === 0) {
      callback()
      return
    }
    waiting = full.length
    for (const branch of full) branch.once('drain', drained)
  }

  override _final(callback: (error?: Error | null) => void): void {
    this.#ending = true
    let open = this.#branches.length
    if (open === 0) callback()
    for (const branch of this.#branches) {
      finished(branch, { readable: false }, (error) => {
        if (error) callback(error)
        else if (--open === 0) callback()
      })
      branch.end()
    }
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    for (const branch of this.#branches) if (!branch.writableFinished) branch.destroy(error ?? undefined)
    callback(error)
  }
}

function endedTooEarly(): ComposefsError {
  return new ComposefsError('ERR_STREAM_ORDER', 'a branch was ended or destroyed before everything was written', {
    stage: 'tee',
  })
}
