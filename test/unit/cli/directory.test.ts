import { mkdirSync, readlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { writeImage } from '../../../src/erofs/index.ts'
import { fsverityDigest } from '../../../src/fsverity/index.ts'
import { DigestStore, Repository } from '../../../src/repository/index.ts'
import { type DirectoryTreeOptions, directoryTree } from '../../../src/sources/index.ts'
import { composefsCommand } from '../../support/command.ts'
import { freshDirectory } from '../../support/disk.ts'
import { scansDirectories } from '../../support/xattrs.ts'

scansDirectories()

const composefs = composefsCommand()

function rootDirectory(): string {
  const root = freshDirectory()
  for (const name of ['usr', 'run', 'boot', 'sysroot']) mkdirSync(join(root, name))
  writeFileSync(join(root, 'usr/large'), Buffer.alloc(1000, 'x'))
  writeFileSync(join(root, 'run/pid'), '1')
  for (const name of ['usr/large', 'usr', 'run', '.']) utimesSync(join(root, name), 0, name.length)
  return root
}

async function id(
  root: string,
  options: DirectoryTreeOptions = {},
  version: 0 | 1 | 2 = 1,
  hash: 'sha256' | 'sha512' = 'sha512',
) {
  const fileSystem = await directoryTree(root, new DigestStore(hash), options)
  return fsverityDigest(hash, writeImage(fileSystem, { version })).hex
}

describe('compute-id', () => {
  test('prints the id alone; the hash is that of the repository, or sha512', async () => {
    const root = rootDirectory()
    const none = join(root, '../none')
    const repository = join(root, '../repository')
    await (await Repository.init(repository, { algorithm: 'sha256', insecure: true, erofsVersion: 2 })).close()
    const ids = { sha256: await id(root, {}, 1, 'sha256'), sha512: await id(root) }
    expect(composefs('--repo', none, 'compute-id', root)).toEqual({ status: 0, out: `${ids.sha512}\n`, error: '' })
    expect(composefs('--no-repo', 'compute-id', root).out).toBe(`${ids.sha512}\n`)
    expect(composefs('--repo', repository, 'compute-id', root).out).toBe(`${ids.sha256}\n`)
    expect(composefs('--repo', repository, '--hash', 'sha512', 'compute-id', root).out).toBe(`${ids.sha512}\n`)
    const two = composefs('--no-repo', '--erofs-version', '2', '--hash', 'sha256', 'compute-id', '--json', root)
    expect(JSON.parse(two.out)).toEqual({
      imageId: await id(root, {}, 2, 'sha256'),
      algorithm: 'sha256',
      erofsVersion: 2,
    })
  })

  test.each<[string[], DirectoryTreeOptions]>([
    [['--bootable'], { bootable: true }],
    [['--no-propagate-usr-to-root'], { profile: 'raw' }],
    [['--no-propagate-usr-to-root', '--xattrs', 'allowlist-only'], { profile: 'raw' }],
    [['--profile', 'pr36'], { profile: 'pr36' }],
    [['--profile', 'raw', '--root-metadata', 'newest'], { profile: 'raw', root: 'newest' }],
    [['--root-metadata', 'newest-time', '--xattrs', 'all'], { root: 'newest-time', xattrs: 'all' }],
    [['--one-file-system=skip'], { oneFileSystem: 'skip' }],
  ])('%j', async (flags, options) => {
    const root = rootDirectory()
    expect(composefs('--no-repo', 'compute-id', ...flags, root).out).toBe(`${await id(root, options)}\n`)
  })

  test('wrong usage is status 2, what cannot be read status 1', () => {
    const root = rootDirectory()
    const both = composefs('--no-repo', 'compute-id', '--no-propagate-usr-to-root', '--root-metadata', 'usr', root)
    expect(both).toMatchObject({ status: 2, error: expect.stringContaining('exclude each other') })
    expect(composefs('--no-repo', 'compute-id', '--xattrs', 'some', root).status).toBe(2)
    const absent = composefs('--no-repo', 'compute-id', join(root, 'absent'))
    expect(absent).toMatchObject({ status: 1, out: '', error: expect.stringContaining('[ERR_NOT_FOUND]') })
    expect(absent.error.split('\n')).toHaveLength(2)
  })
})

test('compute-karg is always for a bootable image', async () => {
  const root = rootDirectory()
  const options = { bootable: true }
  const karg = (...flags: string[]) => composefs('--no-repo', '--hash', 'sha256', ...flags, root)
  const ids = await Promise.all(([0, 1, 2] as const).map((version) => id(root, options, version, 'sha256')))
  expect(karg('compute-karg').out).toBe(`composefs.digest=v1-sha256-12:${ids[1]}\n`)
  expect(karg('--erofs-version', '0', 'compute-karg').out).toBe(`composefs.digest=v1-sha256-12:${ids[0]}\n`)
  expect(karg('--erofs-version', '2', 'compute-karg').out).toBe(`composefs=${ids[2]}\n`)
  expect(JSON.parse(karg('--erofs-version', '2', 'compute-karg', '--json').out)).toEqual({
    karg: `composefs=${ids[2]}`,
    imageId: ids[2],
  })
})

test('create-dumpfile writes what mkfs makes the image of', async () => {
  const root = rootDirectory()
  const { out } = composefs('--no-repo', '--hash', 'sha256', 'create-dumpfile', root)
  expect(out).toMatch(/^\/ 0 40755 6 /)
  writeFileSync(join(root, '../dump'), out, 'latin1')
  const made = composefs('mkfs', '--from-file', '--print-digest-only', join(root, '../dump'))
  expect(made.out).toBe(`${await id(root, {}, 1, 'sha256')}\n`)
})

describe('create-image', () => {
  test('stores, links and names the image, in every format of the repository', async () => {
    const root = rootDirectory()
    const path = join(root, '../repository')
    await (await Repository.init(path, { algorithm: 'sha256', insecure: true })).close()
    const [one, two] = [await id(root, {}, 1, 'sha256'), await id(root, {}, 2, 'sha256')]
    expect(composefs('--repo', path, 'create-image', root)).toEqual({
      status: 0,
      out: `sha256:${one}\n`,
      error: '',
    })
    const named = composefs('--repo', path, '--erofs-version', '2', 'create-image', '--json', root, 'my/image')
    expect(JSON.parse(named.out)).toEqual({
      imageId: two,
      images: { v2: two },
      name: 'my/image',
      objects: { newObjects: 1, newBytes: expect.any(Number), presentObjects: 1, replacedObjects: 0 },
    })
    expect(readlinkSync(join(path, 'images/refs/my/image'))).toContain(two)
    const repository = await Repository.open(path)
    expect(repository.listImageIds().map(({ hex }) => hex)).toEqual([one, two].sort())
    for (const objectId of repository.objects.ids()) repository.objects.verify(objectId)
    await repository.close()
  })

  test('needs a repository, and says so', () => {
    const root = rootDirectory()
    const missing = composefs('--repo', join(root, '../none'), 'create-image', root)
    expect(missing).toMatchObject({ status: 1, error: expect.stringContaining('[ERR_REPOSITORY_MISSING]') })
    const refused = composefs('--no-repo', 'create-image', root)
    expect(refused).toMatchObject({ status: 2, error: expect.stringContaining('needs a repository') })
  })

  test('a bad name is refused, and nothing is linked', async () => {
    const root = rootDirectory()
    const path = join(root, '../repository')
    await (await Repository.init(path, { algorithm: 'sha256', insecure: true })).close()
    expect(composefs('--repo', path, 'create-image', root, '../../up').error).toContain('[ERR_OCI_NAME]')
    const repository = await Repository.open(path)
    expect(repository.listImageIds()).toEqual([])
    await repository.close()
  })
})
