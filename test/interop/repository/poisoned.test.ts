/** cfsctl takes a layer's name as it is told; what it links so is not believed. */
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { describe, expect, test } from 'vitest'
import {
  copyImage,
  DirectorySource,
  imageTree,
  importArchive,
  LayoutDestination,
  layerStream,
  openImage,
  pullImage,
  pushImage,
  resolveConfig,
} from '../../../src/oci/index.ts'
import { Repository } from '../../../src/repository/index.ts'
import { Cfsctl, quietRust } from '../../support/cfsctl.ts'
import { digestOf, imageOf, ociArchive } from '../../support/image-archive.ts'
import { paths } from '../../support/layer-entries.ts'
import { writeLayout } from '../../support/random-images.ts'
import { entry, tar } from '../../support/tar.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'
import { temporaryRepository } from '../../support/temporary-repository.ts'
import { requireTools } from '../../support/tools.ts'

const { skip } = requireTools('cfsctl')

const usr = entry({ name: 'usr/', type: '5', mode: 0o755 })
const good = tar(usr, entry({ name: 'usr/good' }, Buffer.alloc(100_000, 'good')))
const evil = tar(usr, entry({ name: 'usr/evil' }, Buffer.alloc(100_000, 'evil')))
const image = imageOf([good])
const diffId = digestOf(good)

async function poisoned() {
  const directory = temporaryDirectory()
  const layout = join(directory, 'layout')
  writeLayout(layout, image)
  const cfsctl = await Cfsctl.init(join(directory, 'repo'), 'sha256', 1)
  const options = { input: evil, env: quietRust }
  execFileSync('cfsctl', ['--repo', cfsctl.path, 'oci', 'import-layer', diffId], options)
  return { cfsctl, layout }
}

async function idFromScratch(): Promise<string> {
  const repository = await temporaryRepository()
  const [imported] = await importArchive(repository, Readable.from([ociArchive(image)]))
  return imported!.imageId.hex
}

describe.skipIf(skip)('a layer that cfsctl has linked under the name of another', () => {
  const into: [string, (repository: Repository, layout: string) => Promise<unknown>][] = [
    ['an import', (repository) => importArchive(repository, Readable.from([ociArchive(image)]), { name: 'x' })],
    ['a pull', (repository, layout) => pullImage(repository, DirectorySource.layout(layout), { name: 'x' })],
  ]

  test.each(into)('is replaced by %s, also for cfsctl', async (_, bring) => {
    const { cfsctl, layout } = await poisoned()
    const ours = await Repository.open(cfsctl.path)
    await bring(ours, layout)
    expect(paths(await imageTree(ours, await resolveConfig(ours, 'x')))).toEqual(['/usr', '/usr/good'])
    await ours.close()
    const expected = await idFromScratch()
    expect((await cfsctl.run('oci', 'compute-id', 'x')).trim()).toContain(expected)
    expect(JSON.parse(await cfsctl.run('oci', 'inspect', 'x'))).toMatchObject({ composefs_erofs: expected })
    expect(await cfsctl.run('fsck')).toContain('ok')
  })

  test('and pulled an image with is refused, until a pull of ours mends it', async () => {
    const { cfsctl, layout } = await poisoned()
    await cfsctl.run('oci', 'pull', `oci:${layout}`, 'x')
    const ours = await Repository.open(cfsctl.path)
    const mismatch = { code: 'ERR_DIGEST_MISMATCH', expected: diffId, actual: digestOf(evil) }
    await expect(resolveConfig(ours, 'x')).rejects.toMatchObject(mismatch)
    await expect(copyImage(ours, 'x', await temporaryRepository())).rejects.toMatchObject(mismatch)
    const destination = new LayoutDestination(join(temporaryDirectory(), 'out'))
    await expect(pushImage(ours, 'x', destination)).rejects.toMatchObject(mismatch)
    await pullImage(ours, DirectorySource.layout(layout), { name: 'x' })
    const expected = await idFromScratch()
    expect(openImage(ours, 'x').config!.document.namedRefs.get('composefs.image.v1')?.hex).toBe(expected)
    await ours.close()
    expect((await cfsctl.run('oci', 'compute-id', 'x')).trim()).toContain(expected)
  })

  test('one that it has imported rightly stays as it is', async () => {
    const directory = temporaryDirectory()
    writeLayout(join(directory, 'layout'), image)
    const theirs = await Cfsctl.init(join(directory, 'repo'), 'sha256', 1)
    await theirs.run('oci', 'pull', `oci:${directory}/layout`, 'x')
    const ours = await Repository.open(theirs.path)
    const before = ours.hasStream(layerStream(diffId))
    await importArchive(ours, Readable.from([ociArchive(image)]), { name: 'y' })
    expect(ours.hasStream(layerStream(diffId))).toEqual(before)
    await ours.close()
  })
})
