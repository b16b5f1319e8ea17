/** The real docker-registry on loopback: what skopeo pushed, we pull, and it is what the pipe gives. */
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  importArchive,
  openImage,
  type PullByNameOptions,
  parseReference,
  pull,
  RegistryClient,
} from '../../src/oci/index.ts'
import { Repository } from '../../src/repository/index.ts'
import { Cfsctl, initOurs, run } from '../support/cfsctl.ts'
import { compileInto } from '../support/compiled.ts'
import { DockerRegistry, login, makeCa, type PrivateCa, TokenServer } from '../support/docker-registry.ts'
import { digestOf, imageOf } from '../support/image-archive.ts'
import { imageIdOf } from '../support/image-id.ts'
import { randomImage, writeLayout } from '../support/random-images.ts'
import { makeRealImage, skipRealImage } from '../support/real-image.ts'
import { entry, tar } from '../support/tar.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { leftovers, temporaryRepository } from '../support/temporary-repository.ts'
import { requireTools } from '../support/tools.ts'

const skip = requireTools('docker-registry', 'skopeo', 'openssl').skip
const skipReal = skip || skipRealImage()
const skipCfsctl = skip || requireTools('cfsctl').skip
const skipTrace = skip || requireTools('strace').skip
/** Without the images that skopeo spoils: it takes a zstd layer that begins with a skippable frame for a plain tar. */
const seeds = [1, 2, 3, 4, 6]

let directory = ''
let ca: PrivateCa
let open: DockerRegistry
let guarded: DockerRegistry
let secure: DockerRegistry
let withTokens: DockerRegistry
let tokens: TokenServer

/** No configuration of this machine plays a part, and no file of credentials. */
function options(more: PullByNameOptions = {}): PullByNameOptions {
  return { registriesConfig: { rules: [], searched: [], aliases: new Map() }, authFile: noAuth(), name: 'x', ...more }
}

function noAuth(): string {
  const path = join(directory, 'empty.json')
  writeFileSync(path, '{}')
  return path
}

