/**
 * Repositories that we wrote, in the hands of cfsctl, and the other way round.
 */
import { createHash } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { type ErofsVersion, imageObjects, writeImage } from '../../src/erofs/index.ts'
import { type Algorithm, fsverityDigest } from '../../src/fsverity/index.ts'
import {
  catStream,
  imageTree,
  importArchive,
  layerStream,
  linkedImage,
  listImages,
  openImage,
  type PublishedImage,
} from '../../src/oci/index.ts'
import { Repository } from '../../src/repository/index.ts'
import { dumpfileText } from '../../src/streams/index.ts'
import { Cfsctl, initOurs, wantBothFormats } from '../support/cfsctl.ts'
import { archive, configOf, digestOf, dockerMembers, imageOf, ociArchive } from '../support/image-archive.ts'
import { memoryDirectory } from '../support/memory-directory.ts'
import { type RandomImage, randomImage, writeLayout } from '../support/random-images.ts'
import { requireTools } from '../support/tools.ts'

const { skip } = requireTools('cfsctl')
const configurations: readonly { algorithm: Algorithm; version: ErofsVersion; extra: string }[] = [
  { algorithm: 'sha256', version: 1, extra: '' },
  { algorithm: 'sha512', version: 2, extra: '' },
  { algorithm: 'sha512', version: 1, extra: ' and 2' },
]

/** Images of which some share layers. */
function someImages(): Map<string, RandomImage> {
  const images = new Map<string, RandomImage>()
  const names = ['plain', 'quay.io/some/image:latest', '100%/odd%2Fname', 'with space']
  for (const [i, name] of names.entries()) images.set(name, randomImage(1_000_000 + i))
  return images.set('further', stack([...images.get('plain')!.tars, randomImage(1_000_010).tars[0]!]))
}

/** An image of plain layers. */
function stack(tars: readonly Buffer[]): RandomImage {
  return { ...imageOf(tars), tars }
}

/** Names, layers and trees of every image, as cfsctl and we see them. */
async function compare(path: string, images: ReadonlyMap<string, RandomImage>): Promise<void> {
  const cfsctl = new Cfsctl(path)
  const repository = await Repository.open(path)
  const listed = JSON.parse(await cfsctl.run('oci', 'images', '--json')).images as { name: string }[]
  const ours = [...listImages(repository)].map((image) => {
    if ('error' in image) throw image.error
    return {
      name: image.name,
      manifest_digest: image.manifestDigest,
      is_container: image.isContainer,
      architecture: image.architecture,
      os: image.os,
      created: image.created,
      layer_count: image.layerCount,
      referrer_count: image.referrerCount,
    }
  })
  const byName = (a: { name: string }, b: { name: string }) => (a.name < b.name ? -1 : 1)
  expect(listed.sort(byName)).toEqual(ours.sort(byName))
  expect(listed.map(({ name }) => name)).toEqual([...images.keys()].sort())
  for (const [name, { tars }] of images) {
    const image = openImage(repository, name)
    const config = image.config!
    const tree = await imageTree(repository, config)
    expect(dumpfileText(tree).toString('latin1')).toBe(await cfsctl.run('oci', 'dump', name))
    for (const version of [repository.formats.default, ...repository.formats.extra]) {
      const id = fsverityDigest(repository.algorithm, writeImage(tree, { version })).hex
      expect(linkedImage(config, version)?.hex).toBe(id)
      const asked = ['--erofs-version', `${version}`, 'oci']
      expect((await cfsctl.run(...asked, 'compute-id', name)).trim()).toBe(id)
      // By the digest of the config cfsctl puts every layer together and hashes it.
      expect((await cfsctl.run(...asked, 'compute-id', `@${config.digest}`)).trim()).toBe(id)
      expect(JSON.parse(await cfsctl.run(...asked, 'inspect', name))).toEqual({
        manifest: image.manifestBytes.toString(),
        config: image.configBytes.toString(),
        referrers: [],
        composefs_erofs: id,
        composefs_boot_erofs: null,
      })
      const objects = (await cfsctl.run('image-objects', id)).split('\n').filter((line) => line !== '')
      const found = [...imageObjects(repository.readObject(linkedImage(config, version)!))].map((object) => `${object}`)
      expect(objects.sort()).toEqual(found.sort())
    }
    for (const tar of tars) await compareLayer(cfsctl, repository, tar)
  }
  await repository.close()
}

async function compareLayer(cfsctl: Cfsctl, repository: Repository, tar: Buffer): Promise<void> {
  const diffId = digestOf(tar)
  const theirs = await cfsctl.bytes('cat', layerStream(diffId))
  expect(digestOf(theirs)).toBe(diffId)
  const hash = createHash('sha256')
  const { id } = repository.resolveStream(layerStream(diffId))
  for await (const chunk of catStream(repository, id)) hash.update(chunk as Buffer)
  expect(`sha256:${hash.digest('hex')}`).toBe(diffId)
}

