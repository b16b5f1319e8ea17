import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { type PullByNameOptions, pull } from '../../../src/oci/index.ts'
import type { Repository } from '../../../src/repository/index.ts'
import {
  archive,
  digestOf,
  dockerMembers,
  type ImageBytes,
  imageOf,
  ociArchive,
  ociMembers,
} from '../../support/image-archive.ts'
import { entry, tar } from '../../support/tar.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'
import { published, temporaryRepository } from '../../support/temporary-repository.ts'

const imageWith = (name: string) =>
  imageOf([tar(entry({ name: 'usr/', type: '5' }), entry({ name: `usr/${name}` }, name))])
const [one, two] = [imageWith('one'), imageWith('two')]
const type = 'application/vnd.oci.image.manifest.v1+json'
const none = { rules: [], searched: [], aliases: new Map<string, string>() }

function write(directory: string, name: string, bytes: Buffer | string): void {
  mkdirSync(dirname(join(directory, name)), { recursive: true })
  writeFileSync(join(directory, name), bytes)
}

const descriptor = ({ manifest }: ImageBytes, fields: object) => ({
  mediaType: type,
  digest: digestOf(manifest),
  size: manifest.length,
  ...fields,
})

const tagged = (name: string) => ({ annotations: { 'org.opencontainers.image.ref.name': name } })
const on = (architecture: string) => ({ platform: { os: 'linux', architecture } })

/** A layout of both images under these descriptors. */
function layout(first: object, second?: object): string {
  const directory = temporaryDirectory()
  for (const image of [one, two]) {
    for (const { name, body } of ociMembers(image))
      if (name.startsWith('blobs/')) write(directory, name, body as Buffer)
  }
  const manifests = [descriptor(one, first), ...(second === undefined ? [] : [descriptor(two, second)])]
  write(directory, 'index.json', JSON.stringify({ schemaVersion: 2, manifests }))
  return directory
}

async function pulled(name: string, options: PullByNameOptions = {}, repository?: Repository): Promise<string> {
  const into = repository ?? (await temporaryRepository())
  return (await pull(into, name, { name: 'x', registriesConfig: none, ...options })).manifestDigest
}

describe('oci:', () => {
  test('one image needs no tag', async () => {
    expect(await pulled(`oci:${layout({})}`)).toBe(digestOf(one.manifest))
  })

  test('of several the tag decides', async () => {
    const directory = layout(tagged('1'), tagged('2:x'))
    expect(await pulled(`oci:${directory}:2:x`)).toBe(digestOf(two.manifest))
    const error = { code: 'ERR_OCI_NOT_FOUND', hint: expect.stringContaining('1, 2:x') }
    await expect(pulled(`oci:${directory}`)).rejects.toMatchObject(error)
    await expect(pulled(`oci:${directory}:3`)).rejects.toMatchObject(error)
  })

  test('of several under one tag the platform decides', async () => {
    const directory = layout({ ...tagged('t'), ...on('amd64') }, { ...tagged('t'), ...on('arm64') })
    for (const name of [`oci:${directory}`, `oci:${directory}:t`]) {
      const platform = { os: 'linux', architecture: 'arm64' }
      expect(await pulled(name, { platform })).toBe(digestOf(two.manifest))
    }
  })

  test.each([
    ['manifest', one.manifest],
    ['config', one.config],
    ['layer', one.layers[0]!],
  ])('a %s that was changed or is missing', async (_what, bytes) => {
    const directory = layout({})
    const path = `blobs/sha256/${digestOf(bytes).slice('sha256:'.length)}`
    const changed = Buffer.from(bytes)
    changed[20]! ^= 1
    write(directory, path, changed)
    await expect(pulled(`oci:${directory}`)).rejects.toMatchObject({
      code: expect.stringMatching(/^ERR_(?:DIGEST_MISMATCH|TAR_CHECKSUM)$/),
    })
    const without = join(temporaryDirectory(), 'none')
    await expect(pulled(`oci:${without}`)).rejects.toMatchObject({ code: 'ERR_NOT_FOUND' })
  })
})

describe('archives', () => {
  test('one image takes the name, of several the one that is asked for', async () => {
    const directory = temporaryDirectory()
    write(directory, 'one.tar', ociArchive(one))
    expect(await pulled(`oci-archive:${directory}/one.tar`)).toBe(digestOf(one.manifest))
    const members = [
      ...dockerMembers(one.config, one.layers, ['a:1']),
      ...dockerMembers(two.config, two.layers, ['b:2']),
    ]
    const lists = members.filter(({ name }) => name === 'manifest.json').flatMap(({ body }) => JSON.parse(String(body)))
    const rest = members.filter(({ name }) => name !== 'manifest.json')
    const unique = [...new Map(rest.map((member) => [member.name, member])).values()]
    write(directory, 'two.tar', archive([...unique, { name: 'manifest.json', body: JSON.stringify(lists) }]))
    const repository = await temporaryRepository()
    const { configDigest, tags } = await pull(repository, `docker-archive:${directory}/two.tar:b:2`, { name: 'x' })
    expect([configDigest, tags]).toEqual([digestOf(two.config), ['x']])
    const error = { code: 'ERR_OCI_NOT_FOUND', hint: expect.stringContaining('a:1, b:2') }
    await expect(pulled(`docker-archive:${directory}/two.tar`)).rejects.toMatchObject(error)
    const none = { code: 'ERR_OCI_REFERENCE', hint: expect.stringContaining('a:1, b:2') }
    const empty = await temporaryRepository()
    await expect(pull(empty, `docker-archive:${directory}/two.tar`)).rejects.toMatchObject(none)
    expect(published(empty)).toEqual({})
    for (const which of ['@1', 'docker.io/library/b:2', '2']) {
      const chosen = await pull(repository, `docker-archive:${directory}/two.tar:${which}`, { name: 'y' })
      expect([chosen.configDigest, chosen.tags]).toEqual([digestOf(two.config), ['y']])
    }
    await expect(pulled(`docker-archive:${directory}/two.tar:@2`)).rejects.toMatchObject(error)
  })

  test('an only image is not taken for one that is asked for by another name', async () => {
    const directory = temporaryDirectory()
    write(directory, 'one.tar', archive(dockerMembers(one.config, one.layers, ['a:1'])))
    expect((await pull(await temporaryRepository(), `docker-archive:${directory}/one.tar:@0`)).tags).toEqual(['a:1'])
    for (const which of ['nope', 'b:1', 'a', '@1']) {
      const error = { code: 'ERR_OCI_NOT_FOUND', hint: expect.stringContaining('a:1') }
      await expect(pulled(`docker-archive:${directory}/one.tar:${which}`)).rejects.toMatchObject(error)
    }
  })

  test('what cannot be read is told by our codes', async () => {
    const directory = temporaryDirectory()
    await expect(pulled(`oci-archive:${directory}`)).rejects.toMatchObject({ code: 'ERR_IO', path: directory })
    await expect(pulled(`oci-archive:${directory}/no`)).rejects.toMatchObject({ code: 'ERR_NOT_FOUND' })
  })
})

test.each([
  ['docker:fedora', /docker:\/\//],
  ['docker://', /not a reference/],
  ['', /not a reference/],
])('%j is not pulled', async (name, message) => {
  const error = { code: 'ERR_OCI_REFERENCE', message: expect.stringMatching(message) }
  await expect(pulled(name)).rejects.toMatchObject(error)
})
