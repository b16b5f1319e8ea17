import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { Readable } from 'node:stream'
import { describe, expect, onTestFinished, test } from 'vitest'
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

describe('a registry with habits of its own', () => {
  const always = (fault: number) => Array.from({ length: 20 }, () => fault)

  test.each([400, 403, 404, 405, 501])('HEAD %i: what is not seen is sent', async (status) => {
    const { registry, result, to } = await send({ HEAD: always(status) }, { chunkSize: 1000 })
    expect(result.how).toBe('sent')
    expect(registry.blobs.get(digest)).toEqual(bytes)
    expect(await to.find({ digest, size: 1000 }, 'the blob', signal)).toBeUndefined()
  })

  test.each([400, 405, 501])('PATCH %i: everything goes at once, and is made anew for it', async (status) => {
    const { registry, result, made } = await send({ PATCH: always(status) })
    expect(result).toEqual({ digest, size: 1000, how: 'sent' })
    expect(registry.blobs.get(digest)).toEqual(bytes)
    // Once in chunks, once to know its digest, once to be sent.
    expect(made).toBe(3)
    expect(registry.log).toEqual(['POST', 'PATCH 0-399', 'POST', 'PUT'])
  })

  test('a blob that is sent at once and fails is sent again, and its own failure is told', async () => {
    const { registry, made } = await send({ PATCH: always(405), PUT: ['error', { take: 10 }] })
    expect(registry.blobs.get(digest)).toEqual(bytes)
    expect(made).toBe(5)
    const broken = await new UploadRegistry({ PATCH: always(405) }).start()
    const to = await destination(broken)
    let count = 0
    async function* failing() {
      yield bytes
      if (++count === 3) throw new Error('broken')
    }
    await expect(to.put({ open: () => Readable.from(failing()) }, 'the blob', signal)).rejects.toThrow('broken')
    expect(broken.blobs.size).toBe(0)
    await to.close()
  })

  test('a chunk that is refused after others is a failure', async () => {
    await expect(send({ PATCH: [undefined, 400] })).rejects.toMatchObject({ code: 'ERR_REGISTRY_PROTOCOL' })
  })

  test.each([
    ['no place after the first', ['PATCH location']],
    ['no range', ['PATCH range', 'GET range']],
    ['only the name of the upload', ['POST location']],
  ])('%s', async (_what, silent) => {
    const registry = new UploadRegistry()
    for (const name of silent) registry.silent.add(name)
    await registry.start()
    const to = await destination(registry)
    await to.put({ open: () => Readable.from([bytes]) }, 'the blob', signal)
    expect(registry.blobs.get(digest)).toEqual(bytes)
    await to.close()
  })

  test('that can only be read from says so', async () => {
    await expect(send({ POST: always(405) })).rejects.toMatchObject({
      code: 'ERR_REGISTRY_PROTOCOL',
      hint: expect.stringContaining('only be read from'),
    })
  })

  test('a server that takes next to nothing is given up', async () => {
    const sockets: Socket[] = []
    // Takes the head of each request, and then nothing any more.
    const server = createServer((socket) => {
      sockets.push(socket.on('error', () => {}))
      socket.once('data', (head) => {
        const host = /host: (.*)\r/i.exec(String(head))?.[1]
        // It does not speak TLS.
        if (host === undefined) return void socket.destroy()
        const start = 'HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n'
        if (/^HEAD/.test(String(head))) socket.end('HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n')
        else if (/^POST/.test(String(head))) socket.end(`${start}Location: http://${host}/v2/x/blobs/uploads/1\r\n\r\n`)
        else socket.pause()
      })
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    onTestFinished(() => {
      server.close()
      for (const socket of sockets) socket.destroy()
    })
    const { port } = server.address() as AddressInfo
    const to = await RegistryDestination.open(parseReference(`127.0.0.1:${port}/x`), {
      registriesConfig: config,
      retryTimes: 0,
      idleTimeout: 100,
    })
    // More than the kernel takes for it.
    const large = Buffer.alloc(16 << 20)
    const sending = to.put({ open: () => Readable.from([large]) }, 'the blob', signal)
    await expect(sending).rejects.toMatchObject({ code: 'ERR_REGISTRY_STALLED' })
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
