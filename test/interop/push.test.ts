/** What we push, the others read: the real docker-registry, skopeo, crane and umoci. */
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  copyImage,
  openImage,
  type PushByNameOptions,
  type PushedImage,
  parseManifest,
  pull,
  push,
  type RegistryOptions,
} from '../../src/oci/index.ts'
import type { Repository } from '../../src/repository/index.ts'
import { Cfsctl, initOurs, run } from '../support/cfsctl.ts'
import { compileInto } from '../support/compiled.ts'
import { cuttingLine } from '../support/cutting-line.ts'
import { DockerRegistry, login, makeCa, type PrivateCa, TokenServer } from '../support/docker-registry.ts'
import { imageOf } from '../support/image-archive.ts'
import { imageIdOf } from '../support/image-id.ts'
import { randomImage, writeLayout } from '../support/random-images.ts'
import { makeRealImage, skipRealImage } from '../support/real-image.ts'
import { entry, tar } from '../support/tar.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { leftovers, temporaryRepository } from '../support/temporary-repository.ts'
import { requireTools } from '../support/tools.ts'

const skip = requireTools('docker-registry', 'skopeo', 'openssl').skip
const skipCrane = skip || requireTools('crane').skip
const skipUmoci = skip || requireTools('umoci').skip
const skipCfsctl = skip || requireTools('cfsctl').skip
const skipTrace = skip || requireTools('strace').skip
const skipReal = skip || skipRealImage()
const seeds = [1, 2, 3, 4, 6]

let directory = ''
let open: DockerRegistry
let withTokens: DockerRegistry
let tokens: TokenServer
let ca: PrivateCa

beforeAll(async () => {
  if (skip) return
  directory = mkdtempSync(join(tmpdir(), 'composefs-push-'))
  const at = (name: string) => join(directory, name)
  writeFileSync(at('empty.json'), '{}')
  ca = await makeCa(at('ca'))
  tokens = await TokenServer.start(ca)
  open = await DockerRegistry.start(at('open'), at('storage'))
  withTokens = await DockerRegistry.start(at('tokens'), at('storage'), {
    tokens: { realm: tokens.realm, cert: join(ca.directory, 'ca.crt') },
  })
  for (const seed of seeds) writeLayout(at(`image-${seed}`), randomImage(seed))
  if (skipReal) return
  mkdirSync(at('real'))
  await makeRealImage(at('real'))
})

afterAll(async () => {
  if (skip) return
  tokens.stop()
  await Promise.all([open, withTokens].map((registry) => registry.stop()))
  rmSync(directory, { recursive: true, force: true })
})

/** No configuration of this machine plays a part, and no file of credentials. */
function registry(): RegistryOptions {
  const registriesConfig = { rules: [], searched: [], aliases: new Map() }
  return { registriesConfig, authFile: join(directory, 'empty.json') }
}

function options(more: PushByNameOptions = {}): PushByNameOptions {
  return { ...registry(), chunkSize: 64 * 1024, ...more }
}

async function pulled(name: string): Promise<{ repository: Repository; id: string }> {
  const repository = await temporaryRepository()
  const id = imageIdOf(await pull(repository, name, { ...registry(), name: 'x' }))
  return { repository, id }
}

/** What skopeo makes of it: digest of the manifest, that of the config, and the diffIDs. */
async function bySkopeo(name: string) {
  const layout = join(temporaryDirectory(), 'layout')
  await run('skopeo', ['copy', '-q', '--src-tls-verify=false', '--preserve-digests', name, `oci:${layout}:x`])
  const { repository, id } = await pulled(`oci:${layout}:x`)
  const { manifestDigest, manifest, config } = openImage(repository, 'x')
  return { manifestDigest, configDigest: manifest.config.digest, diffIds: config?.config.diffIds, id }
}

function facts(repository: Repository, id: string, { manifestDigest }: PushedImage) {
  const { manifest, config } = openImage(repository, 'x')
  return { manifestDigest, configDigest: manifest.config.digest, diffIds: config?.config.diffIds, id }
}

const how = ({ layers }: PushedImage): string[] => [...new Set(layers.map(({ how }) => how))].sort()

