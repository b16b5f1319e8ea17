import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PassThrough, Writable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import {
  ArchiveDestination,
  importArchive,
  LayoutDestination,
  openDestination,
  openImage,
  type PushEvent,
  pull,
  push,
  pushImage,
} from '../../../src/oci/index.ts'
import type { Repository } from '../../../src/repository/index.ts'
import { parseSplitstream } from '../../../src/streams/index.ts'
import { digestOf } from '../../support/image-archive.ts'
import { imageIdOf } from '../../support/image-id.ts'
import { randomImage, writeLayout } from '../../support/random-images.ts'
import { entry, tar } from '../../support/tar.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'
import { temporaryRepository } from '../../support/temporary-repository.ts'

async function imported(seed: number): Promise<{ repository: Repository; id: string; at: string }> {
  const at = temporaryDirectory()
  writeLayout(join(at, 'from'), randomImage(seed))
  const repository = await temporaryRepository()
  const id = imageIdOf(await pull(repository, `oci:${at}/from`, { name: 'x' }))
  return { repository, id, at }
}

async function idOf(name: string): Promise<string> {
  return imageIdOf(await pull(await temporaryRepository(), name, { name: 'y' }))
}

/** Spoils an object that a layer consists of. */
function damage(repository: Repository): void {
  for (const id of openImage(repository, 'x').config!.layers) {
    const [object] = parseSplitstream(repository.readObject(id)).objectRefs
    if (object === undefined) continue
    const path = repository.objects.pathOf(object)
    const bytes = readFileSync(path)
    bytes[0]! ^= 1
    writeFileSync(path, bytes)
    return
  }
  throw new Error('no layer has an object')
}

const index = (layout: string) => JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8'))

