/** What people call an image: every name leads to it, and a wrong one to those that are close. */
import { Readable } from 'node:stream'
import { expect, test } from 'vitest'
import { fsverityDigest } from '../../../src/fsverity/index.ts'
import { closest } from '../../../src/oci/find.ts'
import {
  findImage,
  importArchive,
  manifestStream,
  openImage,
  resolveConfig,
  tagImage,
  untagImage,
} from '../../../src/oci/index.ts'
import { dockerArchive } from '../../support/image-archive.ts'
import { entry, tar } from '../../support/tar.ts'
import { temporaryRepository } from '../../support/temporary-repository.ts'

async function withImages() {
  const repository = await temporaryRepository()
  const layer = tar(entry({ name: 'usr/', type: '5' }), entry({ name: 'usr/a' }, 'x'.repeat(100)))
  const [image] = await importArchive(repository, Readable.from([dockerArchive([layer])]), {
    name: 'quay.io/os/fedora:42',
  })
  const alone = repository.objects.put(Buffer.from('an image that no layers were made into'))
  await repository.transaction((transaction) => {
    transaction.linkImage(alone).setRef('images', 'alone', alone).setRef('images', 'my/alone', alone)
  })
  return { repository, image: image!, alone }
}

const refused = (code: string, message: RegExp) =>
  expect.objectContaining({ code, message: expect.stringMatching(message) })

test('tags, names, refs, digests, ids and their beginnings lead to one image', async () => {
  const { repository, image, alone } = await withImages()
  const { manifestDigest, configDigest, imageId } = image
  const short = (digest: string): string => digest.slice('sha256:'.length).slice(0, 12)
  const found = (name: string) => findImage(repository, name)
  const tag = 'quay.io/os/fedora:42'

  const manifest = { kind: 'manifest', digest: manifestDigest }
  const ways = [manifestDigest, manifestDigest.slice(7), short(manifestDigest), `sha256:${short(manifestDigest)}`]
  for (const way of [...ways, ...ways.map((way) => `@${way}`), `fedora@${manifestDigest}`, tag]) {
    expect(found(way), way).toEqual(manifest)
  }
  expect(found('refs/oci/quay.io%2Fos%2Ffedora:42')).toEqual(manifest)
  for (const way of [configDigest, `@${configDigest}`, short(configDigest)]) {
    expect(found(way), way).toEqual({ kind: 'config', digest: configDigest })
  }
  for (const way of [imageId.hex, `${imageId}`, imageId.hex.slice(0, 12), `@${imageId.hex}`]) {
    expect(found(way), way).toEqual({ kind: 'erofs', id: imageId })
  }
  for (const way of ['alone', 'my/alone', 'refs/alone', 'refs/my/alone', alone.hex]) {
    expect(found(way), way).toEqual({ kind: 'erofs', id: alone })
  }

  // Whatever was found of it, the image is the same.
  for (const way of [tag, short(manifestDigest), short(configDigest), imageId.hex.slice(0, 8), `@${configDigest}`]) {
    expect(openImage(repository, way).manifestDigest, way).toBe(manifestDigest)
    expect((await resolveConfig(repository, way)).digest, way).toBe(configDigest)
  }
  expect(() => openImage(repository, 'my/alone')).toThrow(
    refused('ERR_OCI_NOT_FOUND', /not made of an OCI image: my\/alone/),
  )
})

test('a name comes before a digest, and who asks says which of two names comes first', async () => {
  const { repository, image, alone } = await withImages()
  const digits = image.configDigest.slice(7, 19)
  await tagImage(repository, image.manifestDigest, digits)
  expect(findImage(repository, digits).kind).toBe('manifest')
  await tagImage(repository, image.manifestDigest, 'alone')
  expect(findImage(repository, 'alone').kind).toBe('manifest')
  expect(findImage(repository, 'alone', 'erofs')).toEqual({ kind: 'erofs', id: alone })
  // The manifest of a tag that is lost is not replaced by something else of the same name.
  await repository.setRef('streams', 'oci/alone', manifestStream(image.manifestDigest))
  repository.removeRef('images', 'alone')
  expect(findImage(repository, 'alone', 'erofs').kind).toBe('manifest')
})

