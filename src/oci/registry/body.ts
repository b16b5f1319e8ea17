/**
 * Bodies of answers, bounded in size and in patience.
 *
 * @packageDocumentation
 */
import { encodingOf, unpackSmall } from './content-encoding.ts'
import { failure, networkFailure, type Subject, stalled } from './failures.ts'
import type { Patience, Response } from './transport.ts'

/** Bytes of a body that is of little interest. */
const maxExcerpt = 64 * 1024

/**
 * The chunks of a body. Whoever waits for `idleTimeout`, all in all, while less than `leastBytes` come gives up; who takes
 * his time between two chunks does not.
 *
 * @throws `Retryable` with `ERR_REGISTRY_STALLED` or `ERR_REGISTRY_UNREACHABLE`; an `AbortError`
 */
export async function* bodyChunks(
  { body }: Response,
  { idleTimeout, leastBytes }: Patience,
  subject: Subject,
  host: string,
  signal?: AbortSignal,
): AsyncGenerator<Buffer, void, undefined> {
  let late = false
  /** Milliseconds that we waited since enough came, and what came in them. */
  let waited = 0
  let came = 0
  let waiting = false
  const giveUp = (): void => {
    if (!waiting) return
    late = true
    body.destroy()
  }
  let patience = idleTimeout
  let timer = setTimeout(giveUp, patience)
  const chunks = body[Symbol.asyncIterator]() as AsyncIterator<Buffer>
  try {
    for (;;) {
      const asked = performance.now()
      const left = Math.max(1, idleTimeout - waited)
      if (left === patience) timer.refresh()
      else {
        clearTimeout(timer)
        patience = left
        timer = setTimeout(giveUp, patience)
      }
      waiting = true
      const { done, value } = await chunks.next()
      waiting = false
      if (done) break
      came += value.length
      waited += performance.now() - asked
      if (came >= leastBytes) waited = came = 0
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
 * A whole body of JSON, unpacked where somebody on the way packed it.
 *
 * @throws `ERR_REGISTRY_PROTOCOL` beyond `limit` bytes; what {@link bodyChunks} throws
 */
export async function readBounded(
  response: Response,
  limit: number,
  patience: Patience,
  subject: Subject,
  host: string,
  signal?: AbortSignal,
): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of bodyChunks(response, patience, subject, host, signal)) {
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
  return unpackSmall(Buffer.concat(chunks), encodingOf(response.headers), limit, isJson)
}

/** The beginning of a body that tells about an error; whatever goes wrong with it matters less than that error. */
export async function readExcerpt(response: Response, patience: Patience, subject: Subject): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  const short = { ...patience, idleTimeout: Math.min(patience.idleTimeout, 5_000) }
  try {
    for await (const chunk of bodyChunks(response, short, subject, 'the registry')) {
      chunks.push(chunk)
      size += chunk.length
      if (size > maxExcerpt) break
    }
  } catch {
    // What came so far may do.
  }
  return unpackSmall(Buffer.concat(chunks), encodingOf(response.headers), maxExcerpt, isJson).toString('utf8')
}

/** Reads away a body that nobody wants, if it is short: its connection serves the next request then. */
export function discard({ body }: Response): void {
  let size = 0
  const count = (chunk: Buffer): void => {
    size += chunk.length
    if (size > maxExcerpt) body.destroy()
  }
  body.on('error', () => {}).on('data', count)
}

function isJson(bytes: Buffer): boolean {
  try {
    JSON.parse(bytes.toString())
    return true
  } catch {
    return false
  }
}
