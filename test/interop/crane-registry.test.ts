/** The registry of go-containerregistry, which is strict where docker-registry is not. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { Readable } from 'node:stream'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { parseReference, RegistryClient, RegistryDestination, type RegistryOptions } from '../../src/oci/index.ts'
import { digestOf } from '../support/image-archive.ts'
import { Random } from '../support/random.ts'
import { requireTools } from '../support/tools.ts'

const { skip } = requireTools('crane')
const options: RegistryOptions = {
  registriesConfig: { rules: [], searched: [], aliases: new Map() },
  authFile: '/dev/null',
  retryDelay: 1,
}
const { signal } = new AbortController()
const bytes = Buffer.from(new Random(7).bytes(3_000_000), 'latin1')
const blob = { digest: digestOf(bytes), size: bytes.length }

let registry: ChildProcess
let host = ''

beforeAll(async () => {
  if (skip) return
  registry = spawn('crane', ['registry', 'serve', '--address', '127.0.0.1:0'], { stdio: ['ignore', 'ignore', 'pipe'] })
  const port = await new Promise<string>((resolve, reject) => {
    let said = ''
    // Read on: it logs every request, and ends where nobody hears it.
    registry.stderr!.on('data', (text) => {
      said += text
      const [, port] = /serving on port ([0-9]+)/.exec(said) ?? []
      if (port !== undefined) resolve(port)
    })
    registry.once('exit', () => reject(new Error(said)))
  })
  host = `127.0.0.1:${port}`
})

afterAll(async () => {
  if (skip) return
  const ended = once(registry, 'exit')
  registry.kill()
  await ended
})

/** A line that breaks whenever it has brought so many bytes, and what was asked over it. */
async function line(limit: number): Promise<{ host: string; ranges: string[] }> {
  const [name, port] = host.split(':')
  const ranges: string[] = []
  const sockets = new Set<Socket>()
  const server = createServer((client) => {
    const remote = connect(Number(port), name)
    for (const socket of [client, remote]) sockets.add(socket.on('error', () => {}))
    let carried = 0
    client.on('data', (chunk) => {
      ranges.push(...(/^range: (.*)$/im.exec(String(chunk)) ?? []).slice(1))
      remote.write(chunk)
    })
    remote.on('data', (chunk) => {
      carried += chunk.length
      if (carried < limit) client.write(chunk)
      else client.end(chunk.subarray(0, limit - (carried - chunk.length)), () => remote.destroy())
    })
    client.on('close', () => remote.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return { host: `127.0.0.1:${(server.address() as AddressInfo).port}`, ranges }
}

test.skipIf(skip)('a blob is pushed in chunks, and a cut download goes on where it was cut', async () => {
  const to = await RegistryDestination.open(parseReference(`${host}/os/image`), { ...options, chunkSize: 1_000_000 })
  const open = (): Readable => Readable.from([bytes])
  expect(await to.put({ open }, 'the blob', signal)).toEqual({ ...blob, how: 'sent' })
  expect(await to.put({ open, known: blob }, 'the blob', signal)).toMatchObject({ digest: blob.digest })
  await to.close()

  const cut = await line(800_000)
  const client = await RegistryClient.open(parseReference(`${cut.host}/os/image`), options)
  const read = Buffer.concat(await client.blob(blob).toArray())
  expect(read.equals(bytes)).toBe(true)
  await client.close()
  const starts = cut.ranges.map((range) => Number(/^bytes=([0-9]+)-2999999$/.exec(range.trim())?.[1]))
  expect(starts.length).toBeGreaterThanOrEqual(3)
  // Never from the beginning again.
  expect(starts.every((start, i) => start > (starts[i - 1] ?? 0))).toBe(true)
})