/** What garbage collection would remove. */
async function garbage(cfsctl: Cfsctl): Promise<number> {
  const found = /Objects: (\d+) removed/.exec(await cfsctl.run('gc', '-n'))
  return Number(found?.[1])
}

async function importAll(repository: Repository, images: ReadonlyMap<string, RandomImage>): Promise<PublishedImage[]> {
  const published: PublishedImage[] = []
  for (const [name, image] of images) {
    published.push(...(await importArchive(repository, Readable.from([ociArchive(image)]), { name })))
  }
  return published
}

describe.skipIf(skip).each(configurations)('$algorithm, version $version$extra', (configuration) => {
  const { algorithm, version, extra } = configuration

  test('cfsctl finds nothing wrong with a repository of ours, and goes on with it', async () => {
    const directory = memoryDirectory()
    const path = join(directory, 'repository')
    await (await initOurs(path, algorithm, version)).close()
    if (extra !== '') wantBothFormats(path)
    const repository = await Repository.open(path)
    const images = someImages()
    await importAll(repository, images)
    // Docker's own form, whose layers we have already; its manifest is made by us, and nothing needs its VERSION.
    const { tars } = images.get('plain')!
    const members = dockerMembers(configOf(tars), tars, ['docker:1', 'docker:2'])
    await importArchive(repository, Readable.from([archive([...members, { name: '0/VERSION', body: '1.0' }])]))
    await repository.close()
    images.set('docker:1', stack(tars)).set('docker:2', stack(tars))

    const cfsctl = new Cfsctl(path)
    const checkAll = async () => {
      const checked = await cfsctl.run('fsck')
      expect(checked).toContain('status: ok')
      for (const [, good, all] of checked.matchAll(/: (\d+)\/(\d+) ok/g)) expect(good).toBe(all)
      expect(await cfsctl.run('oci', 'fsck')).toContain(`oci images: ${images.size}/${images.size} ok`)
      await compare(path, images)
    }
    await checkAll()
    expect(await garbage(cfsctl)).toBe(0)

    const more = randomImage(1_000_020)
    const stacked = stack([...tars, ...more.tars])
    mkdirSync(join(directory, 'layout'))
    writeLayout(join(directory, 'layout'), stacked)
    expect(await cfsctl.run('oci', 'pull', `oci:${join(directory, 'layout')}`, 'pulled')).toContain('tagged   pulled')
    images.set('pulled', stacked)
    await checkAll()
    await cfsctl.run('gc')
    expect(await garbage(cfsctl)).toBe(0)
    await checkAll()
  })

  test('we find nothing wrong with a repository of cfsctl, and go on with it', async () => {
    const directory = memoryDirectory()
    const path = join(directory, 'repository')
    const cfsctl = await Cfsctl.init(path, algorithm, version)
    if (extra !== '') wantBothFormats(path)
    const images = someImages()
    for (const [name, image] of images) {
      const layout = join(directory, digestOf(image.manifest).slice('sha256:'.length))
      mkdirSync(layout)
      writeLayout(layout, image)
      await cfsctl.run('oci', 'pull', `oci:${layout}`, name)
    }
    await compare(path, images)
    // Every pull writes config and manifest twice; the first ones are left behind.
    expect(await garbage(cfsctl)).toBe(2 * images.size)
    await cfsctl.run('gc')

    const again = await Repository.open(path)
    await importAll(again, images)
    expect(again.stats).toMatchObject({ newObjects: 0, newBytes: 0 })
    await again.close()
    expect(await garbage(cfsctl)).toBe(0)

    const repository = await Repository.open(path)
    const more = new Map([['more', randomImage(1_000_030)]])
    const { tars } = images.get('further')!
    // The first layer of a stack stands on anything, on itself too.
    more.set('on top', stack([...tars, tars[0]!]))
    await importAll(repository, more)
    expect(repository.stats.newObjects).toBeGreaterThan(0)
    await repository.close()
    for (const [name, image] of more) images.set(name, image)
    expect(await cfsctl.run('fsck')).toContain('status: ok')
    expect(await cfsctl.run('oci', 'fsck')).toContain(`oci images: ${images.size}/${images.size} ok`)
    expect(await garbage(cfsctl)).toBe(0)
    await compare(path, images)

    const second = await Repository.open(path)
    await importAll(second, images)
    expect(second.stats).toMatchObject({ newObjects: 0, newBytes: 0 })
    await second.close()
  })
})