async function idByPipe(name: string): Promise<string> {
  const repository = await temporaryRepository()
  const script = 'skopeo copy -q --src-tls-verify=false "$1" docker-archive:/dev/stdout | cat'
  const child = spawn('bash', ['-o', 'pipefail', '-c', script, 'bash', `docker://${open.host}/${name}`], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [image] = await importArchive(repository, child.stdout, { name: 'x' })
  return image!.imageId.hex
}

async function idByPull(reference: string, more: PullByNameOptions = {}): Promise<string> {
  const repository = await temporaryRepository()
  const id = imageIdOf(await pull(repository, `docker://${reference}`, options(more)))
  expect(leftovers(repository)).toEqual([])
  return id
}

beforeAll(async () => {
  if (skip) return
  directory = mkdtempSync(join(tmpdir(), 'composefs-registry-'))
  const at = (name: string) => join(directory, name)
  mkdirSync(at('program'))
  compileInto(at('program'))
  // The program reads its version from there.
  writeFileSync(at('program/package.json'), '{ "type": "module", "version": "0" }')
  ca = await makeCa(at('ca'))
  tokens = await TokenServer.start(ca)
  const storage = at('storage')
  open = await DockerRegistry.start(at('open'), storage)
  guarded = await DockerRegistry.start(at('guarded'), storage, { htpasswd: true })
  secure = await DockerRegistry.start(at('secure'), storage, { tls: ca })
  withTokens = await DockerRegistry.start(at('tokens'), storage, {
    tokens: { realm: tokens.realm, cert: join(ca.directory, 'ca.crt') },
  })
  const push = (source: string, name: string) =>
    run('skopeo', ['copy', '-q', '--dest-tls-verify=false', source, `docker://${open.host}/${name}`])
  for (const seed of seeds) {
    writeLayout(at(`image-${seed}`), randomImage(seed))
    await push(`oci:${at(`image-${seed}`)}`, `random/${seed}:latest`)
  }
  if (!skipReal) {
    mkdirSync(at('real'))
    await makeRealImage(at('real'))
    await push(`oci:${at('real/oci')}:latest`, 'real:latest')
    await push(`oci:${at('real/oci-portable')}:latest`, 'portable:latest')
  }
})

afterAll(async () => {
  if (skip) return
  tokens.stop()
  await Promise.all([open, guarded, secure, withTokens].map((registry) => registry.stop()))
  rmSync(directory, { recursive: true, force: true })
})

describe.skipIf(skip)('docker-registry', () => {
  test.each(seeds)('an image is what the pipe gives (%i)', async (seed) => {
    expect(await idByPull(`${open.host}/random/${seed}`)).toBe(await idByPipe(`random/${seed}:latest`))
  })

  test('tags, digests, HEAD and referrers', async () => {
    const client = await RegistryClient.open(parseReference(`${open.host}/random/1`), options())
    const { digest, bytes } = await client.manifest()
    expect(await client.tags()).toEqual(['latest'])
    expect(await client.head()).toEqual({ digest, size: bytes.length })
    expect(await client.head('absent')).toBeUndefined()
    expect(await client.referrers(digest)).toEqual([])
    expect(await client.hasBlob(digest.replace(/.$/, (last) => (last === '0' ? '1' : '0')))).toBe(false)
    await client.close()
    expect(await idByPull(`${open.host}/random/1@${digest}`)).toBe(await idByPull(`${open.host}/random/1`))
  })

  test('the referrers of a manifest by the tag that stands in for them', async () => {
    const client = await RegistryClient.open(parseReference(`${open.host}/random/1`), options())
    const { digest } = await client.manifest()
    const index = { schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json', manifests: [] as object[] }
    index.manifests.push({ mediaType: 'application/vnd.oci.image.manifest.v1+json', digest, size: 5 })
    const url = `http://${open.host}/v2/random/1/manifests/${digest.replace(':', '-')}`
    const request = { method: 'PUT', headers: { 'content-type': index.mediaType }, body: JSON.stringify(index) }
    expect((await fetch(url, request)).status).toBe(201)
    expect(await client.referrers(digest)).toMatchObject([{ digest, size: 5 }])
    await client.close()
  })

  test('with a password', async () => {
    const reference = `${guarded.host}/random/2`
    const right = await idByPull(`${open.host}/random/2`)
    expect(await idByPull(reference, { creds: login.creds })).toBe(right)
    await expect(idByPull(reference)).rejects.toMatchObject({ code: 'ERR_REGISTRY_UNAUTHORIZED' })
    const wrong = { code: 'ERR_REGISTRY_UNAUTHORIZED', message: expect.not.stringContaining('wrong-horse') }
    await expect(idByPull(reference, { creds: 'someone:wrong-horse' })).rejects.toMatchObject(wrong)
  })

  test('with the file that skopeo login writes', async () => {
    const authFile = join(directory, 'auth.json')
    const args = ['login', '--tls-verify=false', '--authfile', authFile, '-u', login.username, '-p', login.password]
    await run('skopeo', [...args, guarded.host])
    expect(await idByPull(`${guarded.host}/random/2`, { authFile })).toBe(await idByPull(`${open.host}/random/2`))
  })

  test('with tokens', async () => {
    const before = tokens.issued
    const right = await idByPull(`${open.host}/random/3`)
    expect(await idByPull(`${withTokens.host}/random/3`, { creds: login.creds })).toBe(right)
    // All requests of a pull share one.
    expect(tokens.issued - before).toBe(1)
    const refused = { code: 'ERR_REGISTRY_UNAUTHORIZED' }
    await expect(idByPull(`${withTokens.host}/random/3`)).rejects.toMatchObject(refused)
  })

  test('behind TLS with a private CA', async () => {
    const reference = `${secure.host}/random/4`
    const right = await idByPull(`${open.host}/random/4`)
    expect(await idByPull(reference, { certDir: ca.directory })).toBe(right)
    expect(await idByPull(reference, { tlsVerify: false })).toBe(right)
    await expect(idByPull(reference)).rejects.toMatchObject({
      code: 'ERR_REGISTRY_CERTIFICATE',
      message: expect.stringContaining('--cert-dir'),
    })
  })

  test('what is not there', async () => {
    const code = 'ERR_REGISTRY_NOT_FOUND'
    await expect(idByPull(`${open.host}/random/1:no`)).rejects.toMatchObject({ code })
    await expect(idByPull(`${open.host}/no`)).rejects.toMatchObject({ code })
    await open.stop()
    await expect(idByPull(`${open.host}/random/1`, { retryTimes: 1, retryDelay: 1 })).rejects.toMatchObject({
      code: 'ERR_REGISTRY_UNREACHABLE',
    })
    open = await DockerRegistry.start(join(directory, 'open'), join(directory, 'storage'))
  })

  test('the other transports of skopeo', async () => {
    const right = await idByPull(`${open.host}/random/6`)
    const from = `oci:${directory}/image-6`
    for (const transport of ['dir', 'oci', 'oci-archive', 'docker-archive']) {
      const destination = `${transport}:${directory}/as-${transport}`
      const tag = transport === 'dir' ? '' : transport === 'docker-archive' ? ':five:latest' : ':five'
      await run('skopeo', ['copy', '-q', from, `${destination}${tag}`])
      const repository = await temporaryRepository()
      const pulled = await pull(repository, `${destination}${tag === ':five' ? tag : ''}`, options())
      expect(imageIdOf(pulled), transport).toBe(right)
      expect(openImage(repository, 'x').manifestDigest).toMatch(/^sha256:/)
    }
  })
})

describe.skipIf(skipReal)('the real image', () => {
  test.each(['real', 'portable'])('is what the pipe gives (%s)', async (name) => {
    expect(await idByPull(`${open.host}/${name}`)).toBe(await idByPipe(`${name}:latest`))
  })

  test('layers that are there are not fetched', async () => {
    const repository = await temporaryRepository()
    await pull(repository, `docker://${open.host}/portable`, options())
    const cached: boolean[] = []
    const onEvent: PullByNameOptions['onEvent'] = (event) => {
      if (event.type === 'layer' && 'cached' in event) cached.push(event.cached)
    }
    await pull(repository, `docker://${open.host}/real`, options({ onEvent, name: 'y' }))
    expect(cached.sort()).toEqual([false, true, true, true, true])
  })
})

/** The command line as a child process would have it. */
function command(...args: string[]): string[] {
  return [join(directory, 'program/src/cli/main.js'), ...args]
}

describe.skipIf(skipCfsctl)('cfsctl', () => {
  test.each(seeds)('pulls the same, and says the same (%i)', async (seed) => {
    const at = temporaryDirectory()
    const image = `docker://${open.host}/random/${seed}`
    const theirs = await Cfsctl.init(join(at, 'theirs'), 'sha512', 1)
    const said = await theirs.pullPlain(open.host, `random/${seed}`)
    const repository = await initOurs(join(at, 'ours'), 'sha512', 1)
    await repository.close()
    const ours = await run('node', command('--repo', join(at, 'ours'), 'oci', 'pull', image, '--progress', 'none'))
    // Theirs names the manifest stream as it was before the images were noted in it.
    const lines = (bytes: Buffer) => bytes.toString().replace(/^verity .*\n/m, '')
    expect(lines(ours)).toBe(lines(said))
    const our = new Cfsctl(join(at, 'ours'))
    expect(await our.run('oci', 'compute-id', image)).toBe(await theirs.run('oci', 'compute-id', image))
    expect(JSON.parse(await our.run('fsck', '--json'))).toMatchObject({ ok: true })
    const inspected = JSON.parse(await our.run('oci', 'inspect', image))
    const composefs = JSON.parse(await theirs.run('oci', 'inspect', image)).composefs_erofs
    expect(inspected.composefs_erofs).toBe(composefs)
  })
})

describe.skipIf(skipCfsctl)('boot images of cfsctl', () => {
  const directories = ['usr/', 'boot/', 'sysroot/'].map((name) => entry({ name, type: '5', mode: 0o755, mtime: 7 }))
  const kernel = entry({ name: 'boot/kernel' }, 'k'.repeat(10_000))
  const formats = [1, 2] as const
  const cases = (['sha256', 'sha512'] as const).flatMap((hash) => formats.map((format) => [hash, format] as const))

  test.each(cases)('are ours (%s, V%i)', async (hash, format) => {
    const at = temporaryDirectory()
    writeLayout(join(at, 'image'), imageOf([tar(...directories, kernel)]))
    const image = `oci:${at}/image`
    const theirs = await Cfsctl.init(join(at, 'theirs'), hash, format)
    const ours = new Cfsctl(join(at, 'ours'))
    await (await initOurs(ours.path, hash, format)).close()
    const pullBoth = async (...more: string[]) => {
      const args = ['oci', 'pull', '--bootable', image, 'x', ...more]
      const said = [await theirs.run(...args), await run('node', command('--repo', ours.path, ...args))]
      // Theirs names the manifest stream as it was before the images were noted in it.
      return said.map((text) => String(text).replace(/^verity .*\n/m, ''))
    }
    const [their, our] = await pullBoth()
    expect(our).toBe(their)
    expect(our).toMatch(/^Boot image: [0-9a-f]+$/m)
    const [inspected, expected] = [await ours.run('oci', 'inspect', 'x'), await theirs.run('oci', 'inspect', 'x')]
    expect(JSON.parse(inspected)).toEqual(JSON.parse(expected))
    const other = await theirs.run('--erofs-version', `${3 - format}`, 'oci', 'compute-id', '--bootable', 'x')
    const [theirsFound, oursFound] = await pullBoth('--expected-digest', other.trim())
    expect(oursFound).toBe(theirsFound)
    expect(JSON.parse(await ours.run('fsck', '--json'))).toMatchObject({ ok: true })
  })
})

describe.skipIf(skipTrace)('strace', () => {
  test('a pull makes no file outside the repository', async () => {
    const at = temporaryDirectory()
    const trace = join(at, 'trace')
    const image = `docker://${open.host}/${skipReal ? 'random/1' : 'real'}`
    const traced = ['-f', '-qq', '-e', 'trace=openat,creat', '-o', trace, 'node']
    const args = command('--repo', join(at, 'repo'), 'oci', 'pull', image, '--progress', 'none')
    await run('strace', [...traced, ...args])
    const made = readFileSync(trace, 'latin1')
      .split('\n')
      .filter((line) => /O_CREAT|O_TMPFILE|creat\(/.test(line) && !/ENOENT|EEXIST/.test(line))
    expect(made.length).toBeGreaterThan(0)
    expect(made.filter((line) => !line.includes(`"${join(at, 'repo')}`) && !line.includes('"meta.json'))).toEqual([])
    const repository = await Repository.open(join(at, 'repo'))
    const { manifest, config } = openImage(repository, image)
    const layers = new Set([...manifest.layers.map(({ digest }) => digest), ...config!.config.diffIds])
    for (const id of repository.objects.ids()) expect(layers).not.toContain(digestOf(repository.readObject(id)))
    await repository.close()
  })
})
