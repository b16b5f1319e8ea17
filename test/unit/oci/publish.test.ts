import { rmSync } from 'node:fs'
import { Readable } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { importBlob, publishArtifact } from '../../../src/oci/artifact.ts'
import { importArchive, listImages, openImage, type PublishOptions, untagImage } from '../../../src/oci/index.ts'
import { configStream, manifestStream, tagRef } from '../../../src/oci/names.ts'
import { type OpenOptions, Repository } from '../../../src/repository/index.ts'
import { collectGarbage, pullAsCfsctl } from '../../support/cfsctl-model.ts'
import { artifactOf, digestOf, imageOf, ociArchive } from '../../support/image-archive.ts'
import { sibling } from '../../support/kindred-images.ts'
import { entry, tar } from '../../support/tar.ts'
import { temporaryRepository } from '../../support/temporary-repository.ts'

const directories = ['usr/', 'boot/', 'sysroot/'].map((name) => entry({ name, type: '5', mode: 0o755 }))
const layer = tar(...directories, entry({ name: 'usr/file' }, 'contents '.repeat(100)))
const image = imageOf([layer])
const other = sibling(image)

/** Imports an archive as a command does: with the repository opened for it. */
async function add(path: string, archive: Buffer, name: string, options: PublishOptions & OpenOptions = {}) {
  const repository = await Repository.open(path, options)
  try {
    return (await importArchive(repository, Readable.from([archive]), { name, ...options }))[0]!
  } finally {
    await repository.close()
  }
}

/** As cfsctl does it: nothing else is looked at. */
const untag = (repository: Repository, tag: string) => repository.removeRef('streams', tagRef(tag))

const refsOf = (repository: Repository, tag: string) =>
  [...openImage(repository, tag).config!.document.namedRefs.keys()].filter((name) => !name.startsWith('sha256:'))

describe('two images with one config', () => {
  test.each(['ours', 'of cfsctl'])('the first outlives the second (%s)', async (which) => {
    const repository = await temporaryRepository({ erofsVersion: 1 })
    await add(repository.path, ociArchive(image), 'first')
    if (which === 'ours') {
      const second = await add(repository.path, ociArchive(other), 'second', { erofsVersion: 2 })
      expect(second.configDigest).toBe(digestOf(image.config))
      untag(repository, 'second')
      // One config serves both, and is found by its digest.
      expect(refsOf(repository, 'first')).toEqual(['composefs.image', 'composefs.image.v1'])
      expect(openImage(repository, 'first').config!.document.id).toEqual(
        repository.hasStream(configStream(second.configDigest)),
      )
    } else {
      await pullAsCfsctl(repository, other, 'second', true)
      untagImage(repository, 'second')
    }
    collectGarbage(repository)
    expect([...listImages(repository)]).toMatchObject([{ name: 'first', layerCount: 1 }])
    for (const [name, id] of openImage(repository, 'first').config!.document.namedRefs) {
      expect(repository.objects.isIntact(id), name).toBe(true)
    }
    // Nothing else is left of what was put aside, once nothing refers to it.
    untagImage(repository, 'first')
    collectGarbage(repository)
    expect(repository.listStreams()).toEqual([])
    expect([...repository.objects.ids()]).toEqual([])
  })

  test('published at the same time, plain and bootable: both are there', async () => {
    const repository = await temporaryRepository({ erofsVersion: 1 })
    const { path } = repository
    const both = [
      add(path, ociArchive(image), 'x', { bootable: true }),
      add(path, ociArchive(image), 'x'),
      add(path, ociArchive(image), 'x', { erofsVersion: 2 }),
    ]
    await Promise.all(both)
    expect(refsOf(repository, 'x')).toEqual(['composefs.image', 'composefs.image.boot.v1', 'composefs.image.v1'])
  })
})

test('a config that cfsctl has put aside is found by its digest again, with all its images', async () => {
  const repository = await temporaryRepository({ erofsVersion: 1 })
  await add(repository.path, ociArchive(image), 'first', { bootable: true })
  await pullAsCfsctl(repository, other, 'second', false)
  await add(repository.path, ociArchive(other), 'second', { erofsVersion: 2 })
  const all = ['composefs.image', 'composefs.image.boot.v1', 'composefs.image.v1']
  for (const name of ['first', 'second']) expect(refsOf(repository, name)).toEqual(all)
})

test('a boot image that only the manifest still leads to is kept', async () => {
  const repository = await temporaryRepository({ erofsVersion: 1 })
  await add(repository.path, ociArchive(image), 'x', { bootable: true })
  await pullAsCfsctl(repository, other, 'y', false)
  await add(repository.path, ociArchive(image), 'x')
  expect(refsOf(repository, 'x')).toContain('composefs.image.boot.v1')
})

test('a config or manifest that is damaged is replaced', async () => {
  const repository = await temporaryRepository()
  await add(repository.path, ociArchive(image), 'x')
  for (const name of [configStream(digestOf(image.config)), manifestStream(digestOf(image.manifest))]) {
    rmSync(repository.objects.pathOf(repository.hasStream(name)!))
    await add(repository.path, ociArchive(image), 'x')
    expect(openImage(repository, 'x').configBytes).toEqual(image.config)
  }
})

test('artifacts share the empty config, and each outlives the other', async () => {
  const repository = await temporaryRepository()
  for (const name of ['one', 'two']) {
    const bytes = Buffer.from(name)
    const { manifest, config } = artifactOf([{ mediaType: 'text/plain', bytes }])
    const descriptor = { digest: digestOf(bytes), size: bytes.length }
    const { id } = await importBlob(repository, Readable.from([bytes]), descriptor, AbortSignal.timeout(10_000))
    await publishArtifact(repository, { manifest, config, layers: new Map([[descriptor.digest, id]]), tags: [name] })
  }
  untag(repository, 'two')
  collectGarbage(repository)
  expect(openImage(repository, 'one').configBytes.toString()).toBe('{}')
})
