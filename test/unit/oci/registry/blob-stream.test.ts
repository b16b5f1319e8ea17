import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { type AddressInfo, createServer } from 'node:net'
import { Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { brotliCompressSync, constants, deflateSync, gzipSync } from 'node:zlib'
import { describe, expect, onTestFinished, test } from 'vitest'
import { parseReference, RegistryClient, type RegistryOptions } from '../../../../src/oci/index.ts'
import { digestOf } from '../../../support/image-archive.ts'
import { type Served, serve } from '../../../support/serve.ts'

const blob = Buffer.from(Array.from({ length: 1 << 20 }, (_, i) => (i * 7 + (i >> 8)) & 255))
const descriptor = { digest: digestOf(blob), size: blob.length }
const fast: RegistryOptions = {
  registriesConfig: { rules: [], searched: [], aliases: new Map() },
  creds: 'me:secret',
  retryDelay: 1,
  retryTimes: 3,
  idleTimeout: 200,
}

async function open(server: Served, options: RegistryOptions = {}): Promise<RegistryClient> {
  const client = await RegistryClient.open(parseReference(`${server.host}/a/b`), { ...fast, ...options })
  onTestFinished(() => client.close())
  return client
}

async function read(server: Served, options: RegistryOptions = {}, wanted = descriptor): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of (await open(server, options)).blob(wanted, 'layer 2 of 3')) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

const startOf = (request: IncomingMessage) =>
  Number(/^bytes=([0-9]+)-[0-9]+$/.exec(request.headers.range ?? '')?.[1] ?? 0)

function rest(request: IncomingMessage, response: ServerResponse, end = blob.length): void {
  const start = startOf(request)
  if (start === 0) response.writeHead(200, { 'content-length': blob.length })
  else response.writeHead(206, { 'content-range': `bytes ${start}-${blob.length - 1}/${blob.length}` })
  response.write(blob.subarray(start, end), () => (end < blob.length ? response.destroy() : response.end()))
}