describe.skipIf(skip)('docker-registry', () => {
  test.each(seeds)('skopeo pulls what was pushed, and a second push sends nothing (%i)', async (seed) => {
    const { repository, id } = await pulled(`oci:${directory}/image-${seed}`)
    const name = `docker://${open.host}/pushed/${seed}:latest`
    const first = await push(repository, 'x', name, options())
    expect(await bySkopeo(name)).toEqual(facts(repository, id, first))
    for (const again of [name, `docker://${open.host}/pushed/${seed}:other`]) {
      const second = await push(repository, 'x', again, options())
      expect(how(second)).toEqual(['present'])
      expect(second.manifestDigest).toBe(first.manifestDigest)
    }
  })

  test('plain layers keep the manifest, byte for byte', async () => {
    const { repository } = await pulled(`oci:${directory}/image-1`)
    const name = `docker://${open.host}/plain/1:a`
    const plain = await push(repository, 'x', name, options({ compression: 'none' }))
    const again = await pulled(name)
    const result = await push(again.repository, 'x', `docker://${open.host}/plain/2:b`, options())
    expect(result).toMatchObject({ original: true, manifestDigest: plain.manifestDigest })
  })

  test('the original manifest goes where the original blobs are', async () => {
    const to = `docker://${open.host}/original/3:a`
    await run('skopeo', ['copy', '-q', '--dest-tls-verify=false', `oci:${directory}/image-3`, to])
    const { repository } = await pulled(to)
    const result = await push(repository, 'x', `docker://${open.host}/original/3:b`, options())
    expect(result).toMatchObject({ original: true, manifestDigest: openImage(repository, 'x').manifestDigest })
    expect(how(result)).toEqual(['present'])
  })

  test('blobs are mounted from where the image came from', async () => {
    const from = `docker://${open.host}/mount/from:1`
    await run('skopeo', ['copy', '-q', '--dest-tls-verify=false', `oci:${directory}/image-4`, from])
    const repository = await temporaryRepository()
    await pull(repository, from, { ...registry(), name: from })
    const result = await push(repository, from, `docker://${open.host}/mount/to:1`, options())
    expect(how(result)).toEqual(['mounted'])
    expect(result.original).toBe(true)
  })

  test('with tokens', async () => {
    const { repository, id } = await pulled(`oci:${directory}/image-2`)
    const to = `docker://${withTokens.host}/token/2:1`
    const before = tokens.issued
    await push(repository, 'x', to, options({ creds: login.creds, mountFrom: ['pushed/2'] }))
    expect(tokens.issued - before).toBe(1)
    expect((await bySkopeo(`docker://${open.host}/token/2:1`)).id).toBe(id)
    await expect(push(repository, 'x', to, options())).rejects.toMatchObject({ code: 'ERR_REGISTRY_UNAUTHORIZED' })
  })

  test('an upload that is cut comes to its end', async () => {
    const at = temporaryDirectory()
    const noise = createHash('shake256', { outputLength: 3_000_000 }).update('noise').digest()
    const layer = tar(entry({ name: 'usr/', type: '5' }), entry({ name: 'usr/noise' }, noise))
    writeLayout(join(at, 'from'), imageOf([layer]))
    const { repository, id } = await pulled(`oci:${at}/from`)
    // docker-registry does not know an upload any more whose chunk was cut: it begins again.
    const line = await cuttingLine(open.host, 700_000, 3)
    const to = `docker://${line.host}/cut/image:1`
    const attempts: number[] = []
    const onRetry: PushByNameOptions['onRetry'] = ({ attempt }) => void attempts.push(attempt)
    const result = await push(
      repository,
      'x',
      to,
      options({ compression: 'gzip', chunkSize: 500_000, retryDelay: 1, onRetry }),
    )
    expect(how(result)).toEqual(['sent'])
    expect(line.cuts).toBe(3)
    expect(attempts.length).toBeGreaterThanOrEqual(3)
    expect((await bySkopeo(`docker://${open.host}/cut/image:1`)).id).toBe(id)
  })

  test.skipIf(skipCrane)('crane finds nothing wrong', async () => {
    const { repository } = await pulled(`oci:${directory}/image-6`)
    await push(repository, 'x', `docker://${open.host}/crane/6:1`, options())
    await run('crane', ['validate', '--insecure', '--remote', `${open.host}/crane/6:1`])
  })
})

describe.skipIf(skip)('layouts and archives', () => {
  test.skipIf(skipUmoci)('skopeo and umoci read the layout', async () => {
    const { repository, id } = await pulled(`oci:${directory}/image-3`)
    const layout = join(temporaryDirectory(), 'layout')
    const result = await push(repository, 'x', `oci:${layout}:first`, options())
    expect(await bySkopeo(`oci:${layout}:first`)).toEqual(facts(repository, id, result))
    await push(repository, 'x', `oci:${layout}:second`, options())
    expect((await run('umoci', ['list', '--layout', layout])).toString()).toBe('first\nsecond\n')
    const stat = JSON.parse((await run('umoci', ['stat', '--image', `${layout}:second`, '--json'])).toString())
    expect(stat.manifest.descriptor.digest).toBe(result.manifestDigest)
    expect(readdirSync(layout).sort()).toEqual(['blobs', 'index.json', 'oci-layout'])
  })

  test('skopeo reads the archive, and so do we', async () => {
    const { repository, id } = await pulled(`oci:${directory}/image-2`)
    const at = temporaryDirectory()
    const name = `oci-archive:${at}/image.tar`
    const result = await push(repository, 'x', `${name}:tag`, options())
    expect(await bySkopeo(`${name}:tag`)).toEqual(facts(repository, id, result))
    expect((await pulled(name)).id).toBe(id)
    expect(readdirSync(at)).toEqual(['image.tar'])
  })

  test('a manifest of Docker becomes one of OCI', async () => {
    const at = temporaryDirectory()
    await run('skopeo', ['copy', '-q', '--format', 'v2s2', `oci:${directory}/image-1`, `dir:${at}/docker`])
    const { repository, id } = await pulled(`dir:${at}/docker`)
    const result = await push(repository, 'x', `oci:${at}/layout:x`, options())
    expect(result.original).toBe(false)
    expect((await bySkopeo(`oci:${at}/layout:x`)).id).toBe(id)
    const kept = await push(repository, 'x', `docker://${open.host}/docker/1:1`, options())
    const raw = await run('skopeo', ['inspect', '--raw', '--tls-verify=false', `docker://${open.host}/docker/1:1`])
    expect(JSON.parse(raw.toString()).mediaType).toBe('application/vnd.docker.distribution.manifest.v2+json')
    expect(parseManifest(raw).layers.map(({ digest }) => digest)).toEqual(kept.layers.map(({ digest }) => digest))
  })
})

