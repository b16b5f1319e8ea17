/**
 * The tar of one layer as input: looked at before a repository is made for it.
 *
 * @packageDocumentation
 */
import { createHash } from 'node:crypto'
import { Readable, type Transform } from 'node:stream'
import { ComposefsError } from '../errors.ts'
import { Decompressor } from '../streams/decompressor.ts'
import { TarDecoderMachine } from '../streams/tar-decoder.ts'
import { blockSize } from '../streams/tar-header.ts'

/** More than the largest block of zstd: with this much of it, data that is sound gives something. */
const enough = 256 * 1024
const emptyDigest = `sha256:${createHash('sha256').digest('hex')}`

/**
 * Reads as far as the first header, and refuses what has none.
 *
 * @returns all of the source, what was read included
 * @throws {@link ComposefsError} `ERR_ARCHIVE_UNKNOWN` for empty input, `ERR_TAR_*`, `ERR_COMPRESSION_*`
 */
export async function withFirstHeader(source: Readable, diffId: string): Promise<Readable> {
  const chunks: Buffer[] = []
  const rest = (source as AsyncIterable<Buffer>)[Symbol.asyncIterator]()
  let length = 0
  let ended = false
  while (length < enough && !ended) {
    const next = await rest.next()
    if (next.done === true) ended = true
    else {
      chunks.push(next.value)
      length += next.value.length
    }
    if (ended || length >= blockSize) if ((await check(Buffer.concat(chunks), ended, diffId)) !== 'more') break
  }
  async function* all(): AsyncGenerator<Buffer, void, undefined> {
    yield* chunks
    if (!ended) yield* { [Symbol.asyncIterator]: () => rest }
  }
  return Readable.from(all(), { objectMode: false, highWaterMark: 1024 * 1024 })
}

async function check(start: Buffer, ended: boolean, diffId: string): Promise<'sound' | 'more'> {
  if (start.length === 0) {
    if (diffId === emptyDigest) return 'sound'
    throw new ComposefsError('ERR_ARCHIVE_UNKNOWN', 'the input is empty', {
      hint: 'the program before the pipe may have failed; its own message says why',
    })
  }
  const block = await firstBlock(start, ended)
  if (block.length < blockSize && !ended) return 'more'
  const machine = new TarDecoderMachine()
  machine.push(block, () => {})
  if (block.length > 0 && block.length < blockSize) machine.finish(() => {})
  return 'sound'
}

/** What the first bytes decompress to, or less of it where they do not suffice. */
function firstBlock(start: Buffer, ended: boolean): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const decompressor: Transform = new Decompressor()
    const output: Buffer[] = []
    let length = 0
    const done = (): void => {
      decompressor.destroy()
      resolve(Buffer.concat(output).subarray(0, blockSize))
    }
    decompressor.on('data', (chunk: Buffer) => {
      output.push(Buffer.from(chunk))
      length += chunk.length
      if (length >= blockSize) done()
    })
    decompressor.once('error', reject).once('end', done)
    if (ended) decompressor.end(start)
    // What was decoded is handed on a tick after the write has settled.
    else decompressor.write(start, () => setImmediate(done))
  })
}