describe('a blob', () => {
  test('goes on where it was cut', async () => {
    const server = await serve((request, response) => rest(request, response, startOf(request) + 300_000))
    expect((await read(server)).equals(blob)).toBe(true)
    expect(server.requests.map((request) => startOf(request))).toEqual([0, 300_000, 600_000, 900_000])
  })

  test('cut a hundred times with progress between', async () => {
    const server = await serve((request, response) => rest(request, response, startOf(request) + 70_000))
    expect((await read(server, { retryTimes: 1 })).equals(blob)).toBe(true)
  })

  test('cut without progress fails, naming the layer and the byte', async () => {
    const server = await serve((request, response) => rest(request, response, 1000))
    await expect(read(server)).rejects.toMatchObject({
      code: 'ERR_REGISTRY_UNREACHABLE',
      message: expect.stringMatching(/layer 2 of 3 \(sha256:[0-9a-f]{64}\) of 127\.0\.0\.1:[0-9]+\/a\/b:latest/),
    })
    expect(server.requests).toHaveLength(4)
  })

  test('from a server without ranges comes again, and what came before is passed over', async () => {
    let count = 0
    const server = await serve((_request, response) => {
      response.writeHead(200, { 'content-length': blob.length })
      count++
      response.write(blob.subarray(0, count * 400_000), () => (count > 2 ? response.end() : response.destroy()))
    })
    expect((await read(server)).equals(blob)).toBe(true)
    expect(server.requests).toHaveLength(3)
  })

  test('that always has to begin again is given up', async () => {
    let count = 0
    const server = await serve((_request, response) => {
      response.writeHead(200, { 'content-length': blob.length })
      response.write(blob.subarray(0, ++count * 70_000), () => response.destroy())
    })
    await expect(read(server)).rejects.toMatchObject({ code: 'ERR_REGISTRY_PROTOCOL', offset: 350_000 })
  })

  test.each([
    ['another start', (start: number) => `bytes ${start - 1}-${blob.length - 1}/${blob.length}`],
    ['another end', (start: number) => `bytes ${start}-${blob.length - 2}/${blob.length}`],
    ['another size', (start: number) => `bytes ${start}-${blob.length - 1}/${blob.length + 1}`],
    ['nothing', () => undefined],
  ])('a range that says %s is not taken', async (_what, contentRange) => {
    const server = await serve((request, response) => {
      const start = startOf(request)
      if (start > 0) {
        const range = contentRange(start)
        // Its bytes are wrong as well: taken they would show.
        response.writeHead(206, range === undefined ? {} : { 'content-range': range }).end(Buffer.alloc(blob.length))
      } else rest(request, response, server.requests.length === 1 ? 500_000 : blob.length)
    })
    expect((await read(server)).equals(blob)).toBe(true)
    expect(server.requests.map(startOf)).toEqual([0, 500_000, 0])
  })

  test('416: from the beginning', async () => {
    const server = await serve((request, response) => {
      if (startOf(request) > 0) response.writeHead(416).end()
      else rest(request, response, server.requests.length === 1 ? 500_000 : blob.length)
    })
    expect((await read(server)).equals(blob)).toBe(true)
  })

  test('whose connection stays open after the last byte is whole', async () => {
    const server = await serve((_request, response) => {
      response.writeHead(200)
      response.write(blob)
    })
    expect((await read(server)).equals(blob)).toBe(true)
    expect(server.requests).toHaveLength(1)
  })

  test.each([
    ['a longer one', blob.length + 1],
    ['a shorter one', blob.length - 1],
  ])('%s than promised is refused before its first byte', async (_what, size) => {
    const server = await serve(rest)
    const wanted = { digest: descriptor.digest, size }
    const error = { code: 'ERR_SIZE_MISMATCH', expected: size, actual: blob.length }
    await expect(read(server, {}, wanted)).rejects.toMatchObject(error)
  })

  test('that does not end is cut at its size', async () => {
    const server = await serve((_request, response) => {
      response.writeHead(200)
      const more = (error?: Error | null) => void (error || response.destroyed || response.write(blob, more))
      more()
    })
    await expect(read(server)).rejects.toMatchObject({ code: 'ERR_SIZE_MISMATCH' })
  })

  test('of no bytes', async () => {
    const server = await serve((_request, response) => response.end())
    expect(await read(server, {}, { digest: digestOf(Buffer.alloc(0)), size: 0 })).toHaveLength(0)
  })

  test('is asked for as it is stored', async () => {
    const server = await serve(rest)
    await read(server)
    expect(server.requests[0]!.headers['accept-encoding']).toBe('identity')
  })

  test('ranges name their end, since some registries refuse those without', async () => {
    const server = await serve((request, response) => {
      const range = request.headers.range
      if (range !== undefined && !/^bytes=[0-9]+-[0-9]+$/.test(range)) return response.writeHead(416).end()
      return rest(request, response, startOf(request) + 400_000)
    })
    expect((await read(server)).equals(blob)).toBe(true)
    expect(server.requests.map(({ headers }) => headers.range)).toEqual([
      undefined,
      'bytes=400000-1048575',
      'bytes=800000-1048575',
    ])
  })

  test('that stalls is asked for again, and at last given up', async () => {
    const stall = (request: IncomingMessage, response: ServerResponse) => {
      if (startOf(request) > 0 && server.requests.length > 2) return rest(request, response)
      response.writeHead(200, { 'content-length': blob.length })
      return response.write(blob.subarray(0, 100_000))
    }
    const server: Served = await serve(stall)
    expect((await read(server)).equals(blob)).toBe(true)
    const dead = await serve(() => {})
    await expect(read(dead)).rejects.toMatchObject({ code: 'ERR_REGISTRY_STALLED' })
  })

  test('whose reader is slow does not stall', async () => {
    const server = await serve(rest)
    const stream = (await open(server, { idleTimeout: 400 })).blob(descriptor)
    let size = 0
    const slow = new Writable({
      highWaterMark: 1,
      write: (chunk: Buffer, _encoding, done) => {
        size += chunk.length
        const first = size === chunk.length
        sleep(first ? 600 : 0).then(() => done(), done)
      },
    })
    await pipeline(stream, slow)
    expect(size).toBe(blob.length)
    expect(server.requests).toHaveLength(1)
  })

  test.each(['HTTP/1.1 200 OK\r\nConnection: close', 'HTTP/1.0 200 OK'])(
    'whose end is that of its connection comes whole to a slow reader: %s',
    async (head) => {
      const server = createServer((socket) => {
        socket.on('error', () => {})
        socket.once('data', () => {
          socket.write(`${head}\r\nDocker-Distribution-Api-Version: registry/2.0\r\n\r\n`)
          socket.end(blob)
        })
      })
      server.listen(0, '127.0.0.1')
      await once(server, 'listening')
      onTestFinished(() => void server.close())
      const { port } = server.address() as AddressInfo
      const client = await RegistryClient.open(parseReference(`127.0.0.1:${port}/a/b`), { ...fast, idleTimeout: 5_000 })
      onTestFinished(() => client.close())
      const stream = client.blob(descriptor)
      stream.read(0)
      while (stream.readableLength < stream.readableHighWaterMark) await sleep(5)
      // By now the server is done.
      await sleep(50)
      const chunks: Buffer[] = []
      for await (const chunk of stream) {
        chunks.push(chunk as Buffer)
        await sleep(1)
      }
      expect(Buffer.concat(chunks).equals(blob)).toBe(true)
    },
  )

  test('destroyed in the middle closes its connection', async () => {
    let close = (): void => {}
    const gone = new Promise<void>((resolve) => {
      close = resolve
    })
    const server = await serve((_request, response) => {
      response.on('close', close)
      response.writeHead(200, { 'content-length': blob.length })
      response.write(blob.subarray(0, 1000))
    })
    const stream = (await open(server)).blob(descriptor)
    stream.once('data', () => stream.destroy())
    await gone
    expect(stream.destroyed).toBe(true)
  })

  test('a wait longer than allowed is told, not waited for', async () => {
    const server = await serve((_request, response) => response.writeHead(429, { 'retry-after': '7200' }).end())
    await expect(read(server)).rejects.toMatchObject({
      code: 'ERR_REGISTRY_RATE_LIMITED',
      message: expect.stringContaining('try again in 2 h'),
    })
    expect(server.requests).toHaveLength(1)
  })
})

