/**
 * The thread of a DigestThread: answers each message in turn.
 *
 * @packageDocumentation
 */
import { parentPort } from 'node:worker_threads'
import { writeDraft } from '../native/draft-files.ts'
import type { DigestReply, DigestRequest } from './digest-thread.ts'
import { fsverityDigest } from './merkle.ts'
import { digestSize } from './object-id.ts'

parentPort?.on('message', ({ algorithm, memory, lengths, drafts }: DigestRequest) => {
  const bytes = Buffer.from(memory)
  const digests = Buffer.allocUnsafeSlow(lengths.length * digestSize[algorithm])
  const descriptors = new Int32Array(drafts?.count ?? 0)
  let end = 0
  lengths.forEach((length, i) => {
    end += length
    const body = bytes.subarray(end - length, end)
    digests.write(fsverityDigest(algorithm, body).hex, i * digestSize[algorithm], 'hex')
    if (drafts !== undefined && i < drafts.count) descriptors[i] = writeDraft(drafts, body)
  })
  const reply: DigestReply = { digests, descriptors }
  parentPort?.postMessage(reply, [digests.buffer, descriptors.buffer])
})
