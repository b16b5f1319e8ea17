/** Artifacts: manifests that describe no container image. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import {
  catStream,
  copyAny,
  copyImage,
  DirectorySource,
  LayoutDestination,
  layerStream,
  listImages,
  listReferrers,
  openImage,
  type PullEvent,
  pull,
  pullAny,
  pullImage,
  pushImage,
} from '../../../src/oci/index.ts'
import type { Repository } from '../../../src/repository/index.ts'
import { contentTypes, parseSplitstream } from '../../../src/streams/index.ts'
import { artifactOf, blobName, digestOf, type ImageBytes, imageOf } from '../../support/image-archive.ts'
import { imageIdOf } from '../../support/image-id.ts'
import { writeLayout } from '../../support/random-images.ts'
import { entry, tar } from '../../support/tar.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'
import { leftovers, published, temporaryRepository } from '../../support/temporary-repository.ts'

const usr = tar(entry({ name: 'usr/', type: '5', mode: 0o755 }), entry({ name: 'usr/file' }, 'x'.repeat(5000)))
/** Which everything is called that nobody has a name for. */
const plainTar = 'application/vnd.oci.image.layer.v1.tar'
const blobs = [
  { mediaType: 'text/plain', bytes: Buffer.from('hello\n') },
  { mediaType: 'application/octet-stream', bytes: Buffer.alloc(3_000_000, 'noise ') },
  { mediaType: `${plainTar}+gzip`, bytes: gzipSync(usr) },
  { mediaType: plainTar, bytes: usr },
  { mediaType: plainTar, bytes: Buffer.from('no tar\n') },
  { mediaType: 'application/x-empty', bytes: Buffer.alloc(0) },
]
const artifact = artifactOf(blobs)

function layout(image: ImageBytes): string {
  const directory = join(temporaryDirectory(), 'layout')
  writeLayout(directory, image)
  return directory
}

async function pulled(image: ImageBytes, repository: Repository, name = 'thing') {
  return pullAny(repository, DirectorySource.layout(layout(image)), { name })
}

async function bytesOf(repository: Repository, digest: string): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of catStream(repository, repository.resolveStream(layerStream(digest)).id)) chunks.push(chunk)
  return Buffer.concat(chunks)
}

