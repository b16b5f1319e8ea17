/**
 * Bodies of answers, bounded in size and in patience.
 *
 * @packageDocumentation
 */
import { failure, networkFailure, type Subject, stalled } from './failures.ts'
import type { Response } from './transport.ts'

/** Bytes of a body that is of little interest. */
const maxExcerpt = 64 * 1024

/**
 * The chunks of a body. Who waits longer than `idleTimeout` for one gives up; who takes his time between two does not.
 *
 * @throws `Retryable` with `ERR_REGISTRY_STALLED` or `ERR_REGISTRY_UNREACHABLE`; an `AbortError`
 */
export async function* bodyChunks(
  { body }: Response,
  idleTimeout: number,
  subject: Subject,
  host: string,
  signal?: AbortSignal,
): AsyncGenerator<Buffer, void, undefined> {
  let late = false
  let waiting = true
  const timer = setTimeout(() => {
    if (!waiting) return
    late = true
    body.destroy()
  }, idleTimeout)
  const chunks = body[Symbol.asyncIterator]() as AsyncIterator<Buffer>
  try {
    for (;;) {
      waiting = true
      timer.refresh()
      const { done, value } = await chunks.next()
      waiting = false
      if (done) break
      yield value
    }
    if (late) throw stalled(host, subject)
  } catch (error) {
    signal?.throwIfAborted()
    if (late) throw stalled(host, subject)
    throw networkFailure(error, new URL(`http://${host}`), subject)
  } finally {
    clearTimeout(timer)
    // Its end is of no interest: an error that comes now has nobody to hear it.
    body.on('error', () => {}).destroy()
  }
}

/**
 * A whole body.
 *
 * @throws `ERR_REGISTRY_PROTOCOL` beyond `limit` bytes; what {@link bodyChunks} throws
 */
export async function readBounded(
  response: Response,
  limit: number,
  idleTimeout: number,
  subject: Subject,
  host: string,
  signal?: AbortSignal,
): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of bodyChunks(response, idleTimeout, subject, host, signal)) {
    size += chunk.length
    if (size > limit) {
      throw failure(
        'ERR_REGISTRY_PROTOCOL',
        subject,
        `the answer of ${host} is larger than the limit of ${limit} bytes`,
      )
    }
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/** The beginning of a body that tells about an error; whatever goes wrong with it matters less than that error. */
export async function readExcerpt(response: Response, idleTimeout: number, subject: Subject): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  try {
    for await (const chunk of bodyChunks(response, Math.min(idleTimeout, 5_000), subject, 'the registry')) {
      chunks.push(chunk)
      size += chunk.length
      if (size > maxExcerpt) break
    }
  } catch {
    // What came so far may do.
  }
  return Buffer.concat(chunks).toString('utf8')
}

/** Reads away a body that nobody wants, if it is short: its connection serves the next request then. */
export function discard({ body }: Response): void {
  body.dump({ limit: maxExcerpt }).catch(() => {})
}
