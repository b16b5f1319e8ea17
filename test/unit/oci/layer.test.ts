import { once } from 'node:events'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { catStream, importLayer, type LayerOptions, layerStream, receiveLayer } from '../../../src/oci/index.ts'
import type { Repository } from '../../../src/repository/index.ts'
import { encodeZstd } from '../../../src/streams/index.ts'
import { cut } from '../../support/chunks.ts'
import { digestOf } from '../../support/image-archive.ts'
import { entry, tar } from '../../support/tar.ts'
import { leftovers, published, temporaryRepository } from '../../support/temporary-repository.ts'

const bytes = tar(
  entry({ name: 'usr/', type: '5' }),
  entry({ name: 'usr/small' }, 'small'),
  entry({ name: 'usr/large' }, 'x'.repeat(5000)),
  entry({ name: 'usr/same' }, 'x'.repeat(5000)),
)
const diffId = digestOf(bytes)
const gzip = gzipSync(bytes)
const zstd = encodeZstd(bytes)

/** By both ways in. */
const ways = [
  [
    'importLayer',
    (repository: Repository, blob: Buffer, options: LayerOptions = {}) =>
      importLayer(repository, Readable.from(cut(blob, [1000])), options),
  ],
  [
    'receiveLayer',
    async (repository: Repository, blob: Buffer, options: LayerOptions = {}) => {
      const { input, result } = receiveLayer(repository, options)
      input.on('error', () => {})
      for (const chunk of cut(blob, [1000])) {
        if (!input.write(chunk) && !input.destroyed) await Promise.race([once(input, 'drain'), result])
      }
      input.end()
      return result
    },
  ],
] as const

describe.each(ways)('%s', (_, receive) => {
  test.each([
    ['none', bytes],
    ['gzip', gzip],
    ['zstd', zstd],
  ] as const)('compression %s', async (compression, blob) => {
    const repository = await temporaryRepository()
    const layer = await receive(repository, blob, { digest: digestOf(blob), size: blob.length, diffId })
    expect(layer).toEqual({
      diffId,
      digest: digestOf(blob),
      size: blob.length,
      tarSize: bytes.length,
      inlineSize: expect.any(Number),
      compression,
      id: expect.anything(),
      present: false,
    })
    expect(await buffer(catStream(repository, layer.id))).toEqual(bytes)
    // One body and the splitstream; nothing is linked.
    expect(repository.stats).toMatchObject({ newObjects: 2, presentObjects: 1 })
    expect(published(repository)).toEqual({})
    expect(leftovers(repository)).toEqual([])
  })

  test('without promises it measures', async () => {
    const repository = await temporaryRepository({ algorithm: 'sha512' })
    const layer = await receive(repository, gzip)
    expect(layer).toMatchObject({ diffId, digest: digestOf(gzip), size: gzip.length, tarSize: bytes.length })
    expect(layer.id.algorithm).toBe('sha512')
  })

  test('a plain tar may be said to be one', async () => {
    const repository = await temporaryRepository()
    for (const promise of [{}, { diffId }, { digest: diffId }, { diffId, digest: diffId, size: bytes.length }]) {
      const layer = await receive(repository, bytes, { compression: 'none', ...promise })
      expect(layer).toMatchObject({
        diffId,
        digest: diffId,
        size: bytes.length,
        tarSize: bytes.length,
        inlineSize: expect.any(Number),
        compression: 'none',
      })
    }
    for (const promise of [{ diffId: digestOf(gzip) }, { digest: digestOf(gzip) }]) {
      const receiving = receive(repository, bytes, { compression: 'none', ...promise })
      await expect(receiving).rejects.toMatchObject({ code: 'ERR_DIGEST_MISMATCH' })
    }
    // Both are promises about the same bytes.
    const both = receive(repository, bytes, { compression: 'none', digest: diffId, diffId: digestOf(gzip) })
    await expect(both).rejects.toMatchObject({ code: 'ERR_DIGEST_MISMATCH' })
  })

  test('a layer that is there is found', async () => {
    const repository = await temporaryRepository()
    const first = await receive(repository, bytes)
    expect((await receive(repository, gzip)).present).toBe(false)
    await repository.linkStream(layerStream(diffId), first.id)
    const before = { ...repository.stats }
    const again = await receive(repository, gzip)
    expect(again).toMatchObject({ present: true, id: first.id })
    expect(repository.stats.newObjects).toBe(before.newObjects)
  })

  test('an empty blob is an empty layer', async () => {
    const repository = await temporaryRepository()
    const layer = await receive(repository, Buffer.alloc(0))
    expect(layer).toMatchObject({ diffId: digestOf(Buffer.alloc(0)), size: 0, tarSize: 0, compression: 'none' })
    expect(await buffer(catStream(repository, layer.id))).toHaveLength(0)
  })

  test.each<[string, Buffer, LayerOptions, object]>([
    ['another digest', gzip, { digest: diffId, name: 'layer 1' }, { code: 'ERR_DIGEST_MISMATCH', expected: diffId }],
    ['another diffID', gzip, { diffId: digestOf(gzip) }, { code: 'ERR_DIGEST_MISMATCH', actual: diffId }],
    ['too few bytes', gzip, { size: gzip.length + 1 }, { code: 'ERR_SIZE_MISMATCH' }],
    ['too many bytes', gzip, { size: gzip.length - 1 }, { code: 'ERR_SIZE_MISMATCH' }],
    ['a cut blob', gzip.subarray(0, -20), {}, { code: 'ERR_COMPRESSION_TRUNCATED' }],
    ['a cut tar', bytes.subarray(0, 5000), {}, { code: 'ERR_TAR_TRUNCATED' }],
    ['no tar', Buffer.alloc(2000, 'text'), {}, { code: 'ERR_TAR_CHECKSUM' }],
    ['an expansion above the limit', gzip, { decompressor: { maxOutput: 100 } }, { code: 'ERR_COMPRESSION_BOMB' }],
  ])('%s is refused', async (_, blob, options, error) => {
    const repository = await temporaryRepository()
    await expect(receive(repository, blob, options)).rejects.toMatchObject(error)
    expect(published(repository)).toEqual({})
    expect(leftovers(repository)).toEqual([])
  })

  test('a digest that is none is refused at once', async () => {
    const repository = await temporaryRepository()
    const broken = async () => receive(repository, bytes, { digest: 'sha256:x' })
    await expect(broken()).rejects.toMatchObject({ code: 'ERR_DIGEST_SYNTAX' })
  })
})

test('the signal stops it', async () => {
  const repository = await temporaryRepository()
  const controller = new AbortController()
  const silent = new Readable({ read: () => {} })
  silent.push(gzip.subarray(0, 100))
  const importing = importLayer(repository, silent, { signal: controller.signal })
  const { input, result } = receiveLayer(repository, { signal: controller.signal })
  input.on('error', () => {})
  input.write(gzip.subarray(0, 100))
  setTimeout(() => controller.abort(), 2)
  await expect(importing).rejects.toMatchObject({ name: 'AbortError' })
  await expect(result).rejects.toMatchObject({ name: 'AbortError' })
  expect(leftovers(repository)).toEqual([])
})

test('destroying the input gives up', async () => {
  const repository = await temporaryRepository()
  const large = tar(entry({ name: 'huge' }, 'x'.repeat(3_000_000)))
  const { input, result } = receiveLayer(repository)
  input.on('error', () => {})
  input.write(large.subarray(0, 2_000_000))
  setTimeout(() => input.destroy(new Error('given up')), 5)
  await expect(result).rejects.toThrow('given up')
  expect(leftovers(repository)).toEqual([])
})
