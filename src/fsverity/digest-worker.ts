/**
 * The thread of a DigestThread: answers each message in turn.
 *
 * @packageDocumentation
 */
import { parentPort } from 'node:worker_threads'
import type { DigestRequest } from './digest-thread.ts'
import { fsverityDigest } from './merkle.ts'

parentPort?.on('message', ({ algorithm, memory, lengths }: DigestRequest) => {
  const bytes = Buffer.from(memory)
  let end = 0
  const digests = lengths.map((length) => {
    end += length
    return fsverityDigest(algorithm, bytes.subarray(end - length, end)).hex
  })
  parentPort?.postMessage(digests)
})