describe('an artifact', () => {
  test('is pulled, its blobs as they are', async () => {
    const repository = await temporaryRepository()
    const events: PullEvent[] = []
    const source = DirectorySource.layout(layout(artifact))
    const onEvent = (event: PullEvent) => events.push(event)
    const result = await pullAny(repository, source, { name: 'thing', onEvent })
    expect(result).toMatchObject({ kind: 'artifact', manifestDigest: digestOf(artifact.manifest), tags: ['thing'] })
    expect(events.at(-1)).toEqual({ type: 'artifact', artifact: result })
    for (const { bytes } of blobs) expect((await bytesOf(repository, digestOf(bytes))).equals(bytes)).toBe(true)
    const opened = openImage(repository, 'thing')
    expect(opened.config).toBeUndefined()
    expect(opened.layers).toEqual(blobs.map(({ bytes }) => repository.hasStream(layerStream(digestOf(bytes)))))
    expect([...listImages(repository)]).toMatchObject([{ name: 'thing', isContainer: false, layerCount: 6 }])
    expect(leftovers(repository)).toEqual([])
  })

  test('is refused where an image is wanted, before anything is stored', async () => {
    const repository = await temporaryRepository()
    const refused = {
      code: 'ERR_OCI_MEDIA_TYPE',
      message: expect.stringMatching(/this is an artifact, not a container image/),
    }
    const directory = layout(artifact)
    await expect(pullImage(repository, DirectorySource.layout(directory), { name: 'x' })).rejects.toMatchObject(refused)
    expect(published(repository)).toEqual({})
    await pulled(artifact, repository)
    await expect(copyImage(repository, 'thing', await temporaryRepository())).rejects.toMatchObject(refused)
  })

  test('does not take the blobs of another that has the same config', async () => {
    const repository = await temporaryRepository()
    const other = artifactOf([{ mediaType: 'text/plain', bytes: Buffer.from('other\n') }])
    await pulled(artifact, repository, 'one')
    await pulled(other, repository, 'two')
    await pulled(artifact, repository, 'three')
    expect(openImage(repository, 'one').layers).toHaveLength(6)
    expect(openImage(repository, 'two').layers).toHaveLength(1)
    expect(openImage(repository, 'three').layers).toEqual(openImage(repository, 'one').layers)
  })

  test('shares what it has in common with images, whichever comes first', async () => {
    const claimsNothing = artifactOf([{ mediaType: 'application/octet-stream', bytes: usr }])
    const image = imageOf([usr])
    const alone = imageIdOf(await pulled(image, await temporaryRepository()))
    const first = await temporaryRepository()
    await pulled(claimsNothing, first, 'artifact')
    expect(imageIdOf(await pulled(image, first, 'image'))).toBe(alone)
    const last = await temporaryRepository()
    expect(imageIdOf(await pulled(image, last, 'image'))).toBe(alone)
    await pulled(claimsNothing, last, 'artifact')
    expect(openImage(last, 'artifact').layers).toEqual(openImage(last, 'image').layers)
    for (const repository of [first, last]) {
      const { contentType } = parseSplitstream(repository.readObject(openImage(repository, 'image').layers[0]!))
      expect(contentType).toBe(contentTypes.layer)
      expect((await bytesOf(repository, digestOf(usr))).equals(usr)).toBe(true)
    }
  })

  test('becomes a referrer of its subject, where that is there', async () => {
    const repository = await temporaryRepository()
    const image = imageOf([usr])
    const signature = artifactOf([{ mediaType: 'text/plain', bytes: Buffer.from('signed\n') }], image.manifest)
    await pulled(signature, repository, 'early')
    expect(listReferrers(repository, digestOf(image.manifest))).toEqual([])
    await pulled(image, repository, 'image')
    await pulled(signature, repository, 'signature')
    expect(listReferrers(repository, digestOf(image.manifest))).toEqual([digestOf(signature.manifest)])
    expect([...listImages(repository)]).toContainEqual(expect.objectContaining({ name: 'image', referrerCount: 1 }))
  })

  test('with a blob that is not what it should be leaves nothing but what was right', async () => {
    const directory = layout(artifact)
    const { bytes } = blobs[1]!
    writeFileSync(join(directory, blobName(digestOf(bytes))), Buffer.alloc(bytes.length))
    const repository = await temporaryRepository()
    const wrong = { code: 'ERR_DIGEST_MISMATCH', message: expect.stringContaining('layer 2 of 6') }
    await expect(pull(repository, `oci:${directory}`, { name: 'x', parallel: 1 })).rejects.toMatchObject(wrong)
    expect(Object.keys(published(repository))).toEqual([`streams/${layerStream(digestOf(blobs[0]!.bytes))}`])
    expect(leftovers(repository)).toEqual([])
  })

  test('is pushed and copied bit for bit', async () => {
    const repository = await temporaryRepository()
    await pulled(artifact, repository)
    const copy = await temporaryRepository()
    await copyAny(repository, 'thing', copy, { name: 'copied' })
    const to = join(temporaryDirectory(), 'to')
    const pushed = await pushImage(copy, 'copied', new LayoutDestination(to, 'x'), { compression: 'gzip' })
    expect(pushed).toMatchObject({ kind: 'artifact', original: true, manifestDigest: digestOf(artifact.manifest) })
    const all = [artifact.config, artifact.manifest, ...artifact.layers]
    expect(readdirSync(join(to, 'blobs/sha256')).sort()).toEqual(all.map((bytes) => digestOf(bytes).slice(7)).sort())
    for (const bytes of all) expect(readFileSync(join(to, blobName(digestOf(bytes)))).equals(bytes)).toBe(true)
  })
})
