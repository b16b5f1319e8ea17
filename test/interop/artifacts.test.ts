/** Artifacts of oras in the real docker-registry: pulled as cfsctl pulls them, and pushed for oras to read. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { listReferrers, openImage, parseReference, pull, push, RegistryClient } from '../../src/oci/index.ts'
import { Cfsctl, initOurs, run } from '../support/cfsctl.ts'
import { DockerRegistry } from '../support/docker-registry.ts'
import { randomImage, writeLayout } from '../support/random-images.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { temporaryRepository } from '../support/temporary-repository.ts'
import { requireTools } from '../support/tools.ts'

const skip = requireTools('docker-registry', 'skopeo', 'oras', 'tar').skip
const skipCfsctl = skip || requireTools('cfsctl').skip
const noRules = { registriesConfig: { rules: [], searched: [], aliases: new Map() } }

let directory = ''
let registry: DockerRegistry
const oras = (...args: string[]) => run('oras', [...args, '--plain-http', '--no-tty'], directory)

beforeAll(async () => {
  if (skip) return
  directory = mkdtempSync(join(tmpdir(), 'composefs-artifacts-'))
  registry = await DockerRegistry.start(join(directory, 'open'), join(directory, 'storage'))
  writeFileSync(join(directory, 'text'), 'hello\n')
  writeFileSync(join(directory, 'large'), Buffer.alloc(3_000_000, 'noise '))
  mkdirSync(join(directory, 'files'))
  writeFileSync(join(directory, 'files/one'), 'one')
  await run('tar', ['-cf', 'plain.tar', 'files'], directory)
  const files = ['text:text/plain', 'large:application/x-large', 'plain.tar:application/vnd.oci.image.layer.v1.tar']
  await oras('push', '--artifact-type', 'application/x-test', `${registry.host}/thing:1`, ...files)
  writeLayout(join(directory, 'image'), randomImage(3))
  const to = `docker://${registry.host}/image:1`
  await run('skopeo', ['copy', '-q', '--dest-tls-verify=false', `oci:${directory}/image`, to])
  await oras('attach', '--artifact-type', 'application/x-signature', `${registry.host}/image:1`, 'text')
})
afterAll(async () => {
  if (skip) return
  await registry.stop()
  rmSync(directory, { recursive: true, force: true })
})

describe.skipIf(skip)('oras', () => {
  test('gets what was pulled and pushed again', async () => {
    const repository = await temporaryRepository()
    const pulled = await pull(repository, `docker://${registry.host}/thing:1`, { ...noRules, name: 'x' })
    const pushed = await push(repository, 'x', `docker://${registry.host}/again:1`, noRules)
    expect(pushed).toMatchObject({ kind: 'artifact', original: true, manifestDigest: pulled.manifestDigest })
    const to = temporaryDirectory()
    await oras('pull', '-o', to, `${registry.host}/again:1`)
    for (const name of ['text', 'large', 'plain.tar']) {
      expect(readFileSync(join(to, name)).equals(readFileSync(join(directory, name))), name).toBe(true)
    }
  })

  test('attaches what becomes a referrer of the image', async () => {
    const repository = await temporaryRepository()
    const reference = `${registry.host}/image`
    const image = await pull(repository, `docker://${reference}:1`, { ...noRules, name: 'image' })
    const client = await RegistryClient.open(parseReference(`${reference}:1`), noRules)
    const found = await client.referrers(image.manifestDigest)
    await client.close()
    expect(found).toHaveLength(1)
    const { digest } = found[0]!
    await pull(repository, `docker://${reference}@${digest}`, { ...noRules, name: 'signature' })
    expect(openImage(repository, 'signature').manifest.subject?.digest).toBe(image.manifestDigest)
    expect(listReferrers(repository, image.manifestDigest)).toEqual([digest])
    // And for oras where both are pushed to; this registry lists no referrers by itself.
    const moved = `${registry.host}/moved`
    const options = { ...noRules, mountFrom: ['image'] }
    const there = await push(repository, 'image', `docker://${moved}:1`, options)
    expect(there.manifestDigest).toBe(image.manifestDigest)
    await push(repository, 'signature', `docker://${moved}@${digest}`, options)
    const discovered = await run('oras', ['discover', '--plain-http', '--format', 'json', `${moved}:1`])
    expect(String(discovered)).toContain(digest)
  })
})

describe.skipIf(skipCfsctl)('cfsctl', () => {
  test.each(['sha256', 'sha512'] as const)('finds in our repository what its own has, with %s', async (algorithm) => {
    const at = temporaryDirectory()
    const ours = await initOurs(join(at, 'ours'), algorithm, 1)
    await pull(ours, `docker://${registry.host}/thing:1`, { ...noRules, name: 'x' })
    await ours.close()
    const plain = join(at, 'plain')
    await run('skopeo', ['copy', '-q', '--src-tls-verify=false', `docker://${registry.host}/thing:1`, `dir:${plain}`])
    const theirs = await Cfsctl.init(join(at, 'theirs'), algorithm, 1)
    await theirs.run('oci', 'pull', `dir:${plain}`, 'x')
    const onOurs = new Cfsctl(ours.path)
    for (const question of [
      ['oci', 'images', '--json'],
      ['oci', 'inspect', 'x'],
    ]) {
      expect(await onOurs.run(...question)).toBe(await theirs.run(...question))
    }
    expect(await onOurs.run('oci', 'fsck')).toContain('oci images: 1/1 ok')
    expect(await onOurs.run('gc', '-n')).toContain('Objects: 0 removed')
  })

  test('finds the layers of an image of Docker', async () => {
    const to = `docker://${registry.host}/docker:1`
    const copied = ['copy', '-q', '--dest-tls-verify=false', '--format', 'v2s2', `oci:${directory}/image`, to]
    await run('skopeo', copied)
    const ours = await initOurs(join(temporaryDirectory(), 'ours'), 'sha512', 1)
    await pull(ours, to, { ...noRules, name: 'x' })
    expect(openImage(ours, 'x').manifest.config.mediaType).toContain('docker')
    await ours.close()
    const cfsctl = new Cfsctl(ours.path)
    expect(await cfsctl.run('oci', 'fsck')).toContain('oci images: 1/1 ok')
    expect(await cfsctl.run('gc', '-n')).toContain('Objects: 0 removed')
  })

  test('counts our referrers', async () => {
    const at = temporaryDirectory()
    const ours = await initOurs(join(at, 'ours'), 'sha512', 1)
    const reference = `docker://${registry.host}/image`
    const image = await pull(ours, `${reference}:1`, { ...noRules, name: 'image' })
    const client = await RegistryClient.open(parseReference(`${registry.host}/image:1`), noRules)
    const [signature] = await client.referrers(image.manifestDigest)
    await client.close()
    await pull(ours, `${reference}@${signature!.digest}`, { ...noRules, name: 'signature' })
    await ours.close()
    const cfsctl = new Cfsctl(ours.path)
    const { images } = JSON.parse(await cfsctl.run('oci', 'images', '--json')) as {
      images: { name: string; referrer_count: number }[]
    }
    expect(images.find(({ name }) => name === 'image')?.referrer_count).toBe(1)
    expect(JSON.parse(await cfsctl.run('oci', 'inspect', 'image'))).toMatchObject({
      referrers: [signature!.digest],
    })
    expect(await cfsctl.run('oci', 'fsck')).toContain('oci images: 2/2 ok')
  })
})
