import { writeFileSync } from 'node:fs'
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib'
import { afterEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { type Mirror, parseReference, RegistryClient, type RegistryOptions } from '../../../../src/oci/index.ts'
import { Connections } from '../../../../src/oci/registry/connections.ts'
import { codes, networkFailure } from '../../../../src/oci/registry/failures.ts'
import { proxyFor } from '../../../../src/oci/registry/proxy.ts'
import { digestOf, imageOf } from '../../../support/image-archive.ts'
import { selfSigned } from '../../../support/self-signed.ts'
import { type Served, serve } from '../../../support/serve.ts'
import { tar } from '../../../support/tar.ts'
import { temporaryDirectory } from '../../../support/temporary-directory.ts'

const { manifest } = imageOf([tar()])
const type = 'application/vnd.oci.image.manifest.v1+json'
const fast: RegistryOptions = { retryDelay: 1, retryTimes: 2, idleTimeout: 500, creds: 'me:hunter2' }
const none = { rules: [], searched: [], aliases: new Map<string, string>() }

async function open(name: string, options: RegistryOptions = {}): Promise<RegistryClient> {
  const client = await RegistryClient.open(parseReference(name), { registriesConfig: none, ...fast, ...options })
  onTestFinished(() => client.close())
  return client
}

const ask = async (server: Served, options?: RegistryOptions) =>
  (await open(`${server.host}/a/b:x`, options)).manifest()

const sendManifest = (response: ServerResponse, bytes: Buffer | string = manifest, headers = {}) =>
  response.writeHead(200, { 'content-type': type, ...headers }).end(bytes)

afterEach(() => vi.unstubAllEnvs())

describe('a manifest', () => {
  test('is handed over as it came', async () => {
    const server = await serve((_request, response) => sendManifest(response))
    expect(await ask(server)).toEqual({ bytes: manifest, digest: digestOf(manifest), mediaType: type })
    expect(server.lines()).toEqual(['GET /v2/a/b/manifests/x'])
    expect(server.requests[0]!.headers.accept).toMatch(
      /oci\.image\.manifest.*oci\.image\.index.*manifest\.list.*v2\+json/,
    )
    // Nobody asked for them.
    expect(server.requests[0]!.headers.authorization).toBeUndefined()
  })

  test('by digest, or with a digest in the header, must have it', async () => {
    const server = await serve((_request, response) => sendManifest(response, `${manifest} `))
    const client = await open(`${server.host}/a/b@${digestOf(manifest)}`)
    const error = { code: 'ERR_DIGEST_MISMATCH', expected: digestOf(manifest) }
    await expect(client.manifest()).rejects.toMatchObject(error)
    const lying = await serve((_request, response) =>
      sendManifest(response, manifest, { 'docker-content-digest': `sha256:${'0'.repeat(64)}` }),
    )
    await expect(ask(lying)).rejects.toMatchObject({ code: 'ERR_DIGEST_MISMATCH' })
  })

  test.each([
    ['gzip', gzipSync(manifest)],
    ['x-gzip', gzipSync(manifest)],
    ['deflate', deflateSync(manifest)],
    ['deflate', deflateRawSync(manifest)],
    ['br', brotliCompressSync(manifest)],
    ['gzip', manifest],
    ['br', manifest],
    ['identity', manifest],
    ['unheard-of', manifest],
  ])('packed on its way, or said to be: %s', async (encoding, body) => {
    const headers = { 'content-encoding': encoding, 'docker-content-digest': digestOf(manifest) }
    const server: Served = await serve((request, response) => {
      // Whoever packs manifests packs tokens.
      if (request.url!.startsWith('/token')) {
        const token = Buffer.from('{"token":"T"}')
        const packed = body === manifest ? token : gzipSync(token)
        return response.writeHead(200, { 'content-encoding': body === manifest ? encoding : 'gzip' }).end(packed)
      }
      if (request.headers.authorization === 'Bearer T') return sendManifest(response, body, headers)
      const bearer = `Bearer realm="http://${server.host}/token"`
      return response.writeHead(401, { 'www-authenticate': bearer }).end()
    })
    expect((await ask(server)).bytes).toEqual(manifest)
  })

  test('that unpacks without end is refused', async () => {
    const bomb = gzipSync(Buffer.alloc(8 << 20, ' '))
    const server = await serve((_request, response) => sendManifest(response, bomb, { 'content-encoding': 'gzip' }))
    await expect(ask(server)).rejects.toMatchObject({ code: 'ERR_OCI_JSON' })
  })

  test('cut in its middle comes again', async () => {
    const server: Served = await serve((_request, response) => {
      if (server.requests.length > 2) return sendManifest(response)
      response.writeHead(200, { 'content-length': manifest.length })
      return response.write(manifest.subarray(0, 20), () => response.destroy())
    })
    expect((await ask(server)).digest).toBe(digestOf(manifest))
  })

  test.each([
    ['too large', 'x'.repeat(5000), {}, 'ERR_REGISTRY_PROTOCOL'],
    ['no JSON', 'x', {}, 'ERR_OCI_JSON'],
    ['of schema 1', '{"schemaVersion":1}', {}, 'ERR_OCI_MEDIA_TYPE'],
    [
      'signed with schema 1',
      '{}',
      { 'content-type': 'application/vnd.docker.distribution.manifest.v1+prettyjws' },
      'ERR_OCI_MEDIA_TYPE',
    ],
  ])('%s', async (_what, body, headers, code) => {
    const server = await serve((_request, response) => sendManifest(response, body, headers))
    await expect(ask(server, { maxManifest: 4096 })).rejects.toMatchObject({ code })
  })

  test('is what its contents say, whatever the header calls it', async () => {
    const index = 'application/vnd.oci.image.index.v1+json'
    const untyped = JSON.stringify({ ...JSON.parse(String(manifest)), mediaType: undefined })
    const list = '{"manifests":[]}'
    for (const [body, header, wanted] of [
      [untyped, index, type],
      [list, type, index],
    ] as const) {
      const server = await serve((_request, response) => sendManifest(response, body, { 'content-type': header }))
      expect((await ask(server)).mediaType).toBe(wanted)
    }
    const both = JSON.stringify({ ...JSON.parse(String(manifest)), manifests: [] })
    for (const header of [index, type]) {
      const server = await serve((_request, response) => sendManifest(response, both, { 'content-type': header }))
      const error = { code: 'ERR_OCI_JSON', message: expect.stringMatching(/both/) }
      await expect(ask(server)).rejects.toMatchObject(error)
    }
  })

  test('without a media type is what its fields make it', async () => {
    const server = await serve((_request, response) =>
      sendManifest(response, '{"manifests":[]}', { 'content-type': 'application/json' }),
    )
    expect((await ask(server)).mediaType).toBe('application/vnd.oci.image.index.v1+json')
  })
})

describe('lists', () => {
  test('go on over pages of the same server', async () => {
    const server = await serve((request, response) => {
      const last = request.url!.includes('last=b')
      const link = last ? {} : { link: '</v2/a/b/tags/list?last=b&n=2>; rel="next"' }
      response.writeHead(200, link).end(JSON.stringify({ tags: last ? null : ['a', 'b'] }))
    })
    expect(await (await open(`${server.host}/a/b`)).tags()).toEqual(['a', 'b'])
    expect(server.lines()).toEqual(['GET /v2/a/b/tags/list?n=1000', 'GET /v2/a/b/tags/list?last=b&n=2'])
  })

  test.each([
    '<http://127.0.0.2:1/v2/a/b/tags/list>; rel="next"',
    '</v2/other/tags/list>; rel=next',
    '<//x>; rel=next',
  ])('do not go on elsewhere: %s', async (link) => {
    const server = await serve((_request, response) => response.writeHead(200, { link }).end('{"tags":["a"]}'))
    const tags = (await open(`${server.host}/a/b`)).tags()
    await expect(tags).rejects.toMatchObject({ code: 'ERR_REGISTRY_PROTOCOL' })
  })

  test('endless ones end', async () => {
    const server = await serve((_request, response) =>
      response.writeHead(200, { link: '</v2/a/b/tags/list>; rel="next"' }).end('{"tags":[]}'),
    )
    await expect((await open(`${server.host}/a/b`)).tags()).rejects.toMatchObject({ code: 'ERR_REGISTRY_PROTOCOL' })
  })
})

describe('tokens', () => {
  /** A registry whose tokens last for a number of requests. */
  const registry = async (uses: number, answer: object = {}) => {
    let issued = 0
    let left = 0
    const server: Served = await serve((request, response) => {
      if (request.url!.startsWith('/token')) {
        left = uses
        return response.end(JSON.stringify({ token: `t${++issued}`, ...answer }))
      }
      if (request.headers.authorization === `Bearer t${issued}` && left-- > 0) return sendManifest(response)
      const bearer = `Bearer realm="http://${server.host}/token",service="s v",scope="repository:a/b:pull"`
      return response.writeHead(401, { 'www-authenticate': bearer }).end()
    })
    return server
  }

  test('are asked for with the credentials, and used until they run out', async () => {
    const server = await registry(2)
    const client = await open(`${server.host}/a/b`)
    for (let i = 0; i < 5; i++) await client.manifest()
    const tokens = server.requests.filter(({ url }) => url!.startsWith('/token'))
    expect(tokens).toHaveLength(3)
    const query = new URL(tokens[0]!.url!, 'http://x').searchParams
    expect([...query]).toEqual([
      ['scope', 'repository:a/b:pull'],
      ['service', 's v'],
      ['account', 'me'],
    ])
    expect(tokens[0]!.headers.authorization).toBe(`Basic ${Buffer.from('me:hunter2').toString('base64')}`)
  })

  test('are bought with an identity token, in a form', async () => {
    const file = join(temporaryDirectory(), 'auth.json')
    const server = await registry(1)
    writeFileSync(file, JSON.stringify({ auths: { [server.host]: { identitytoken: 'hunter2' } } }))
    const { creds: _, ...others } = fast
    const reference = parseReference(`${server.host}/a/b:x`)
    const client = await RegistryClient.open(reference, { registriesConfig: none, ...others, authFile: file })
    await client.manifest()
    const [, request] = server.requests
    expect([request!.method, request!.url, request!.headers.authorization]).toEqual(['POST', '/token', undefined])
    await client.close()
  })

  test('are shared by requests at the same time', async () => {
    const server = await registry(1000)
    const client = await open(`${server.host}/a/b`)
    await Promise.all(Array.from({ length: 8 }, () => client.manifest()))
    expect(server.requests.filter(({ url }) => url!.startsWith('/token'))).toHaveLength(1)
  })

  test.each([
    { token: '', access_token: 'T' },
    { token: null, access_token: 'T', expires_in: null },
    { token: 'T', access_token: '', expires_in: '300' },
    { access_token: 'T', expires_in: -1 },
    { token: 'T', access_token: 'other', expires_in: 1e300, issued_at: 'yesterday' },
  ])('%j is one', async (answer) => {
    const server: Served = await serve((request, response) => {
      if (request.url!.startsWith('/token')) return response.end(JSON.stringify(answer))
      if (request.headers.authorization === 'Bearer T') return sendManifest(response)
      const bearer = `Bearer realm="http://${server.host}/token"`
      return response.writeHead(401, { 'www-authenticate': bearer }).end()
    })
    expect((await ask(server)).digest).toBe(digestOf(manifest))
  })

  test('that are refused at once lead nowhere', async () => {
    const server = await registry(0)
    await expect(ask(server)).rejects.toMatchObject({
      code: 'ERR_REGISTRY_UNAUTHORIZED',
      message: expect.stringContaining('the credentials of --creds'),
    })
    expect(server.requests.length).toBeLessThan(6)
  })

  test.each([{ token: 7 }, { token: '' }, { token: 'a b' }, { token: 'a\nx: y' }])('%j is none', async (answer) => {
    const server = await registry(1, answer)
    await expect(ask(server)).rejects.toMatchObject({ code: 'ERR_REGISTRY_PROTOCOL' })
  })

  const challenging = (challenge: string) =>
    serve((_request, response) => response.writeHead(401, { 'www-authenticate': challenge }).end())

  test.each([
    ['Bearer realm="http://auth.example.com/token"', 'ERR_REGISTRY_PROTOCOL', 'not on https'],
    ['Bearer realm="ftp://127.0.0.1/token"', 'ERR_REGISTRY_PROTOCOL', 'not on https'],
    ['Bearer realm="https://user:pw@127.0.0.1/token"', 'ERR_REGISTRY_PROTOCOL', 'has a user in it'],
    ['Bearer service="s"', 'ERR_REGISTRY_PROTOCOL', 'names no token server'],
    ['Bearer realm="https://auth.example.com/token"', 'ERR_REGISTRY_UNAUTHORIZED', '--auth-realm auth.example.com'],
    ['Negotiate', 'ERR_REGISTRY_PROTOCOL', 'no known way'],
  ])('%s', async (challenge, code, text) => {
    const message = expect.stringContaining(text)
    await expect(ask(await challenging(challenge))).rejects.toMatchObject({ code, message })
  })

  test('a token server on another site gets them when the user says so', async () => {
    const other = await serve((_request, response) => response.end('{"access_token":"t"}'), '127.0.0.2')
    const server = await serve((request, response) => {
      if (request.headers.authorization === 'Bearer t') return sendManifest(response)
      return response.writeHead(401, { 'www-authenticate': `Bearer realm="http://${other.host}/t"` }).end()
    })
    await expect(ask(server)).rejects.toMatchObject({ code: 'ERR_REGISTRY_UNAUTHORIZED' })
    expect(other.requests).toEqual([])
    expect((await ask(server, { trustedRealms: [other.host] })).digest).toBe(digestOf(manifest))
  })
})

describe('what strangers are not told', () => {
  /** A registry that says only at its door that it wants a login. */
  const hiding = async (status: number, challenge = 'Basic realm="r"', knows = 'Basic bWU6aHVudGVyMg==') => {
    const log: string[] = []
    const server = createHttpServer((request, response) => {
      const known = request.headers.authorization === knows
      log.push(`${request.url} ${known}`)
      if (request.url!.startsWith('/token')) return response.end('{"token":"T"}')
      if (known) return sendManifest(response)
      if (request.url !== '/v2/') return response.writeHead(status).end()
      return response.writeHead(401, { 'www-authenticate': challenge.replace('HOST', request.headers.host!) }).end()
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => void server.close().closeAllConnections())
    return { log, name: `127.0.0.1:${(server.address() as { port: number }).port}/a/b:x` }
  }

  test.each([401, 403, 404])('is there for those who log in: %i', async (status) => {
    const { log, name } = await hiding(status)
    expect((await (await open(name)).manifest()).digest).toBe(digestOf(manifest))
    expect(log.slice(-3)).toEqual(['/v2/a/b/manifests/x false', '/v2/ false', '/v2/a/b/manifests/x true'])
  })

  test('a token for anybody is fetched as well', async () => {
    const { name } = await hiding(403, 'Bearer realm="http://HOST/token"', 'Bearer T')
    const { creds: _, ...anonymous } = fast
    const client = await RegistryClient.open(parseReference(name), { registriesConfig: none, ...anonymous })
    onTestFinished(() => client.close())
    expect((await client.manifest()).digest).toBe(digestOf(manifest))
  })

  test('of strangers it is said that they are', async () => {
    const { log, name } = await hiding(404)
    const { creds: _, ...anonymous } = fast
    const authFile = '/dev/null'
    const client = await RegistryClient.open(parseReference(name), { registriesConfig: none, ...anonymous, authFile })
    onTestFinished(() => client.close())
    await expect(client.manifest()).rejects.toMatchObject({ code: 'ERR_REGISTRY_NOT_FOUND' })
    expect(await client.head()).toBeUndefined()
    expect(log.filter((line) => line.startsWith('/v2/ '))).toHaveLength(1)
  })

  test('credentials that nobody asked for are not said to be refused', async () => {
    const server = await serve((_request, response) => response.writeHead(403).end())
    await expect(ask(server)).rejects.toThrow('it does not ask for the credentials of --creds')
  })

  test('a helper that does not work is named where a login is wanted, and only then', async () => {
    const authFile = join(temporaryDirectory(), 'auth.json')
    writeFileSync(authFile, '{"credsStore":"is-not-there"}')
    const { creds: _, ...anonymous } = fast
    const warnings: string[] = []
    const onWarning = ({ message }: Error) => void warnings.push(message)
    const from = async (server: Served) => {
      const options = { registriesConfig: none, ...anonymous, authFile, onWarning }
      const client = await RegistryClient.open(parseReference(`${server.host}/a/b:x`), options)
      onTestFinished(() => client.close())
      return client.manifest()
    }
    expect((await from(await serve((_request, response) => sendManifest(response)))).digest).toBe(digestOf(manifest))
    expect(warnings).toEqual([expect.stringContaining('docker-credential-is-not-there does not work')])
    const closed = await serve((_request, response) => response.writeHead(401, { 'www-authenticate': 'Basic' }).end())
    const message = expect.stringMatching(/wants a name and a password.* — .*docker-credential-is-not-there/)
    await expect(from(closed)).rejects.toMatchObject({ code: 'ERR_REGISTRY_UNAUTHORIZED', message })
  })
})

describe('registries.conf', () => {
  const withMirror = (server: Served, mirror: Served) => {
    const mirrors: Mirror[] = [{ location: `${mirror.host}/m`, insecure: true, pulls: 'all' }]
    const rule = { prefix: server.host, location: server.host, insecure: true, blocked: false, mirrors, file: 'f' }
    return { registriesConfig: { ...none, rules: [rule] } }
  }

  test('a mirror is asked first, without the credentials of the registry', async () => {
    const mirror = await serve((_request, response) => sendManifest(response))
    const server = await serve((_request, response) => response.writeHead(500).end())
    await ask(server, withMirror(server, mirror))
    expect(mirror.lines()).toEqual(['GET /v2/m/a/b/manifests/x'])
    expect(server.requests).toEqual([])
  })

  test.each<[string, (response: ServerResponse) => unknown]>([
    ['lacks it', (response) => response.writeHead(404).end()],
    ['refuses', (response) => response.writeHead(403).end()],
    ['is broken', (response) => response.writeHead(500).end()],
    ['is cut', (response) => response.destroy()],
    ['wants a login', (response) => response.writeHead(401, { 'www-authenticate': 'Basic' }).end()],
    ['is a page', (response) => sendManifest(response, '<html>log in</html>')],
    [
      'has another',
      (response) => sendManifest(response, manifest, { 'docker-content-digest': `sha256:${'0'.repeat(64)}` }),
    ],
  ])('a mirror that %s is named and does not matter', async (_what, answer) => {
    const warnings: string[] = []
    const onWarning = ({ message }: Error) => void warnings.push(message)
    const mirror = await serve((_request, response) => answer(response))
    const server = await serve((_request, response) => sendManifest(response))
    const client = await open(`${server.host}/a/b:x`, { ...withMirror(server, mirror), onWarning })
    expect((await client.manifest()).digest).toBe(digestOf(manifest))
    expect(warnings).toEqual([expect.stringContaining(`(mirror ${mirror.host}/m/a/b)`)])
    expect(await client.head()).toBeDefined()
    expect(mirror.requests.filter(({ headers }) => headers.authorization !== undefined)).toEqual([])
  })

  test.each(['127.0.0.1:1', 'mirror.composefs.invalid'])(
    'a mirror that is not there, nor is the registry: %s',
    async (host) => {
      const mirrors: Mirror[] = [{ location: `${host}/m`, insecure: false, pulls: 'all' }]
      const server = await serve((_request, response) => response.writeHead(404).end())
      const rule = { prefix: server.host, location: server.host, insecure: true, blocked: false, mirrors, file: 'f' }
      await expect(ask(server, { registriesConfig: { ...none, rules: [rule] } })).rejects.toMatchObject({
        code: 'ERR_REGISTRY_NOT_FOUND',
        hint: expect.stringMatching(`its mirrors failed: the manifest of .*mirror ${host}/m/a/b.*cannot be reached`),
      })
    },
  )

  test('what a mirror lacks of an image comes from the registry, also where it is cut there', async () => {
    const blob = Buffer.alloc(300_000, 'blob')
    const other = Buffer.alloc(1000, 'other')
    const mirror = await serve((request, response) => {
      if (request.url!.includes('/manifests/')) return sendManifest(response)
      if (!request.url!.endsWith(digestOf(blob))) return response.writeHead(404).end()
      response.writeHead(request.headers.range === undefined ? 200 : 404)
      return response.write(blob.subarray(0, 200_000), () => response.destroy())
    })
    const server = await serve((request, response) => {
      if (request.url!.endsWith(digestOf(other))) return response.end(other)
      const [, start = '0'] = /^bytes=([0-9]+)-/.exec(request.headers.range ?? '') ?? []
      const range = `bytes ${start}-${blob.length - 1}/${blob.length}`
      return response.writeHead(206, { 'content-range': range }).end(blob.subarray(Number(start)))
    })
    const warnings: string[] = []
    const onWarning = ({ message }: Error) => void warnings.push(message)
    const client = await open(`${server.host}/a/b:x`, { ...withMirror(server, mirror), onWarning })
    await client.manifest()
    const read = async (bytes: Buffer) => {
      const wanted = { digest: digestOf(bytes), size: bytes.length }
      return Buffer.concat(await client.blob(wanted, 'layer 1 of 2').toArray()).equals(bytes)
    }
    expect([await read(blob), await read(other)]).toEqual([true, true])
    expect(server.requests[0]!.headers.range).toMatch(/^bytes=[1-9][0-9]+-299999$/)
    expect(warnings).toHaveLength(2)
    // It has other things.
    expect((await client.manifest()).digest).toBe(digestOf(manifest))
    expect(mirror.lines().at(-1)).toBe('GET /v2/m/a/b/manifests/x')
  })
})

describe('proxies', () => {
  /** A proxy that knows one way to everywhere. */
  const proxy = async (to: Served) => {
    const asked: string[] = []
    const server = createServer((socket) => {
      socket.once('data', (head) => {
        asked.push(head.toString('latin1').split('\r\n')[0]!)
        const [host, port] = to.host.split(':')
        const upstream = connect(Number(port), host, () => {
          socket.write('HTTP/1.1 200 OK\r\n\r\n')
          socket.pipe(upstream).pipe(socket)
        })
        upstream.on('error', () => socket.destroy())
        socket.on('error', () => upstream.destroy())
      })
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => void server.close())
    return { asked, url: `http://127.0.0.1:${(server.address() as { port: number }).port}` }
  }

  test('of the environment are used, but not for this machine', async () => {
    const server = await serve((_request, response) => sendManifest(response))
    const { asked, url } = await proxy(server)
    for (const name of ['HTTP_PROXY', 'HTTPS_PROXY', 'http_proxy', 'https_proxy']) vi.stubEnv(name, url)
    for (const name of ['NO_PROXY', 'no_proxy']) vi.stubEnv(name, '')
    await ask(server)
    expect(asked).toEqual([])
    const client = await open('registry.composefs.test:5000/a/b', { tlsVerify: false })
    expect((await client.manifest()).digest).toBe(digestOf(manifest))
    expect(asked.length).toBeGreaterThan(0)
    expect(asked.every((line) => line.includes('registry.composefs.test:5000'))).toBe(true)
  })

  test('without a scheme are reached by HTTP, and given up where they do not answer', async () => {
    const asked: string[] = []
    const silent = createServer((socket) => void socket.once('data', (head) => asked.push(String(head))))
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => void silent.close())
    const { port } = silent.address() as { port: number }
    for (const name of ['HTTPS_PROXY', 'https_proxy']) vi.stubEnv(name, `127.0.0.1:${port}`)
    for (const name of ['NO_PROXY', 'no_proxy']) vi.stubEnv(name, '')
    const client = await open('registry.composefs.test/a', { idleTimeout: 200, retryTimes: 0 })
    await expect(client.manifest()).rejects.toMatchObject({ code: 'ERR_REGISTRY_STALLED' })
    expect(asked).toEqual([expect.stringMatching(/^CONNECT registry\.composefs\.test:443 /)])
  })
})

test('a proxy that refuses is told as such, and gets its own login', async () => {
  const asked: string[] = []
  const refusing = createServer((socket) => {
    socket.once('data', (head) => {
      asked.push(String(head))
      socket.end('HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n')
    })
  })
  await new Promise<void>((resolve) => refusing.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void refusing.close())
  const { port } = refusing.address() as { port: number }
  for (const name of ['HTTPS_PROXY', 'https_proxy']) vi.stubEnv(name, `http://user:p%40ss@127.0.0.1:${port}`)
  for (const name of ['NO_PROXY', 'no_proxy']) vi.stubEnv(name, 'other.test')
  const client = await open('registry.composefs.test/a', { retryTimes: 0 })
  await expect(client.manifest()).rejects.toMatchObject({
    code: 'ERR_REGISTRY_UNREACHABLE',
    message: expect.stringContaining(`the proxy 127.0.0.1:${port} answers with the status 407`),
  })
  expect(asked[0]).toContain(`Basic ${Buffer.from('user:p@ss').toString('base64')}`)
})

test.each([
  ['registry.test', 443, '', true],
  ['registry.test', 443, 'other.test', true],
  ['registry.test', 443, '*', false],
  ['registry.test', 443, 'other.test, registry.test', false],
  ['a.registry.test', 443, 'registry.test', false],
  ['a.registry.test', 443, '.registry.test', false],
  ['a.registry.test', 443, '*.registry.test', false],
  ['aregistry.test', 443, 'registry.test', true],
  ['registry.test', 5000, 'registry.test:5000', false],
  ['registry.test', 443, 'registry.test:5000', true],
  ['10.1.2.3', 443, '10.0.0.0/8', false],
  ['11.1.2.3', 443, '10.0.0.0/8,fc00::/7', true],
  ['fc00::1', 443, '10.0.0.0/8,fc00::/7', false],
  ['::1', 443, '::1', false],
  ['::1', 5000, '[::1]:5000', false],
])('%s:%i with no_proxy=%j', (host, port, exceptions, proxied) => {
  vi.stubEnv('https_proxy', 'proxy.test:8080')
  vi.stubEnv('no_proxy', exceptions)
  expect(proxyFor(true, host, port)?.href).toBe(proxied ? 'http://proxy.test:8080/' : undefined)
})

describe('token servers', () => {
  /** Everything is reached through a proxy: what it stands for need not exist. */
  const behindProxy = async (answer: (request: IncomingMessage, response: ServerResponse) => unknown) => {
    const server = await serve(answer)
    const line = createServer((socket) => {
      socket.once('data', () => {
        const [host, port] = server.host.split(':')
        const upstream = connect(Number(port), host, () => {
          socket.write('HTTP/1.1 200 OK\r\n\r\n')
          socket.pipe(upstream).pipe(socket)
        })
        upstream.on('error', () => socket.destroy())
        socket.on('error', () => upstream.destroy())
      })
    })
    await new Promise<void>((resolve) => line.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => void line.close())
    const url = `http://127.0.0.1:${(line.address() as { port: number }).port}`
    for (const name of ['HTTP_PROXY', 'HTTPS_PROXY', 'http_proxy', 'https_proxy']) vi.stubEnv(name, url)
    for (const name of ['NO_PROXY', 'no_proxy']) vi.stubEnv(name, '')
    return server
  }

  const challenging = (realm: string) => (request: IncomingMessage, response: ServerResponse) => {
    if (request.url!.startsWith('/token')) return response.end('{"token":"T"}')
    if (request.headers.authorization === 'Bearer T') return sendManifest(response)
    return response.writeHead(401, { 'www-authenticate': `Bearer realm="${realm}"` }).end()
  }

  const anonymous = async (name: string, options: RegistryOptions = {}) => {
    const { creds: _, ...rest } = fast
    const all = { registriesConfig: none, ...rest, authFile: '/dev/null', tlsVerify: false, ...options }
    const client = await RegistryClient.open(parseReference(name), all)
    onTestFinished(() => client.close())
    return client.manifest()
  }

  test.each([
    'https://10.0.0.1/token',
    'https://169.254.169.254/token',
    'https://[::1]/token',
    'https://localhost/token',
    'https://0x7f.1/token',
  ])('inside a private network are not for a registry outside: %s', async (realm) => {
    const server = await behindProxy(challenging(realm))
    await expect(anonymous('registry.composefs.test/a/b')).rejects.toMatchObject({
      code: 'ERR_REGISTRY_PROTOCOL',
      message: expect.stringContaining('inside a private network'),
      hint: expect.stringContaining(`--auth-realm ${new URL(realm).host}`),
    })
    expect(server.requests.filter(({ url }) => url!.startsWith('/token'))).toEqual([])
  })

  test.each([
    ['http://registry.composefs.test:8080/token', undefined],
    ['http://auth.other.test/token', ['auth.other.test']],
  ])(
    'on plain HTTP are for a registry that speaks it, on its own host or where the user says so: %s',
    async (realm, trustedRealms) => {
      await behindProxy(challenging(realm))
      const options = trustedRealms === undefined ? {} : { trustedRealms }
      expect((await anonymous('registry.composefs.test/a/b', options)).digest).toBe(digestOf(manifest))
    },
  )

  test.each(['http://auth.registry.composefs.test/token', 'http://10.0.0.1/token', 'http://other.test/token'])(
    'on plain HTTP are not for other hosts: %s',
    async (realm) => {
      await behindProxy(challenging(realm))
      const message = expect.stringContaining('is not on https')
      await expect(anonymous('registry.composefs.test/a/b')).rejects.toMatchObject({
        code: 'ERR_REGISTRY_PROTOCOL',
        message,
      })
    },
  )

  test('whose name leads into a private network are not asked', async () => {
    const options = { tls: {}, connectTimeout: 1000, idleTimeout: 1000, direct: true, publicOnly: true }
    const connections = new Connections(options)
    const request = connections.request(true, { host: 'localhost', port: 1, path: '/' })
    const error = await new Promise((resolve) => request.on('error', resolve).end())
    expect(error).toMatchObject({ code: codes.inside })
    expect(networkFailure(error, new URL('https://localhost'), { what: 'a', reference: 'b' })).toMatchObject({
      code: 'ERR_REGISTRY_PROTOCOL',
    })
    connections.destroy()
  })

  describe('and redirects of a registry on https', () => {
    const plain = () => serve((request, response) => challenging('')(request, response))
    const secure = async (answer: (request: IncomingMessage, response: ServerResponse) => unknown) => {
      const server = createHttpsServer(selfSigned, (request, response) => {
        if (request.url === '/v2/') response.end('{}')
        else answer(request, response)
      })
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
      onTestFinished(() => void server.close().closeAllConnections())
      return `127.0.0.1:${(server.address() as { port: number }).port}/a/b:x`
    }

    test('never lead a login down to plain HTTP, not even on its host', async () => {
      const { host, requests } = await plain()
      const name = await secure(challenging(`http://${host}/token`))
      const message = expect.stringContaining('is not on https')
      await expect(anonymous(name)).rejects.toMatchObject({ code: 'ERR_REGISTRY_PROTOCOL', message })
      await expect(anonymous(name, { creds: 'me:secret' })).rejects.toMatchObject({ message })
      expect(requests).toEqual([])
    })

    test('never take the Authorization down to plain HTTP, not even on its host', async () => {
      const { host, requests } = await serve((_request, response) => sendManifest(response))
      const seen: (string | undefined)[] = []
      const name = await secure((request, response) => {
        seen.push(request.headers.authorization)
        if (request.headers.authorization !== undefined) {
          return response.writeHead(307, { location: `http://${host}${request.url}` }).end()
        }
        return response.writeHead(401, { 'www-authenticate': 'Basic realm="r"' }).end()
      })
      expect((await anonymous(name, { creds: 'me:secret' })).digest).toBe(digestOf(manifest))
      expect(seen).toEqual([undefined, expect.stringMatching(/^Basic /)])
      expect(requests.map(({ headers }) => headers.authorization)).toEqual([undefined])
    })
  })
})

test('plain HTTP is for this machine alone, unless it is asked for', async () => {
  const client = await open('registry.composefs.invalid/a', { retryTimes: 0 })
  await expect(client.manifest()).rejects.toMatchObject({
    code: 'ERR_REGISTRY_UNREACHABLE',
    message: expect.stringContaining('registry.composefs.invalid cannot be reached'),
  })
})

test('a signal ends everything', async () => {
  const abort = new AbortController()
  const server = await serve((request: IncomingMessage) => void (request.url && abort.abort(new Error('enough'))))
  await expect(ask(server, { signal: abort.signal })).rejects.toThrow('enough')
})
