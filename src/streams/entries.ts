/**
 * Entries with a body each, for loops.
 *
 * @packageDocumentation
 */
import { Minipass, type PipeOptions } from 'minipass'
import { ComposefsError } from '../errors.ts'
import type { Entry, EntryRecord } from './records.ts'

/** One turn of the loop over {@link entries}. */
export interface EntryWithBody {
  readonly entry: Entry
  /** The contents; empty for anything but files. To be read before the next turn, or not at all. */
  readonly body: Minipass<Buffer>
}

/**
 * Turns entry records into pairs of an entry and its body.
 *
 * Read a body in its own turn (`await body.concat()`, `for await`, `pipe`) or leave it. In the next turn a body that
 * nobody reads is passed over, and reading it later fails instead of giving a part. The source is read no faster than
 * the body. Leaving the loop early destroys the source; an error of the source fails the body and the loop.
 *
 * Errors: those of the source, and `ERR_STREAM_ORDER` where it is no stream of entry records.
 *
 * @example
 * ```ts
 * import { createReadStream } from 'node:fs'
 * import { pipeline } from 'node:stream'
 * import { entries, PaxParser, TarDecoder } from 'composefs-streams/streams'
 *
 * const layer = pipeline(createReadStream('layer.tar'), new TarDecoder(), new PaxParser(), () => {})
 * for await (const { entry, body } of entries(layer)) {
 *   if (entry.path === 'etc/os-release') console.log((await body.concat()).toString())
 * }
 * ```
 */
export async function* entries(source: AsyncIterable<EntryRecord>): AsyncGenerator<EntryWithBody, void, undefined> {
  const records = source[Symbol.asyncIterator]()
  let finished = false
  let body: Body | undefined
  try {
    for (;;) {
      const next = await records.next()
      finished = next.done === true
      if (next.done === true) return
      const record = next.value
      if (record.kind === 'trailer') continue
      if (record.kind !== 'entry') throw outOfOrder(record.kind)
      body = new Body()
      const filled = fill(body, records)
      yield { entry: record.entry, body }
      body.release()
      await filled
    }
  } finally {
    // The loop was left early, or has failed.
    if (!finished) {
      body?.abandon()
      await release(source, records)
    }
  }
}

/** A body that knows whether anybody reads it. */
class Body extends Minipass<Buffer> {
  #piped = false
  #wake: (() => void) | undefined

  constructor() {
    super()
    // An error nobody listens to would be thrown at whoever fills the body; the loop fails with it anyway.
    this.on('error', () => {})
  }

  override pipe<W extends Minipass.Writable>(destination: W, options?: PipeOptions): W {
    this.#piped = true
    return super.pipe(destination, options)
  }

  /** Until more can be taken, or nothing ever will. */
  wanted(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve
      if (this.destroyed) resolve()
      else this.once('drain', resolve)
    })
  }

  /** Minipass calls this when it is destroyed. */
  close(): void {
    this.#wake?.()
  }

  /** The turn is over: lets what is being read flow on, and drops what is not. */
  release(): void {
    if (this.#piped || this.listenerCount('data') > 0) this.resume()
    else this.abandon()
  }

  /** With an error, since waiting for a body that was destroyed without one takes forever. */
  abandon(): void {
    if (this.destroyed || this.emittedEnd) return
    this.destroy(
      new ComposefsError('ERR_STREAM_ORDER', 'the body of an entry was left behind and cannot be read any more', {
        stage: 'entries',
        hint: 'read a body in its own turn of the loop',
      }),
    )
  }
}

/** Writes the records of one body into it. */
function fill(body: Body, records: AsyncIterator<EntryRecord>): Promise<void> {
  const filled = pump(body, records).catch((error: unknown) => {
    body.destroy(error)
    throw error
  })
  // Where the loop is left meanwhile nobody awaits it.
  filled.catch(() => {})
  return filled
}

async function pump(body: Body, records: AsyncIterator<EntryRecord>): Promise<void> {
  for (;;) {
    const next = await records.next()
    if (next.done === true) throw outOfOrder('the end of input')
    const record = next.value
    if (record.kind === 'end') {
      if (!body.destroyed) body.end()
      return
    }
    if (record.kind !== 'data') throw outOfOrder(record.kind)
    if (!body.destroyed && !body.write(record.chunk)) await body.wanted()
  }
}

async function release(source: AsyncIterable<EntryRecord>, records: AsyncIterator<EntryRecord>): Promise<void> {
  // Returning a stream's iterator waits for the read that is under way, which may never come to an end.
  if ('destroy' in source && typeof source.destroy === 'function') source.destroy()
  else await records.return?.()
}

function outOfOrder(kind: string): ComposefsError {
  return new ComposefsError('ERR_STREAM_ORDER', `${kind} came where no entry parser puts it`, {
    stage: 'entries',
    hint: 'give it the output of a PaxParser',
  })
}
