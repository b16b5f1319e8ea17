import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { Repository } from '../../../src/repository/index.ts'
import { compileInto } from '../../support/compiled.ts'
import { digestOf, imageOf } from '../../support/image-archive.ts'
import { serve } from '../../support/serve.ts'
import { entry, tar } from '../../support/tar.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'
import { leftovers } from '../../support/temporary-repository.ts'

let program = ''

beforeAll(() => {
  program = mkdtempSync(join(tmpdir(), 'composefs-cli-'))
  compileInto(program)
  // The program reads its version from there.
  writeFileSync(join(program, 'package.json'), '{ "type": "module", "version": "0" }')
})

afterAll(() => rmSync(program, { recursive: true, force: true }))

const image = imageOf([
  tar(entry({ name: 'usr/', type: '5' })),
  tar(entry({ name: 'usr/', type: '5' }), entry({ name: 'usr/a' }, 'a'.repeat(200_000))),
])

interface Run {
  readonly child: ChildProcess
  readonly output: Promise<[stdout: string, stderr: string, code: number | null]>
}

function run(path: string, ...args: string[]): Run {
  const options = ['--insecure', '--hash', 'sha256', '--repo', path]
  return start([join(program, 'src/cli/main.js'), ...options, 'oci', 'pull', ...args])
}

function start(args: readonly string[]): Run {
  const environment = { ...process.env, CONTAINERS_REGISTRIES_CONF: join(program, 'none.conf'), HOME: program }
  writeFileSync(join(program, 'none.conf'), '')
  const child = spawn(process.execPath, args, { env: environment, stdio: ['ignore', 'pipe', 'pipe'] })
  const output = Promise.all([text(child.stdout!), text(child.stderr!), once(child, 'exit')])
  return { child, output: output.then(([stdout, stderr, [code]]) => [stdout, stderr, code as number | null]) }
}

const serving = (hang?: string) =>
  serve((request, response) => {
    const name = request.url!.split('/').at(-1)!
    const blob = [image.manifest, image.config, ...image.layers].find((bytes) => digestOf(bytes) === name)
    if (name !== 'latest' && blob === undefined) return response.writeHead(404).end()
    if (name !== hang) return response.end(blob ?? image.manifest)
    response.writeHead(200, { 'content-length': blob!.length })
    return response.write(blob!.subarray(0, 50_000))
  })

describe('composefs oci pull', () => {
  test('says what it did, and in which order layers came', async () => {
    const { host } = await serving()
    const reference = `docker://${host}/a`
    const path = join(temporaryDirectory(), 'repo')
    const [stdout, stderr, code] = await run(path, reference, '--parallel', '1').output
    expect(stderr.split('\n')).toEqual([
      expect.stringMatching(/^manifest sha256:[0-9a-f]{12}: 2 layers, /),
      expect.stringMatching(/^made a repository /),
      expect.stringMatching(/^layer 1: sha256:[0-9a-f]{12} .*, downloaded$/),
      expect.stringMatching(/^layer 2: sha256:[0-9a-f]{12} .*, downloaded$/),
      '',
    ])
    expect(stdout.split('\n')).toEqual([
      `manifest ${digestOf(image.manifest)}`,
      `config   ${digestOf(image.config)}`,
      expect.stringMatching(/^verity {3}[0-9a-f]{64}$/),
      `tagged   ${reference}`,
      'objects  1 new + 0 already present objects; 195.31 KiB stored, 3.69 KiB inlined',
      '',
    ])
    expect(code).toBe(0)
  })

  test('tells programs everything as JSON', async () => {
    const { host } = await serving()
    const path = join(temporaryDirectory(), 'repo')
    const [stdout, stderr] = await run(path, `${host}/a`, 'name', '--json', '--progress', 'json').output
    expect(JSON.parse(stdout)).toMatchObject({ manifestDigest: digestOf(image.manifest), tags: ['name'] })
    // Without exception.
    const types = stderr
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line).type)
    expect(types.slice(0, 2)).toEqual(['manifest', 'note'])
    expect(types.filter((type) => type === 'layer')).toHaveLength(2)
    expect(types.at(-1)).toBe('image')
  })

  test('fails with its code', async () => {
    const { host } = await serving()
    const path = join(temporaryDirectory(), 'repo')
    const [stdout, stderr, code] = await run(path, `docker://${host}/a:no`).output
    expect(stdout).toBe('')
    expect(stderr).toContain('[ERR_REGISTRY_NOT_FOUND]')
    expect(code).toBe(1)
    expect(existsSync(path)).toBe(false)
    // An option that may come again does not take the arguments behind it.
    const [, refused] = await run(path, '--auth-realm', 'auth.example.org', `docker://${host}/a:no`, 'x').output
    expect(refused).toContain('[ERR_REGISTRY_NOT_FOUND]')
    const [, usage, status] = await run(path, `docker://${host}/a`, '--expected-digest', '0').output
    expect([usage, status]).toEqual([expect.stringContaining('[ERR_ARGUMENT]'), 2])
  })

  test('ends at Ctrl-C in the middle of a layer, and leaves the repository sound', async () => {
    const { host, requests } = await serving(digestOf(image.layers[1]!))
    const path = join(temporaryDirectory(), 'repo')
    const { child, output } = run(path, `docker://${host}/a`, '--parallel', '1', '--progress', 'json')
    const marker = '"number":2,"bytes":50000'
    let told = ''
    child.stderr!.on('data', (chunk) => {
      const before = told.includes(marker)
      told += chunk
      // A second one would kill at once.
      if (!before && told.includes(marker)) child.kill('SIGINT')
    })
    const [, stderr, code] = await output
    expect(JSON.parse(stderr.trimEnd().split('\n').at(-1)!)).toMatchObject({ type: 'error', code: 'ERR_INTERRUPTED' })
    expect(code).toBe(130)
    expect(requests.length).toBeGreaterThan(0)
    const repository = await Repository.open(path)
    expect(leftovers(repository)).toEqual([])
    expect(repository.listStreams()).toEqual([`oci-layer-${digestOf(image.layers[0]!)}`])
    expect(repository.listRefs('streams')).toEqual([])
    for (const id of repository.objects.ids()) repository.objects.verify(id)
    await repository.close()
  })

  test('a layer that is given up while nobody asks for more does not keep the process alive', async () => {
    const blob = Buffer.alloc(4_000_000)
    const { host } = await serve((_request, response) => response.end(blob))
    const script = join(program, 'give-up.js')
    const lines = [
      "import { setTimeout } from 'node:timers/promises'",
      "import { parseReference, RegistryClient } from './src/oci/index.js'",
      'const [, , name, digest, size] = process.argv',
      'const client = await RegistryClient.open(parseReference(name), { idleTimeout: 3_600_000 })',
      'const blob = client.blob({ digest, size: Number(size) })',
      'blob.read(0)',
      'while (blob.readableLength < blob.readableHighWaterMark) await setTimeout(1)',
      'blob.destroy()',
      'await client.close()',
      "console.log('given up')",
    ]
    writeFileSync(script, lines.join('\n'))
    const { child, output } = start([script, `${host}/a`, digestOf(blob), String(blob.length)])
    onTestFinished(() => void child.kill('SIGKILL'))
    expect(await output).toEqual(['given up\n', '', 0])
  })
})