test('no name stands in for a whole digest, and a name in front of one is looked at', async () => {
  const { repository, image } = await withImages()
  const { manifestDigest } = image
  const [other] = await importArchive(
    repository,
    Readable.from([dockerArchive([tar(entry({ name: 'usr/', type: '5' }))])]),
    {
      name: 'other',
    },
  )
  await repository.setRef('streams', `oci/${manifestDigest}`, manifestStream(other!.manifestDigest))
  const manifest = { kind: 'manifest', digest: manifestDigest }
  for (const way of [manifestDigest, `quay.io/os/fedora@${manifestDigest}`, `fedora:42@${manifestDigest}`]) {
    expect(findImage(repository, way), way).toEqual(manifest)
  }
  expect(() => findImage(repository, `other@${manifestDigest}`)).toThrow(refused('ERR_DIGEST_MISMATCH', /other/))
  expect(() => findImage(repository, `nobody@${manifestDigest}`)).toThrow(refused('ERR_OCI_NOT_FOUND', /no such image/))
  expect(() => findImage(repository, manifestDigest.slice(7, 10))).toThrow(refused('ERR_OCI_NOT_FOUND', /4 digits/))
})

test('a beginning that several have names them', async () => {
  const { repository } = await withImages()
  const contents = new Map<string, Buffer>()
  let pair: Buffer[] = []
  for (let i = 0; pair.length === 0; i++) {
    const bytes = Buffer.from(`image ${i}`)
    const start = fsverityDigest('sha256', bytes).hex.slice(0, 4)
    const other = contents.get(start)
    if (other !== undefined) pair = [other, bytes]
    contents.set(start, bytes)
  }
  const ids = pair.map((bytes) => repository.objects.put(bytes))
  await repository.transaction((transaction) => {
    for (const id of ids) transaction.linkImage(id)
  })
  const several = refused('ERR_ARGUMENT', /several digests begin like this: .* — give more digits: image .*, image /)
  expect(() => findImage(repository, ids[0]!.hex.slice(0, 4))).toThrow(several)
  for (const id of ids) expect(findImage(repository, id.hex)).toEqual({ kind: 'erofs', id })
})

test('what is not there is told what is close', async () => {
  const { repository, image } = await withImages()
  await tagImage(repository, image.manifestDigest, 'debian')
  const lost = (name: string, message: RegExp) =>
    expect(() => openImage(repository, name)).toThrow(refused('ERR_OCI_NOT_FOUND', message))
  lost('fedora', /did you mean quay\.io\/os\/fedora:42\?/)
  lost('docker://quay.io/os/fedora:42', /did you mean quay\.io\/os\/fedora:42\?/)
  lost('debain', /did you mean debian\?/)
  lost('my/alonw', /did you mean my\/alone\?/)
  lost('postgres', /see: composefs oci images, composefs images/)
  lost(`@sha256:${'0'.repeat(64)}`, /no such image/)
  expect(() => untagImage(repository, 'debin')).toThrow(refused('ERR_OCI_NOT_FOUND', /did you mean debian\?/))
  expect(() => openImage(repository, '0'.repeat(128))).toThrow(refused('ERR_ALGORITHM_MISMATCH', /another hash/))
})

test.each([
  ['fedroa', ['fedora', 'ubuntu'], ['fedora']],
  ['a', ['b', 'c/d'], []],
  ['', ['fedora'], []],
  ['oen', ['quay.io/os/one:1', 'two'], ['quay.io/os/one:1']],
  ['fedora:41', ['fedora:42', 'fedora:40', 'fedora', 'alpine'], ['fedora:42', 'fedora:40', 'fedora']],
  ['x'.repeat(10_000), ['y'.repeat(10_000)], []],
])('close to %.20s', (name, names, near) => {
  expect(closest(name, names)).toEqual(near)
})
