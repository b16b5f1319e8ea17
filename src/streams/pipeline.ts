/**
 * `pipeline` that knows what each stage takes and gives.
 *
 * @packageDocumentation
 */
import type { Readable, Writable } from 'node:stream'
import { pipeline as nodePipeline } from 'node:stream/promises'
import type { TypedTransform } from './stage.ts'

/** The end of a pipeline, which makes something of what it takes. */
export interface Sink<In, Result> extends Writable {
  /** For the compiler alone. */
  readonly '~takes'?: (input: In) => void
  /** Settles once everything was taken and the thing is made; rejects if the sink fails or is destroyed before. */
  readonly result: Promise<Result>
}

/** What a pipeline can begin with. */
export type Source<Out> = Readable | AsyncIterable<Out> | Iterable<Out>

/** Options of {@link pipeline}. */
export interface PipelineOptions {
  /** Destroys every stage; the promise rejects with an `AbortError`. */
  readonly signal?: AbortSignal
}

type T<In, Out> = TypedTransform<In, Out>

/**
 * Node's `pipeline`, for stages in an order that fits: a stage that cannot take what the one before gives does not
 * compile. Resolves to the sink's result. Every stage is destroyed when one fails.
 *
 * @throws the error of whichever stage failed first
 * @example
 * ```ts
 * import { createReadStream } from 'node:fs'
 * import { DumpfileReader, pipeline } from 'composefs-streams/streams'
 * import { TreeSink } from 'composefs-streams/sinks'
 *
 * const fileSystem = await pipeline(createReadStream('image.dump'), new DumpfileReader(), new TreeSink())
 * ```
 */
export function pipeline<A, R>(source: Source<A>, sink: Sink<A, R>, options?: PipelineOptions): Promise<R>
export function pipeline<A, B, R>(s: Source<A>, a: T<A, B>, sink: Sink<B, R>, options?: PipelineOptions): Promise<R>
export function pipeline<A, B, C, R>(
  source: Source<A>,
  a: T<A, B>,
  b: T<B, C>,
  sink: Sink<C, R>,
  options?: PipelineOptions,
): Promise<R>
export function pipeline<A, B, C, D, R>(
  source: Source<A>,
  a: T<A, B>,
  b: T<B, C>,
  c: T<C, D>,
  sink: Sink<D, R>,
  options?: PipelineOptions,
): Promise<R>
export function pipeline<A, B, C, D, E, R>(
  source: Source<A>,
  a: T<A, B>,
  b: T<B, C>,
  c: T<C, D>,
  d: T<D, E>,
  sink: Sink<E, R>,
  options?: PipelineOptions,
): Promise<R>
export function pipeline<A, B, C, D, E, F, R>(
  source: Source<A>,
  a: T<A, B>,
  b: T<B, C>,
  c: T<C, D>,
  d: T<D, E>,
  e: T<E, F>,
  sink: Sink<F, R>,
  options?: PipelineOptions,
): Promise<R>
export function pipeline<A, B, C, D, E, F, G, R>(
  source: Source<A>,
  a: T<A, B>,
  b: T<B, C>,
  c: T<C, D>,
  d: T<D, E>,
  e: T<E, F>,
  f: T<F, G>,
  sink: Sink<G, R>,
  options?: PipelineOptions,
): Promise<R>
export async function pipeline(source: Source<unknown>, ...rest: unknown[]): Promise<unknown> {
  const last = rest.at(-1) as Writable | PipelineOptions
  const options = 'write' in last ? {} : (rest.pop() as PipelineOptions)
  const sink = rest.at(-1) as Sink<unknown, unknown>
  const { signal } = options
  await nodePipeline([source, ...rest] as unknown as NodeJS.ReadWriteStream[], signal === undefined ? {} : { signal })
  return sink.result
}