describe('Content-Encoding', () => {
  const small = Buffer.from('{"small": true}'.repeat(20))
  const tarLike = Buffer.alloc(2 << 20, 'tar of text ')
  const quickBrotli = (bytes: Buffer) => brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } })
  const packers = { gzip: gzipSync, 'x-gzip': gzipSync, deflate: deflateSync, br: quickBrotli }
  const stored: Record<string, [Buffer, string?]> = {
    'a config': [small],
    'a packed config': [gzipSync(small)],
    'a large gzip layer': [gzipSync(blob, { level: 0 }), 'application/vnd.oci.image.layer.v1.tar+gzip'],
    'a large gzip layer of unknown type': [gzipSync(blob, { level: 0 })],
    'a large plain layer': [tarLike, 'application/vnd.oci.image.layer.v1.tar'],
  }
  const answers = Object.keys(packers).flatMap((encoding) =>
    [true, false].flatMap((length) => [true, false].map((packs) => ({ encoding, length, packs }))),
  )

  test.each(Object.entries(stored))('of %s is decided by what comes', async (_what, [bytes, mediaType]) => {
    let answer = answers[0]!
    const server = await serve((_request, response) => {
      const { encoding, length, packs } = answer
      const sent = packs ? packers[encoding as keyof typeof packers](bytes) : bytes
      response.writeHead(200, { 'content-encoding': encoding, ...(length && { 'content-length': sent.length }) })
      // So that it comes in pieces.
      response.write(sent.subarray(0, 3))
      response.end(sent.subarray(3))
    })
    const client = await open(server, { idleTimeout: 10_000 })
    const wanted = { digest: digestOf(bytes), size: bytes.length, ...(mediaType !== undefined && { mediaType }) }
    for (answer of answers) {
      const chunks = await client.blob(wanted).toArray()
      expect([answer, Buffer.concat(chunks).equals(bytes)]).toEqual([answer, true])
    }
  })

  test.each(['identity', 'aws-chunked', 'utf-8', 'gzip, gzip', ''])('that means nothing: %j', async (encoding) => {
    const server = await serve((_request, response) =>
      response.writeHead(200, { 'content-encoding': encoding }).end(blob),
    )
    expect((await read(server)).equals(blob)).toBe(true)
  })

  test('of a server that stores it so does not keep a cut transfer from going on in its middle', async () => {
    const server = await serve((request, response) => {
      response.setHeader('content-encoding', 'gzip')
      rest(request, response, startOf(request) + 600_000)
    })
    expect((await read(server)).equals(blob)).toBe(true)
    expect(server.requests.map(startOf)).toEqual([0, 600_000])
  })

  test('of what is packed on its way, and cut, comes again from its beginning', async () => {
    const packed = gzipSync(tarLike)
    const server: Served = await serve((_request, response) => {
      response.writeHead(200, { 'content-encoding': 'gzip', 'content-length': packed.length })
      if (server.requests.length > 1) return response.end(packed)
      return response.write(packed.subarray(0, packed.length / 2), () => setTimeout(() => response.destroy(), 20))
    })
    const wanted = { digest: digestOf(tarLike), size: tarLike.length }
    expect((await read(server, {}, wanted)).equals(tarLike)).toBe(true)
    expect(server.requests.map(({ headers }) => headers.range)).toEqual([undefined, undefined])
  })

  test('that unpacks to more than promised, or to nothing, is refused', async () => {
    const bomb = gzipSync(Buffer.alloc(8 << 20))
    const server = await serve((_request, response) =>
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(bomb),
    )
    const wanted = { ...descriptor, size: 2 << 20, mediaType: 'application/vnd.oci.image.layer.v1.tar' }
    await expect(read(server, {}, wanted)).rejects.toMatchObject({ code: 'ERR_SIZE_MISMATCH' })
    const broken = Buffer.concat([gzipSync(blob).subarray(0, 100_000), Buffer.alloc(1000, 'x')])
    const damaging = await serve((_request, response) =>
      response.writeHead(200, { 'content-encoding': 'gzip', 'content-length': broken.length }).end(broken),
    )
    await expect(read(damaging, { retryTimes: 1 }, { ...wanted, size: 3 << 20 })).rejects.toMatchObject({
      code: expect.stringMatching(/^ERR_REGISTRY_(?:PROTOCOL|UNREACHABLE)$/),
    })
  })
})

