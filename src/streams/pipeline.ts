/**
 * `pipeline` that knows what each stage takes and gives.
 *
 * @packageDocumentation
 */
import type { Readable, Writable } from 'node:stream'
import { pipeline as nodePipeline } from 'node:stream/promises'
import { ComposefsError } from '../errors.ts'
import type { TypedTransform } from './stage.ts'

/** The end of a pipeline, which makes something of what it takes. */
export interface Sink<In, Result> extends Writable {
  /** For the compiler alone. */
  readonly '~takes'?: ((input: In) => void) | undefined
  /** Settles once everything was taken and the thing is made; rejects if the sink fails or is destroyed before. */
  readonly result: Promise<Result>
}

/** What a pipeline can begin with. */
export type Source<Out> = Readable | AsyncIterable<Out> | Iterable<Out>

/** What can stand between source and sink: a stage, or an async generator, which says what it takes. */
export type Step<In, Out> = TypedTransform<In, Out> | ((source: AsyncIterable<In>) => AsyncIterable<Out>)

/** Options of {@link pipeline}. */
export interface PipelineOptions {
  /** Destroys every stage; the promise rejects with an `AbortError`. */
  readonly signal?: AbortSignal | undefined
}

/** Steps that give `Outs`, one after the other: each takes what the one before it gives. */
type Steps<Outs extends readonly unknown[], First> = {
  [I in keyof Outs]: Step<Given<[First, ...Outs], I>, Outs[I]>
}
/** What a step is given: `[First, ...Outs][I]` stands before `Outs[I]`. */
export type Given<All extends readonly unknown[], I> = I extends keyof All ? Known<All[I]> : never
/** What comes out at the end. */
export type Last<All extends readonly unknown[]> = All extends readonly [...unknown[], infer Out] ? Known<Out> : never
/** What came out of who knows what may go into anything. */
type Known<T> = unknown extends T ? never : T

/**
 * Node's `pipeline`, for stages in an order that fits: a stage that cannot take what the one before gives does not
 * compile. Resolves to the sink's result. Every stage is destroyed when one fails, or when the result is rejected.
 *
 * Any number of stages, and async generators between them; the parameter of one needs its type.
 *
 * @throws the error of whichever stage failed first; {@link ComposefsError} `ERR_ARGUMENT` where the last is no sink
 * @example
 * ```ts
 * import { createReadStream } from 'node:fs'
 * import { type DumpRecord, DumpfileReader, pipeline } from 'composefs-streams/streams'
 * import { TreeSink } from 'composefs-streams/sinks'
 *
 * async function* count(records: AsyncIterable<DumpRecord>) {
 *   let lines = 0
 *   for await (const record of records) {
 *     lines++
 *     yield record
 *   }
 *   console.log(lines)
 * }
 * const fileSystem = await pipeline(createReadStream('image.dump'), new DumpfileReader(), count, new TreeSink())
 * ```
 */
export function pipeline<A, const Outs extends readonly unknown[], R>(
  source: Source<A>,
  ...rest: [...Steps<Outs, A>, Sink<Last<[A, ...Outs]>, R>, PipelineOptions | undefined]
): Promise<R>
export function pipeline<A, const Outs extends readonly unknown[], R>(
  source: Source<A>,
  ...rest: [...Steps<Outs, A>, Sink<Last<[A, ...Outs]>, R>]
): Promise<R>
export async function pipeline(source: Source<unknown>, ...rest: unknown[]): Promise<unknown> {
  const options = isStream(rest.at(-1)) ? undefined : (rest.pop() as PipelineOptions | null | undefined)
  const sink = rest.at(-1) as Sink<unknown, unknown>
  if (!isStream(sink) || !('result' in sink)) {
    throw new ComposefsError('ERR_ARGUMENT', 'a pipeline needs a sink at its end', {
      stage: 'pipeline',
      hint: 'the last argument is the options, the one before it the sink',
    })
  }
  watchResult(sink)
  const signal = options?.signal
  await nodePipeline([source, ...rest] as unknown as NodeJS.ReadWriteStream[], signal === undefined ? {} : { signal })
  return sink.result
}

/**
 * Ends a sink whose result is rejected before it has taken everything: it might never ask for more. Since the rejection
 * is looked at here, it does not end the process where another stage fails first and nobody asks for the result.
 */
export function watchResult(sink: Writable & { readonly result?: unknown }): void {
  Promise.resolve(sink.result).catch((error: Error) => {
    if (!sink.writableFinished) sink.destroy(error)
  })
}

function isStream(value: unknown): value is Writable {
  return typeof (value as Partial<Writable> | null | undefined)?.write === 'function'
}
