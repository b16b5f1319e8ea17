/** The tar decoder alone, beside those of tar-stream and node-tar. */
import { Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { fuse, PaxParser, TarDecoder } from 'composefs-streams/streams'
import { Parser } from 'tar'
import { extract } from 'tar-stream'
import { compare } from './side-by-side.ts'

const chunkSize = 256 * 1024

function* chunks(bytes: Buffer): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += chunkSize) yield bytes.subarray(at, at + chunkSize)
}

const drop = (): Writable => new Writable({ objectMode: true, write: (_record, _encoding, done) => done() })

/** Every entry is looked at, every body read and dropped. */
export async function compareDecoders(tar: Buffer): Promise<void> {
  await compare(`decoding a tar of ${(tar.length / 1e6).toFixed(0)} MB`, [
    {
      name: 'TarDecoder and PaxParser, fused',
      run: () => pipeline(chunks(tar), fuse(new TarDecoder(), new PaxParser()), drop()),
    },
    {
      name: 'TarDecoder, PaxParser, piped',
      run: () => pipeline(chunks(tar), new TarDecoder(), new PaxParser(), drop()),
    },
    {
      name: 'tar-stream extract',
      run: async () => {
        const extractor = extract()
        extractor.on('entry', (_header, body, next) => {
          body.on('end', next)
          body.resume()
        })
        await pipeline(chunks(tar), extractor as unknown as Writable)
      },
    },
    {
      name: 'node-tar Parser',
      run: () =>
        new Promise<void>((resolve, reject) => {
          const parser = new Parser({ onReadEntry: (entry) => entry.resume() })
          parser.on('end', resolve).on('error', reject)
          for (const chunk of chunks(tar)) parser.write(chunk)
          parser.end()
        }),
    },
  ])
}