describe.skipIf(skipReal)('the real image', () => {
  test('comes back with the same id', async () => {
    const { repository, id } = await pulled(`oci:${directory}/real/oci:latest`)
    const name = `docker://${open.host}/real/image:1`
    const result = await push(repository, 'x', name, options({ chunkSize: 1024 * 1024 }))
    expect(how(result)).toContain('sent')
    expect(await bySkopeo(name)).toEqual(facts(repository, id, result))
  })
})

describe.skipIf(skipTrace)('strace', () => {
  test('a push to a registry makes no file', async () => {
    const at = temporaryDirectory()
    const trace = join(at, 'trace')
    const image = skipReal ? `oci:${directory}/image-1` : `oci:${directory}/real/oci:latest`
    const repository = await initOurs(join(at, 'repo'), 'sha256', 1)
    await pull(repository, image, { ...registry(), name: 'x' })
    await repository.close()
    compileInto(at)
    const command = [join(at, 'src/cli/main.js'), '--repo', join(at, 'repo'), 'oci', 'push', 'x']
    const traced = [
      '-f',
      '-qq',
      '-e',
      'trace=openat,creat,mkdir,mkdirat,rename,link,linkat,symlink',
      '-o',
      trace,
      'node',
    ]
    await run('strace', [...traced, ...command, `docker://${open.host}/traced/x:1`, '--progress', 'none'])
    const lines = readFileSync(trace, 'latin1').split('\n')
    const made = /O_CREAT|O_TMPFILE|O_WRONLY|^[0-9]+ +(?:creat|mkdir|mkdirat|rename|link|linkat|symlink)\(/
    expect(lines.length).toBeGreaterThan(10)
    expect(lines.filter((line) => made.test(line) && !line.includes('"/dev/'))).toEqual([])
    await run('strace', [...traced, ...command, `oci:${at}/layout:1`, '--progress', 'none'])
    const layout = readFileSync(trace, 'latin1')
      .split('\n')
      .filter((line) => /O_CREAT|O_TMPFILE|creat\(/.test(line))
    expect(layout.length).toBeGreaterThan(0)
    expect(layout.filter((line) => !line.includes(`"${at}/layout/`))).toEqual([])
  })
})

describe.skipIf(skipCfsctl)('cfsctl', () => {
  test.each(['sha256', 'sha512'] as const)('copies as we do, to %s', async (algorithm) => {
    const at = temporaryDirectory()
    const from = await initOurs(join(at, 'from'), 'sha256', 1)
    await pull(from, `oci:${directory}/image-3`, { ...registry(), name: 'x' })
    const to = await initOurs(join(at, 'ours'), algorithm, 1)
    const { imageId } = await copyImage(from, 'x', to, { name: 'copy' })
    expect(leftovers(to)).toEqual([])
    await Promise.all([from, to].map((repository) => repository.close()))
    const theirs = await Cfsctl.init(join(at, 'theirs'), algorithm, 1)
    const copy = ['oci', 'copy', 'x', '--from', join(at, 'from'), '--name', 'copy']
    const said = await theirs.run(...copy)
    expect((await theirs.run('oci', 'compute-id', 'copy')).trim()).toBe(imageId.hex)
    compileInto(at)
    const ours = await run('node', [join(at, 'src/cli/main.js'), '--repo', join(at, 'ours'), ...copy])
    // Encoders differ, and with them the ids of splitstreams.
    const lines = (text: string) => text.replace(/^(\w+ verity: +)[0-9a-f]+$/gm, '$1')
    expect(lines(ours.toString())).toBe(lines(said))
    expect(JSON.parse(await new Cfsctl(join(at, 'ours')).run('fsck', '--json'))).toMatchObject({ ok: true })
  })
})
