/**
 * The thread of a DigestThread: answers each message in turn.
 *
 * @packageDocumentation
 */
import { parentPort } from 'node:worker_threads'
import type { DigestRequest } from './digest-thread.ts'
import { fsverityDigest } from './merkle.ts'
import { digestSize } from './object-id.ts'

parentPort?.on('message', ({ algorithm, memory, lengths }: DigestRequest) => {
  const bytes = Buffer.from(memory)
  const digests = Buffer.allocUnsafeSlow(lengths.length * digestSize[algorithm])
  let end = 0
  lengths.forEach((length, i) => {
    end += length
    digests.write(fsverityDigest(algorithm, bytes.subarray(end - length, end)).hex, i * digestSize[algorithm], 'hex')
  })
  parentPort?.postMessage(digests, [digests.buffer])
})
