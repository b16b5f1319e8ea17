import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { withFirstHeader } from '../../../src/cli/layer-input.ts'
import { encodeZstd } from '../../../src/streams/index.ts'
import { cut } from '../../support/chunks.ts'
import { digestOf } from '../../support/image-archive.ts'
import { entry, tar } from '../../support/tar.ts'

const layer = tar(entry({ name: 'usr/', type: '5' }), entry({ name: 'usr/f' }, Buffer.alloc(600_000, 'body')))
const digest = digestOf(layer)
const given = (bytes: Buffer, sizes: number[]) => withFirstHeader(Readable.from(cut(bytes, sizes)), digest)

test.each([
  ['plain', layer],
  ['gzip', gzipSync(layer)],
  ['zstd', encodeZstd(layer)],
  ['small', gzipSync(tar(entry({ name: 'f' }, 'x')))],
  ['without entries', Buffer.alloc(1024)],
])('a layer is handed over whole: %s', async (_, bytes) => {
  for (const sizes of [[bytes.length], [65_536], [1000]]) {
    expect((await buffer(await given(bytes, sizes))).equals(bytes)).toBe(true)
  }
})

test('no more is waited for than the first header', async () => {
  const source = new Readable({ read: () => {} })
  source.push(layer.subarray(0, 512))
  const rest = await withFirstHeader(source, digest)
  source.push(layer.subarray(512))
  source.push(null)
  expect((await buffer(rest)).equals(layer)).toBe(true)
})

test.each([
  ['nothing', Buffer.alloc(0), 'ERR_ARCHIVE_UNKNOWN'],
  ['text', Buffer.from('Error: no such image\n'), 'ERR_TAR_TRUNCATED'],
  ['much text', Buffer.alloc(5000, 'Error: no such image\n'), 'ERR_TAR_CHECKSUM'],
  ['packed text', gzipSync(Buffer.alloc(5000, 'text')), 'ERR_TAR_CHECKSUM'],
  ['a cut header', layer.subarray(0, 300), 'ERR_TAR_TRUNCATED'],
  ['cut gzip data', gzipSync(layer).subarray(0, 15), 'ERR_COMPRESSION_TRUNCATED'],
])('what has no header is refused: %s', async (_, bytes, code) => {
  for (const sizes of [[Math.max(1, bytes.length)], [7]]) {
    await expect(given(bytes, sizes)).rejects.toMatchObject({ code })
  }
})

test('empty input is a layer where its digest says so', async () => {
  const source = await withFirstHeader(Readable.from([]), digestOf(Buffer.alloc(0)))
  expect(await buffer(source)).toHaveLength(0)
})
