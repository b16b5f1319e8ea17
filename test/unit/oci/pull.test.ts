import type { ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import { describe, expect, onTestFinished, test } from 'vitest'
import {
  type Descriptor,
  layerStream,
  openImage,
  type PullEvent,
  type PullOptions,
  parseReference,
  pullImage,
  RegistryClient,
} from '../../../src/oci/index.ts'
import type { Repository } from '../../../src/repository/index.ts'
import { configOf, digestOf, type ImageBytes, imageOf } from '../../support/image-archive.ts'
import { type Served, serve } from '../../support/serve.ts'
import { entry, tar } from '../../support/tar.ts'
import { leftovers, published, temporaryRepository } from '../../support/temporary-repository.ts'

const usr = entry({ name: 'usr/', type: '5', mode: 0o755 })
const layer = (name: string, size = 20_000) => tar(usr, entry({ name: `usr/${name}` }, name.repeat(size / name.length)))
const tars = ['aaaa', 'bbbb', 'cccc', 'dddd', 'eeee', 'ffff'].map((name) => layer(name))
const suffixes = ['', '+gzip'] as const
const image = imageOf(
  tars,
  tars.map((bytes, i) => ({ bytes: i % 2 === 0 ? bytes : gzipSync(bytes), suffix: suffixes[i % 2]! })),
)

type Answer = (response: ServerResponse, bytes: Buffer) => unknown

/** A registry that has an image; some blobs are answered otherwise. */
function registry({ manifest, config, layers }: ImageBytes, otherwise: Record<string, Answer> = {}): Promise<Served> {
  const blobs = new Map([manifest, config, ...layers].map((bytes) => [digestOf(bytes), bytes]))
  return serve((request, response) => {
    const name = request.url!.split('/').at(-1)!
    const bytes = name === 'latest' ? manifest : blobs.get(name)
    if (bytes === undefined) return response.writeHead(404).end()
    const answer = otherwise[name]
    return answer === undefined ? response.end(bytes) : answer(response, bytes)
  })
}

async function pullFrom(server: Served, repository: Repository, options: PullOptions = {}, signal?: AbortSignal) {
  const source = await RegistryClient.open(parseReference(`${server.host}/a`), {
    registriesConfig: { rules: [], searched: [], aliases: new Map() },
    creds: 'me:secret',
    retryTimes: 0,
    ...(signal !== undefined && { signal }),
  })
  onTestFinished(() => source.close())
  return pullImage(repository, source, { name: 'x', ...options, ...(signal !== undefined && { signal }) })
}

const blobsOf = (server: Served) => server.lines().filter((line) => line.includes('/blobs/'))

describe('pullImage', () => {
  test('publishes the image with its exact bytes', async () => {
    const server = await registry(image)
    const repository = await temporaryRepository()
    const events: PullEvent[] = []
    const pulled = await pullFrom(server, repository, { onEvent: (event) => events.push(event) })
    const opened = openImage(repository, 'x')
    expect(opened.manifestBytes.equals(image.manifest)).toBe(true)
    expect(opened.configBytes.equals(image.config)).toBe(true)
    expect(pulled.manifestDigest).toBe(digestOf(image.manifest))
    expect(events[0]).toMatchObject({ type: 'manifest', digest: pulled.manifestDigest })
    expect(events.at(-1)).toMatchObject({ type: 'image' })
    const finished = events.flatMap((event) => (event.type === 'layer' ? [[event.number, event.cached]] : []))
    expect(finished.sort()).toEqual([1, 2, 3, 4, 5, 6].map((number) => [number, false]))
    expect(leftovers(repository)).toEqual([])
  })

  test('does not fetch what is there', async () => {
    const server = await registry(image)
    const repository = await temporaryRepository()
    await pullFrom(server, repository)
    const before = blobsOf(server).length
    await pullFrom(server, repository, { name: 'y' })
    // Its config tells which layers there are.
    expect(blobsOf(server).slice(before)).toEqual([`GET /v2/a/blobs/${digestOf(image.config)}`])
  })

  test('fetches a layer that occurs twice once', async () => {
    const twice = imageOf([tars[0]!, tars[1]!, tars[0]!])
    const server = await registry(twice)
    const repository = await temporaryRepository()
    await pullFrom(server, repository, { parallel: 1 })
    expect(blobsOf(server)).toHaveLength(3)
  })

  test('never has more layers on their way than allowed', async () => {
    let most = 0
    const held: (() => void)[] = []
    // Each answer waits for another request; a third would come while two are held.
    const slowly: Answer = (response, bytes) => {
      held.push(() => response.end(bytes))
      most = Math.max(most, held.length)
      if (held.length === 2) setTimeout(() => held.splice(0).forEach((answer) => void answer()), 20)
    }
    const server = await registry(image, Object.fromEntries(image.layers.map((bytes) => [digestOf(bytes), slowly])))
    await pullFrom(server, await temporaryRepository(), { parallel: 2 })
    expect(most).toBe(2)
  })

  test('ends at once where it is told to, whatever it waits for', async () => {
    for (const held of ['latest', digestOf(image.config), digestOf(image.layers[0]!)]) {
      const stop = new AbortController()
      const server = await registry(image, { [held]: () => stop.abort(new Error('enough')) })
      const repository = await temporaryRepository()
      // The source has no signal of its own.
      await expect(pullFrom(server, repository, { signal: stop.signal, parallel: 1 })).rejects.toThrow('enough')
      expect(repository.listRefs('streams')).toEqual([])
      expect(leftovers(repository)).toEqual([])
    }
  })

  test('links a layer while the next ones still come: whatever ends the pull, it is kept', async () => {
    const repository = await temporaryRepository()
    const linked: string[][] = []
    const last = digestOf(image.layers.at(-1)!)
    const server = await registry(image, {
      [last]: async (response, bytes) => {
        while (repository.listStreams().length < image.layers.length - 1) await sleep(1)
        linked.push(repository.listStreams())
        response.end(bytes)
      },
    })
    await pullFrom(server, repository)
    expect(linked).toEqual([
      tars
        .slice(0, -1)
        .map((bytes) => layerStream(digestOf(bytes)))
        .sort(),
    ])
  })

  test('a layer that fails stops the others, and what is complete is kept for the next try', async () => {
    let broken = true
    const bad = digestOf(image.layers[3]!)
    const server = await registry(image, {
      [bad]: (response, bytes) => (broken ? response.end(Buffer.alloc(bytes.length)) : response.end(bytes)),
    })
    const repository = await temporaryRepository()
    await expect(pullFrom(server, repository, { parallel: 1 })).rejects.toMatchObject({
      message: expect.stringMatching(/^layer 4 of 6 \(sha256:[0-9a-f]{64}\) of 127\.0\.0\.1:[0-9]+\/a:latest: /),
    })
    expect(leftovers(repository)).toEqual([])
    expect(Object.keys(published(repository)).sort()).toEqual(
      tars
        .slice(0, 3)
        .map((bytes) => `streams/${layerStream(digestOf(bytes))}`)
        .sort(),
    )
    expect(blobsOf(server)).toHaveLength(5)
    broken = false
    await pullFrom(server, repository)
    expect(blobsOf(server)).toHaveLength(5 + 4)
  })

  test('a wrong diffID is found although the blob has its digest', async () => {
    const config = configOf([tars[0]!, tars[2]!])
    const manifest = JSON.parse(imageOf([tars[0]!, tars[1]!]).manifest.toString())
    manifest.config = { ...manifest.config, digest: digestOf(config), size: config.length }
    const lying = { config, manifest: Buffer.from(JSON.stringify(manifest)), layers: [tars[0]!, tars[1]!] }
    const repository = await temporaryRepository()
    await expect(pullFrom(await registry(lying), repository)).rejects.toMatchObject({
      code: 'ERR_DIGEST_MISMATCH',
      message: expect.stringContaining('layer 2 of 2'),
      expected: digestOf(tars[2]!),
      actual: digestOf(tars[1]!),
    })
    expect(repository.hasStream(layerStream(digestOf(tars[2]!)))).toBeUndefined()
  })

  test('a signal ends it with its reason, and keeps what is linked', async () => {
    const abort = new AbortController()
    const repository = await temporaryRepository()
    const hang: Answer = async (response, bytes) => {
      response.writeHead(200, { 'content-length': bytes.length })
      response.write(bytes.subarray(0, 1000))
      // Layers are linked beside the pull; those it still has to do are given up.
      while (repository.listStreams().length < 2) await sleep(1)
      abort.abort(new Error('enough'))
    }
    const server = await registry(image, { [digestOf(image.layers[2]!)]: hang })
    await expect(pullFrom(server, repository, { parallel: 1 }, abort.signal)).rejects.toThrow('enough')
    expect(leftovers(repository)).toEqual([])
    expect(Object.keys(published(repository))).toHaveLength(2)
  })

  test.each<[string, Partial<Descriptor>, RegExp]>([
    [
      'foreign',
      { mediaType: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip' },
      /layer 2 of 6.* is foreign/,
    ],
    ['with addresses', { urls: ['https://example.com/layer'] }, /layer 2 of 6.* is foreign.*https:\/\/example\.com/],
    ['of an unknown type', { mediaType: 'application/x-xz' }, /layer 2 of 6.*application\/x-xz/],
  ])('a layer %s is refused by name before anything is stored', async (_what, fields, message) => {
    const manifest = JSON.parse(image.manifest.toString())
    Object.assign(manifest.layers[1], fields)
    const server = await registry({ ...image, manifest: Buffer.from(JSON.stringify(manifest)) })
    const repository = await temporaryRepository()
    const error = { code: 'ERR_OCI_MEDIA_TYPE', message: expect.stringMatching(message) }
    await expect(pullFrom(server, repository)).rejects.toMatchObject(error)
    expect(repository.stats.newObjects).toBe(0)
    expect(blobsOf(server)).toEqual([])
  })

  test('an index: the platform decides, and the descriptor is checked', async () => {
    const platform = { os: 'linux', architecture: 'arm64' }
    const index = (size: number) =>
      Buffer.from(
        JSON.stringify({
          mediaType: 'application/vnd.docker.distribution.manifest.list.v2+json',
          manifests: [{ mediaType: 'application/x', digest: digestOf(image.manifest), size, platform }],
        }),
      )
    const serving = async (size: number) => {
      const server = await registry(image)
      const list = index(size)
      return serve((request, response) => {
        if (request.url!.endsWith('latest')) return response.end(list)
        return response.writeHead(307, { location: `http://${server.host}${request.url}` }).end()
      })
    }
    const repository = await temporaryRepository()
    const right = await serving(image.manifest.length)
    const other = { platform: { os: 'linux', architecture: 's390x' } }
    await expect(pullFrom(right, repository, other)).rejects.toMatchObject({ code: 'ERR_OCI_PLATFORM' })
    await expect(pullFrom(await serving(7), repository, { platform })).rejects.toMatchObject({
      code: 'ERR_SIZE_MISMATCH',
    })
    const { manifestDigest } = await pullFrom(right, repository, { platform })
    expect(manifestDigest).toBe(digestOf(image.manifest))
  })

  test('boot images come beside the plain one, and are found by their id', async () => {
    const directories = ['boot/', 'sysroot/'].map((name) => entry({ name, type: '5', mode: 0o755 }))
    const server = await registry(imageOf([tar(usr, ...directories, entry({ name: 'boot/kernel' }, 'k'))]))
    const repository = await temporaryRepository({ erofsVersion: 1 })
    const plain = await pullFrom(server, repository)
    expect(plain.boot).toBeUndefined()
    const both = await pullFrom(server, repository, { bootable: true })
    expect(both.imageId.hex).toBe(plain.imageId.hex)
    expect(both.boot!.id.hex).not.toBe(plain.imageId.hex)
    const found = await pullFrom(server, repository, { bootable: true, expectedDigest: both.boot!.id.hex })
    expect(found.boot).toEqual({ id: both.boot!.id, version: 1, xattrs: 'allowlist-only' })
    const missing = await pullFrom(server, repository, { bootable: true, expectedDigest: '0'.repeat(64) })
    expect(missing.boot).toBeUndefined()
  })
})

describe('limits of what is stored', () => {
  const total = tars.reduce((sum, { length }) => sum + length, 0)
  const largest = Math.max(...tars.map(({ length }) => length))
  const refused = { code: 'ERR_COMPRESSION_BOMB' }

  test('all layers together, plain ones and compressed ones', async () => {
    const server = await registry(image)
    const repository = await temporaryRepository()
    await expect(pullFrom(server, repository, { maxOutput: total - 1 })).rejects.toMatchObject(refused)
    expect(published(repository)).not.toHaveProperty('streams/refs/oci/x')
    const whole = await temporaryRepository()
    await pullFrom(server, whole, { maxOutput: total })
    // What is there is not written again.
    await pullFrom(server, whole, { maxOutput: 1, name: 'y' })
  })

  test('each layer', async () => {
    for (const suffix of suffixes) {
      const [bytes] = tars as [Buffer]
      const one = imageOf([bytes], [{ bytes: suffix === '' ? bytes : gzipSync(bytes), suffix }])
      const server = await registry(one)
      const decompressor = { maxOutput: bytes.length }
      await pullFrom(server, await temporaryRepository(), { decompressor })
      const less = { decompressor: { maxOutput: bytes.length - 1 } }
      await expect(pullFrom(server, await temporaryRepository(), less)).rejects.toMatchObject(refused)
    }
    await pullFrom(await registry(image), await temporaryRepository(), { decompressor: { maxOutput: largest } })
  })

  test('a ratio that no honest data has, once there is much of it', async () => {
    const zeros = tar(usr, entry({ name: 'usr/zeros' }, Buffer.alloc(2 ** 22)))
    const server = await registry(imageOf([zeros], [{ bytes: gzipSync(zeros), suffix: '+gzip' }]))
    await pullFrom(server, await temporaryRepository())
    const strict = { decompressor: { freeOutput: 2 ** 20 } }
    await expect(pullFrom(server, await temporaryRepository(), strict)).rejects.toMatchObject(refused)
    await pullFrom(server, await temporaryRepository(), { decompressor: { freeOutput: 2 ** 20, maxRatio: 2000 } })
  })

  test('nothing is opened where there is no image', async () => {
    const server = await registry(image, { latest: (response) => response.writeHead(404).end() })
    const source = await RegistryClient.open(parseReference(`${server.host}/a`), {
      registriesConfig: { rules: [], searched: [], aliases: new Map() },
      creds: 'me:secret',
      retryTimes: 0,
    })
    onTestFinished(() => source.close())
    const unused = () => Promise.reject(new Error('there is nothing to store'))
    await expect(pullImage(unused, source)).rejects.toMatchObject({ code: 'ERR_REGISTRY_NOT_FOUND' })
  })
})