describe('a server that sends next to nothing', () => {
  /** Sends a byte at a time, for ever. */
  const drip = (response: ServerResponse, head = {}) => {
    response.writeHead(200, head)
    const timer = setInterval(() => response.write('x'), 20)
    response.on('close', () => clearInterval(timer))
  }

  test('is given up, whatever it sends', async () => {
    const server = await serve((_request, response) => drip(response))
    await expect(read(server, { retryTimes: 0 })).rejects.toMatchObject({ code: 'ERR_REGISTRY_STALLED' })
    const client = await open(server, { retryTimes: 0 })
    await expect(client.manifest()).rejects.toMatchObject({ code: 'ERR_REGISTRY_STALLED' })
    await expect(client.tags()).rejects.toMatchObject({ code: 'ERR_REGISTRY_STALLED' })
    await expect(
      read(server, { retryTimes: 0, minRate: 0, idleTimeout: 10_000 }, { ...descriptor, size: 10 }),
    ).rejects.toMatchObject({ code: 'ERR_SIZE_MISMATCH' })
  })

  test('is given up as a token server', async () => {
    const server: Served = await serve((request, response) => {
      if (request.url!.startsWith('/token')) return drip(response)
      const challenge = `Bearer realm="http://${server.host}/token"`
      return response.writeHead(401, { 'www-authenticate': challenge }).end()
    })
    await expect(read(server, { retryTimes: 0 })).rejects.toMatchObject({ code: 'ERR_REGISTRY_STALLED' })
  })

  test('is given up where it does not come to the end of its headers', async () => {
    const server = createServer((socket) => {
      socket.on('error', () => {}).write('HTTP/1.1 200 OK\r\n')
      const timer = setInterval(() => socket.write('X: y\r\n'), 20)
      socket.on('close', () => clearInterval(timer))
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    onTestFinished(() => void server.close())
    const { port } = server.address() as AddressInfo
    const client = await RegistryClient.open(parseReference(`127.0.0.1:${port}/a/b`), { ...fast, retryTimes: 0 })
    onTestFinished(() => client.close())
    await expect(client.manifest()).rejects.toMatchObject({ code: 'ERR_REGISTRY_STALLED' })
  })
})

describe('credentials', () => {
  test('that two blobs wait for come for one where the other is given up', async () => {
    let asked = (): void => {}
    const asking = new Promise<void>((resolve) => {
      asked = resolve
    })
    const answers: (() => void)[] = []
    let given = false
    const server: Served = await serve((request, response) => {
      if (request.url!.startsWith('/token')) {
        const answer = () => response.end(JSON.stringify({ token: 'T', expires_in: 300 }))
        answers.push(answer)
        // Whoever comes later than all the others has its answer as well.
        return given ? answer() : asked()
      }
      if (request.headers.authorization === 'Bearer T') return rest(request, response)
      const challenge = `Bearer realm="http://${server.host}/token",service="x"`
      return response.writeHead(401, { 'www-authenticate': challenge }).end()
    })
    const client = await open(server, { idleTimeout: 5_000 })
    const first = client.blob(descriptor)
    first.on('error', () => {}).resume()
    await asking
    const chunks = client.blob(descriptor).toArray()
    chunks.catch(() => {})
    await expect.poll(() => server.requests.length).toBe(3)
    // Until it knows that it was refused, and waits as well.
    await sleep(50)
    first.destroy(new Error('no longer wanted'))
    given = true
    for (const answer of answers) answer()
    expect(Buffer.concat(await chunks).equals(blob)).toBe(true)
  })

  test('do not follow a redirect to another port, nor come back from there', async () => {
    const other = await serve((request, response) => {
      if (request.url!.startsWith('/back')) response.writeHead(307, { location: `http://${server.host}/end` }).end()
      else response.writeHead(307, { location: '/back' }).end()
    })
    const server: Served = await serve((request, response) => {
      if (request.url === '/end') return rest(request, response)
      if (request.headers.authorization === undefined) {
        return response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end()
      }
      return response.writeHead(302, { location: `http://${other.host}/blob?sig=1` }).end()
    })
    expect((await read(server)).equals(blob)).toBe(true)
    expect(other.requests.map(({ headers }) => headers.authorization)).toEqual([undefined, undefined])
    expect(server.requests.map(({ headers }) => headers.authorization !== undefined)).toEqual([false, true, false])
  })
})
