import { createHash, randomBytes } from 'node:crypto'
import { chmodSync, constants, readdirSync, writeSync } from 'node:fs'
import { Readable } from 'node:stream'
import { expect, test, vi } from 'vitest'
import { catStream, importLayer, layerStream, layersToTree } from '../../../src/oci/index.ts'
import { streamInfo } from '../../../src/oci/layer.ts'
import { parseSplitstream, readSplitstreamEntries, type SplitstreamChunk } from '../../../src/streams/index.ts'
import { openDescriptors, withDescriptor } from '../../support/disk.ts'
import { paths } from '../../support/layer-entries.ts'
import { entry, tar } from '../../support/tar.ts'
import { temporaryRepository } from '../../support/temporary-repository.ts'

const mib = 1024 * 1024
/** Nothing that could be compressed, behind the end of an archive; more than is kept in memory. */
const behind = Array.from({ length: 20 }, () => randomBytes(mib))
const archive = [tar(entry({ name: 'usr/', type: '5' }), entry({ name: 'usr/a' }, 'x'.repeat(100))), ...behind]

const inlineBytes = (chunk: SplitstreamChunk): Buffer => (chunk.kind === 'inline' ? chunk.bytes : chunk.id.bytes)

test('a splitstream larger than memory should hold goes through a file, and is read in parts', async () => {
  const repository = await temporaryRepository()
  const descriptors = openDescriptors()
  const scratch = vi.spyOn(repository.objects, 'openScratch')
  const layer = await importLayer(repository, Readable.from(archive))
  expect(scratch).toHaveBeenCalledTimes(1)
  expect(openDescriptors()).toBe(descriptors)
  expect(readdirSync(repository.objects.path).filter((name) => !/^[0-9a-f]{2}$/.test(name))).toEqual([])

  const read = vi.spyOn(repository.objects, 'read')
  const hash = createHash('sha256')
  for await (const chunk of catStream(repository, layer.id)) hash.update(chunk as Buffer)
  expect(`sha256:${hash.digest('hex')}`).toBe(layer.diffId)
  expect(paths(await layersToTree(repository, [layer.id]))).toEqual(['/usr', '/usr/a'])
  expect(streamInfo(repository, layer.id).streamSize).toBe(layer.tarSize)
  expect(read.mock.calls.map(([id]) => id.hex)).not.toContain(layer.id.hex)

  // In parts or at once, it is the same.
  const file = repository.objects.openFile(layer.id)
  expect(Buffer.isBuffer(file)).toBe(false)
  const whole = repository.readObject(layer.id)
  const [parts, all] = [file, whole].map((file) => [...parseSplitstream(file).chunks()].map(inlineBytes))
  expect(Buffer.concat(parts!).equals(Buffer.concat(all!))).toBe(true)
  expect([...readSplitstreamEntries(file)]).toEqual([...readSplitstreamEntries(whole)])
  expect(openDescriptors()).toBe(descriptors)
})

test('one that is not wanted, or fails, leaves nothing', async () => {
  const repository = await temporaryRepository()
  const descriptors = openDescriptors()
  await expect(
    importLayer(repository, Readable.from(archive), { diffId: `sha256:${'0'.repeat(64)}` }),
  ).rejects.toMatchObject({ code: 'ERR_DIGEST_MISMATCH' })
  const failing = async function* () {
    yield* archive
    throw new Error('enough')
  }
  await expect(importLayer(repository, Readable.from(failing()))).rejects.toThrow('enough')
  const { diffId, id } = await importLayer(repository, Readable.from(archive))
  await repository.linkStream(layerStream(diffId), id)
  expect(await importLayer(repository, Readable.from(archive))).toMatchObject({ id, present: true })
  expect(openDescriptors()).toBe(descriptors)
})

test('a damaged one is refused before any of it is used', async () => {
  const repository = await temporaryRepository()
  const { id } = await importLayer(repository, Readable.from(archive))
  chmodSync(repository.objects.pathOf(id), 0o644)
  withDescriptor(repository.objects.pathOf(id), constants.O_RDWR, (fd) => writeSync(fd, 'damage', 15 * mib))
  expect(() => repository.objects.openFile(id)).toThrow(expect.objectContaining({ code: 'ERR_REPOSITORY_CORRUPT' }))
})
