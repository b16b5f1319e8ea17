/**
 * From a synchronous machine to a Node Transform.
 *
 * @packageDocumentation
 */
import { Transform, type TransformCallback } from 'node:stream'
import { ComposefsError } from '../errors.ts'

/** Hands one output record on. */
export type Emit<Out> = (record: Out) => void

/**
 * The logic of a stage without any I/O: everything it does happens inside the two calls. It throws to fail.
 *
 * A record may be a view of the chunk it came from: who keeps one beyond the call copies it.
 */
export interface Machine<In, Out> {
  push(input: In, emit: Emit<Out>): void
  /** The input has ended. */
  finish(emit: Emit<Out>): void
}

/** Whether a side of a stage carries bytes (Buffers) or records (objects). */
export type Mode = 'bytes' | 'records'

/** A Transform whose input and output types are known: what the typed `pipeline` checks. */
export interface TypedTransform<In, Out> extends Transform {
  /** For the compiler alone. */
  readonly '~shape'?: ((input: In) => Out) | undefined
}

/** How many records may wait between two stages before the source is paused: each may hold a chunk of the input. */
export const recordHighWaterMark = 16

/**
 * A Transform around a {@link Machine}. All stages of this package whose work is synchronous extend it; `In` and `Out`
 * exist for the typed {@link pipeline}.
 */
export class Stage<In, Out> extends Transform implements TypedTransform<In, Out> {
  declare readonly '~shape'?: ((input: In) => Out) | undefined
  /** The logic itself, for {@link fuse} and for use without streams. */
  readonly machine: Machine<In, Out>
  readonly inputMode: Mode
  readonly outputMode: Mode
  readonly #emit: Emit<Out>

  constructor(machine: Machine<In, Out>, modes: { input: Mode; output: Mode }) {
    super({
      writableObjectMode: modes.input === 'records',
      readableObjectMode: modes.output === 'records',
      ...(modes.input === 'records' && { writableHighWaterMark: recordHighWaterMark }),
      ...(modes.output === 'records' && { readableHighWaterMark: recordHighWaterMark }),
    })
    this.machine = machine
    this.inputMode = modes.input
    this.outputMode = modes.output
    this.#emit = (record) => {
      this.push(record)
    }
  }

  override _transform(chunk: In, _encoding: BufferEncoding, callback: TransformCallback): void {
    try {
      if (this.inputMode === 'records') assertRecord(chunk, this.constructor.name)
      this.machine.push(chunk, this.#emit)
    } catch (error) {
      callback(error as Error)
      return
    }
    callback()
  }

  override _flush(callback: TransformCallback): void {
    try {
      this.machine.finish(this.#emit)
    } catch (error) {
      callback(error as Error)
      return
    }
    callback()
  }
}

/** Plain JavaScript may put stages into any order: bytes would be passed over without a word. */
export function assertRecord(chunk: unknown, stage: string): void {
  if (typeof chunk !== 'string' && !(chunk instanceof Uint8Array)) return
  throw new ComposefsError('ERR_STREAM_ORDER', `${stage} takes records, and bytes came`, {
    stage,
    hint: 'put the stage that makes records of bytes before it: a TarDecoder, a reader',
  })
}

/** A Transform of known types whose work takes I/O. The constructor takes what that of `Transform` takes. */
export abstract class AsyncStage<In, Out> extends Transform implements TypedTransform<In, Out> {
  declare readonly '~shape'?: ((input: In) => Out) | undefined
}