describe('a push to a layout', () => {
  test.each([1, 2, 3, 4, 5])('gives the same image (%i)', async (seed) => {
    const { repository, id, at } = await imported(seed)
    await pushImage(repository, 'x', new LayoutDestination(join(at, 'to'), 'tag'))
    expect(await idOf(`oci:${at}/to:tag`)).toBe(id)
    expect(readdirSync(join(at, 'to')).sort()).toEqual(['blobs', 'index.json', 'oci-layout'])
  })

  test('several at the same time all find their place in the index', async () => {
    const { repository, at } = await imported(1)
    const tags = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']
    await Promise.all(tags.map((tag) => pushImage(repository, 'x', new LayoutDestination(join(at, 'to'), tag))))
    const names = index(join(at, 'to')).manifests.map(
      ({ annotations }: { annotations: Record<string, string> }) => annotations['org.opencontainers.image.ref.name'],
    )
    expect(names.sort()).toEqual(tags)
    expect(readdirSync(join(at, 'to')).sort()).toEqual(['blobs', 'index.json', 'oci-layout'])
  })

  test('the other images stay, and what had the tag loses it', async () => {
    const { repository, at } = await imported(1)
    const layout = join(at, 'to')
    for (const tag of ['a', 'b', 'a', undefined, undefined]) {
      await pushImage(repository, 'x', new LayoutDestination(layout, tag), {
        compression: tag === 'b' ? 'gzip' : 'none',
      })
    }
    const tags = index(layout).manifests.map(
      (item: { annotations?: Record<string, string> }) => item.annotations?.['org.opencontainers.image.ref.name'],
    )
    expect(tags).toEqual(['b', 'a', undefined])
  })

  test('a second one sends nothing, and events say so', async () => {
    const { repository, at } = await imported(2)
    const events: PushEvent[] = []
    const onEvent = (event: PushEvent): void => void events.push(event)
    const first = await push(repository, 'x', `oci:${at}/to:tag`, { onEvent })
    const distinct = new Set(first.layers.map(({ digest }) => digest)).size
    expect(events.filter(({ type }) => type === 'layer')).toHaveLength(distinct)
    expect(events.at(0)).toMatchObject({ type: 'manifest', digest: openImage(repository, 'x').manifestDigest })
    expect(events.at(-1)).toEqual({ type: 'pushed', image: first })
    const second = await push(repository, 'x', `oci:${at}/to:other`)
    expect(new Set(second.layers.map(({ how }) => how))).toEqual(new Set(['present']))
    expect(second.manifestDigest).toBe(first.manifestDigest)
  })

  test('blobs that are damaged there are sent again', async () => {
    const { repository, id, at } = await imported(2)
    const first = await push(repository, 'x', `oci:${at}/to:tag`)
    const blobs = join(at, 'to/blobs/sha256')
    for (const name of readdirSync(blobs)) {
      const bytes = readFileSync(join(blobs, name))
      bytes[bytes.length >> 1]! ^= 1
      writeFileSync(join(blobs, name), bytes)
    }
    const second = await push(repository, 'x', `oci:${at}/to:tag`)
    expect(second.layers.map(({ how }) => how)).toContain('sent')
    expect(second.manifestDigest).toBe(first.manifestDigest)
    expect(await idOf(`oci:${at}/to:tag`)).toBe(id)
  })

  test('what the tag there calls a layer of this image is not believed', async () => {
    const { repository, id, at } = await imported(2)
    const { manifestDigest } = await push(repository, 'x', `oci:${at}/to:tag`)
    const blobs = join(at, 'to/blobs/sha256')
    const manifest = JSON.parse(readFileSync(join(blobs, manifestDigest.slice('sha256:'.length)), 'utf8'))
    const evil = gzipSync(tar(entry({ name: 'usr/', type: '5' }), entry({ name: 'usr/evil' })))
    const store = (bytes: Buffer) => {
      writeFileSync(join(blobs, digestOf(bytes).slice('sha256:'.length)), bytes)
      return { digest: digestOf(bytes), size: bytes.length }
    }
    for (const layer of manifest.layers) Object.assign(layer, store(evil))
    const entries = index(join(at, 'to'))
    Object.assign(entries.manifests[0], store(Buffer.from(JSON.stringify(manifest))))
    writeFileSync(join(at, 'to/index.json'), JSON.stringify(entries))
    expect((await push(repository, 'x', `oci:${at}/to:tag`)).manifestDigest).toBe(manifestDigest)
    expect(await idOf(`oci:${at}/to:tag`)).toBe(id)
  })

  test('a damaged layer gets no name, and leaves nothing', async () => {
    const { repository, at } = await imported(3)
    damage(repository)
    const code = expect.stringMatching(/^ERR_(?:REPOSITORY_CORRUPT|DIGEST_MISMATCH)$/)
    const message = expect.stringMatching(/^layer [0-9]+ of [0-9]+ \(sha256:/)
    await expect(push(repository, 'x', `oci:${at}/to:tag`)).rejects.toMatchObject({ code, message })
    expect(readdirSync(join(at, 'to'))).toEqual(['blobs'])
    await expect(push(repository, 'x', `oci-archive:${at}/to.tar`)).rejects.toMatchObject({ code })
    expect(readdirSync(at).sort()).toEqual(['from', 'to'])
  })

  test('ends when it is told to', async () => {
    const { repository, at } = await imported(1)
    const abort = new AbortController()
    const onEvent = ({ type }: PushEvent): void => {
      if (type === 'layer-start') abort.abort(new Error('enough'))
    }
    const pushing = push(repository, 'x', `oci:${at}/to:tag`, { onEvent, signal: abort.signal })
    await expect(pushing).rejects.toThrow('enough')
    const left = existsSync(join(at, 'to')) ? readdirSync(join(at, 'to')) : []
    expect(left.filter((name) => name !== 'blobs')).toEqual([])
  })
})

describe('a push to an archive', () => {
  test.each([1, 2, 3])('gives the same image (%i)', async (seed) => {
    const { repository, id } = await imported(seed)
    const output = new PassThrough()
    const [bytes, result] = await Promise.all([
      buffer(output),
      pushImage(repository, 'x', new ArchiveDestination(output, 'tag'), { compression: seed === 1 ? 'none' : 'gzip' }),
    ])
    const source = new PassThrough()
    source.end(bytes)
    const [image] = await importArchive(await temporaryRepository(), source)
    expect(image).toMatchObject({ manifestDigest: result.manifestDigest, tags: ['tag'] })
    expect(image!.imageId.hex).toBe(id)
  })

  test('an output that fails is what it fails with', async () => {
    const { repository } = await imported(1)
    const output = new Writable({ write: (_chunk, _encoding, callback) => callback(new Error('no more')) })
    await expect(pushImage(repository, 'x', new ArchiveDestination(output))).rejects.toThrow('no more')
  })

  test('ends when it is told to, also where nobody reads', async () => {
    const { repository } = await imported(1)
    const abort = new AbortController()
    const stuck = new Writable({ highWaterMark: 1, write: () => abort.abort(new Error('enough')) })
    const pushing = pushImage(repository, 'x', new ArchiveDestination(stuck), { signal: abort.signal })
    await expect(pushing).rejects.toThrow('enough')
  })
})

test('only places that are known', async () => {
  for (const name of ['fedora', 'dir:x', 'oci:', 'containers-storage:x']) {
    await expect(openDestination(name)).rejects.toMatchObject({ code: 'ERR_OCI_REFERENCE' })
  }
})
