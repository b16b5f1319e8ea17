import { Readable } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { parseReference, RegistryDestination, type RegistryPushOptions } from '../../../../src/oci/index.ts'
import { digestOf } from '../../../support/image-archive.ts'
import { Random } from '../../../support/random.ts'
import { serve } from '../../../support/serve.ts'
import { type UploadFaults, UploadRegistry } from '../../../support/upload-registry.ts'

const bytes = Buffer.from(new Random(1).bytes(1000), 'latin1')
const digest = digestOf(bytes)
const { signal } = new AbortController()
const config = { rules: [], searched: [], aliases: new Map() }

async function destination(registry: UploadRegistry, options: RegistryPushOptions = {}): Promise<RegistryDestination> {
  return RegistryDestination.open(parseReference(`${registry.host}/os/image:1`), {
    registriesConfig: config,
    retryDelay: 1,
    chunkSize: 400,
    ...options,
  })
}

/** Sends the bytes, made anew as often as the upload wants them. */
async function send(faults: UploadFaults, options: RegistryPushOptions = {}) {
  const registry = await new UploadRegistry(faults).start()
  const to = await destination(registry, options)
  let made = 0
  const open = (): Readable => {
    made++
    return Readable.from([bytes.subarray(0, 7), bytes.subarray(7, 650), bytes.subarray(650)])
  }
  try {
    const result = await to.put({ open }, 'the blob', signal)
    return { registry, result, made, to }
  } finally {
    await to.close()
  }
}

const whole = ['POST', 'PATCH 0-399', 'PATCH 400-799', 'PATCH 800-999', 'PUT']

describe('an upload in chunks', () => {
  test('gets its digest at the end', async () => {
    const { registry, result } = await send({})
    expect(result).toEqual({ digest, size: 1000, how: 'sent' })
    expect(registry.blobs.get(digest)).toEqual(bytes)
    expect(registry.log).toEqual(whole)
  })

  test('a cut chunk goes on where it was cut', async () => {
    const { registry, result, made } = await send({ PATCH: [undefined, { take: 150 }] })
    expect(result.digest).toBe(digest)
    expect(made).toBe(1)
    expect(registry.log).toEqual([...whole.slice(0, 3), 'GET', 'PATCH 550-799', 'PATCH 800-999', 'PUT'])
  })

  test('a chunk that arrived is not sent again although its answer was lost', async () => {
    const { registry } = await send({ PATCH: ['no-answer'] })
    expect(registry.log).toEqual([...whole.slice(0, 2), 'GET', ...whole.slice(2)])
  })

  test('what the registry did not take of a chunk is sent again', async () => {
    const { registry } = await send({ PATCH: [{ claim: 100 }] })
    expect(registry.log).toEqual([...whole.slice(0, 2), 'PATCH 100-399', ...whole.slice(2)])
  })

  test('errors and refused ranges pass', async () => {
    const { registry } = await send({ POST: ['error'], PATCH: ['error', 'range-error'], PUT: ['error'] })
    const start = ['POST', 'POST', 'PATCH 0-399', 'GET', 'PATCH 0-399', 'GET', 'PATCH 0-399']
    expect(registry.log).toEqual([...start, 'PATCH 400-799', 'PATCH 800-999', 'PUT', 'PUT'])
    expect(registry.blobs.get(digest)).toEqual(bytes)
  })

  test('an upload that the registry forgot begins again', async () => {
    const { registry, made } = await send({ PATCH: [undefined, 'forget'] })
    expect(made).toBe(2)
    expect(registry.log).toEqual([...whole.slice(0, 3), ...whole])
  })

  test('a registry that forgets every time is given up', async () => {
    const forget = Array.from({ length: 10 }, () => 'forget' as const)
    await expect(send({ PATCH: forget })).rejects.toMatchObject({ code: 'ERR_REGISTRY_UNREACHABLE' })
  })

  test('an end whose answer was lost is found out', async () => {
    const { registry, result } = await send({ PUT: ['no-answer'] })
    expect(result.how).toBe('sent')
    expect(registry.log).toEqual([...whole, 'PUT'])
  })

  test('a registry that refuses every range is given up', async () => {
    const refuse = Array.from({ length: 10 }, () => 'range-error' as const)
    await expect(send({ PATCH: refuse }, { retryTimes: 2 })).rejects.toMatchObject({ code: 'ERR_REGISTRY_PROTOCOL' })
  })

  test('a failure of the blob is what the upload fails with', async () => {
    const registry = await new UploadRegistry().start()
    const to = await destination(registry)
    async function* broken() {
      yield bytes
      throw new Error('broken')
    }
    await expect(to.put({ open: () => Readable.from(broken()) }, 'the blob', signal)).rejects.toThrow('broken')
    expect(registry.blobs.size).toBe(0)
    await to.close()
  })

  test('credentials stay with the registry', async () => {
    const elsewhere = await serve((request, response) => {
      request.resume().on('end', () => response.writeHead(403).end())
    }, '127.0.0.2')
    const registry = new UploadRegistry()
    registry.uploadHost = elsewhere.host
    await registry.start()
    const to = await destination(registry, { creds: 'someone:secret' })
    await expect(to.put({ open: () => Readable.from([bytes]) }, 'the blob', signal)).rejects.toMatchObject({
      code: 'ERR_REGISTRY_FORBIDDEN',
    })
    expect(elsewhere.requests.length).toBeGreaterThan(0)
    for (const { headers } of elsewhere.requests) expect(headers.authorization).toBeUndefined()
    await to.close()
  })
})

describe('a blob of one chunk', () => {
  test('goes at once', async () => {
    const { registry, result } = await send({}, { chunkSize: 1000 })
    expect(result).toEqual({ digest, size: 1000, how: 'sent' })
    expect(registry.log).toEqual(['POST', 'PUT'])
  })

  test('is not sent where it is', async () => {
    const registry = await new UploadRegistry().start()
    registry.blobs.set(digest, bytes)
    const to = await destination(registry, { chunkSize: 1000 })
    const result = await to.put({ open: () => Readable.from([bytes]) }, 'the blob', signal)
    expect(result).toEqual({ digest, size: 1000, how: 'present' })
    expect(registry.log).toEqual([])
    await to.close()
  })
})
