import { rmSync, writeFileSync } from 'node:fs'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { describe, expect, test } from 'vitest'
import { fsverityDigest } from '../../../src/fsverity/index.ts'
import { catStream, importLayer } from '../../../src/oci/index.ts'
import { contentTypes } from '../../../src/streams/index.ts'
import { digestOf } from '../../support/image-archive.ts'
import { entry, tar } from '../../support/tar.ts'
import { temporaryRepository } from '../../support/temporary-repository.ts'

const large = Buffer.alloc(3_000_000, 'large')
const bytes = tar(
  entry({ name: 'a' }, 'small'),
  entry({ name: 'b' }, Buffer.alloc(5000, 'b')),
  entry({ name: 'large' }, large),
  ...Array.from({ length: 500 }, (_, i) => entry({ name: `many${i}` }, Buffer.alloc(100 + i, `${i}`))),
  Buffer.concat([Buffer.alloc(1024), Buffer.from('what follows the end is kept')]),
)

async function stored() {
  const repository = await temporaryRepository()
  const { id, diffId } = await importLayer(repository, Readable.from([bytes]))
  return { repository, id, diffId }
}

describe('catStream', () => {
  test('gives back every byte', async () => {
    const { repository, id, diffId } = await stored()
    const found = await buffer(catStream(repository, id))
    expect(found.equals(bytes)).toBe(true)
    expect(digestOf(found)).toBe(diffId)
  })

  test('in chunks that are neither tiny nor huge', async () => {
    const { repository, id } = await stored()
    const sizes: number[] = []
    for await (const chunk of catStream(repository, id)) sizes.push((chunk as Buffer).length)
    expect(Math.max(...sizes)).toBeLessThanOrEqual(1024 * 1024 + 64 * 1024)
    expect(sizes.length).toBeLessThan(100)
  })

  test('a missing or damaged object is an error of the stream', async () => {
    for (const body of [large, Buffer.alloc(5000, 'b')]) {
      const { repository, id } = await stored()
      const path = repository.objects.pathOf(fsverityDigest('sha256', body))
      rmSync(path)
      await expect(buffer(catStream(repository, id))).rejects.toMatchObject({ code: 'ERR_NOT_FOUND' })
      const damaged = Buffer.from(body)
      damaged[100]! ^= 1
      writeFileSync(path, damaged)
      await expect(buffer(catStream(repository, id))).rejects.toMatchObject({ code: 'ERR_REPOSITORY_CORRUPT' })
    }
  })

  test('what is no splitstream, or of another kind, is an error of the stream', async () => {
    const { repository, id } = await stored()
    const odd = repository.objects.put(Buffer.from('no splitstream'))
    await expect(buffer(catStream(repository, odd))).rejects.toMatchObject({ code: 'ERR_SPLITSTREAM_INVALID' })
    const config = catStream(repository, id, { contentType: contentTypes.config })
    await expect(buffer(config)).rejects.toMatchObject({ code: 'ERR_SPLITSTREAM_CONTENT_TYPE' })
    const absent = fsverityDigest('sha256', Buffer.from('absent'))
    await expect(buffer(catStream(repository, absent))).rejects.toMatchObject({ code: 'ERR_NOT_FOUND' })
  })

  test('may be left in the middle', async () => {
    const { repository, id } = await stored()
    for await (const chunk of catStream(repository, id)) {
      expect((chunk as Buffer).length).toBeGreaterThan(0)
      break
    }
    const stream = catStream(repository, id)
    const reading = pipeline(stream, async (chunks) => {
      for await (const _ of chunks) throw new Error('enough')
    })
    await expect(reading).rejects.toThrow('enough')
    expect(stream.destroyed).toBe(true)
  })
})
