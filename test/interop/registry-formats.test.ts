/** The same image pulled by cfsctl and by us, into repositories of every format and both hashes. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type PullByNameOptions, pull } from '../../src/oci/index.ts'
import { Repository } from '../../src/repository/index.ts'
import { Cfsctl, initOurs, run, wantBothFormats } from '../support/cfsctl.ts'
import { DockerRegistry } from '../support/docker-registry.ts'
import { imageIdOf } from '../support/image-id.ts'
import { randomImage, writeLayout } from '../support/random-images.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { requireTools } from '../support/tools.ts'

const skip = requireTools('docker-registry', 'skopeo', 'cfsctl').skip
const options: PullByNameOptions = { registriesConfig: { rules: [], searched: [], aliases: new Map() }, name: 'x' }
const hashes = ['sha256', 'sha512'] as const
const seeds = [1, 2, 3, 4]

let directory = ''
let registry: DockerRegistry

beforeAll(async () => {
  if (skip) return
  directory = mkdtempSync(join(tmpdir(), 'composefs-formats-'))
  registry = await DockerRegistry.start(join(directory, 'open'), join(directory, 'storage'))
  for (const seed of seeds) {
    const layout = join(directory, `image-${seed}`)
    writeLayout(layout, randomImage(seed))
    await run('skopeo', [
      'copy',
      '-q',
      '--dest-tls-verify=false',
      `oci:${layout}`,
      `docker://${registry.host}/${seed}:x`,
    ])
  }
})
afterAll(async () => {
  if (skip) return
  await registry.stop()
  rmSync(directory, { recursive: true, force: true })
})

const images = (path: string): string[] => readdirSync(join(path, 'images')).filter((name) => /^[0-9a-f]+$/.test(name))

describe.skipIf(skip)('pulls of cfsctl', () => {
  const cases = hashes.flatMap((hash) => (['V1', 'V2', 'V1 and V2'] as const).map((formats) => ({ hash, formats })))
  test.each(cases)('give our ids ($hash, $formats)', async ({ hash, formats }) => {
    for (const seed of seeds) {
      const at = temporaryDirectory()
      const version = formats === 'V2' ? 2 : 1
      const theirs = await Cfsctl.init(join(at, 'theirs'), hash, version)
      const ours = new Cfsctl(join(at, 'ours'))
      await (await initOurs(ours.path, hash, version)).close()
      if (formats === 'V1 and V2') for (const { path } of [theirs, ours]) wantBothFormats(path)
      await theirs.pullPlain(registry.host, `${seed}:x`, 'x')
      const repository = await Repository.open(ours.path)
      const id = imageIdOf(await pull(repository, `docker://${registry.host}/${seed}:x`, options))
      await repository.close()
      expect(images(ours.path)).toEqual(images(theirs.path))
      expect(images(ours.path)).toHaveLength(formats === 'V1 and V2' ? 2 : 1)
      expect(id).toBe((await theirs.run('oci', 'compute-id', 'x')).trim())
      for (const question of [
        ['oci', 'images', '--json'],
        ['oci', 'inspect', 'x'],
        ['oci', 'dump', 'x'],
        ['oci', 'compute-id', 'x'],
      ]) {
        expect(await ours.run(...question), `seed ${seed}, ${question}`).toBe(await theirs.run(...question))
      }
      expect(await ours.run('fsck')).toContain('status: ok')
    }
  })

  test.each(hashes)('agree on version 0, into which only we can pull (%s)', async (hash) => {
    for (const seed of seeds) {
      const at = temporaryDirectory()
      const theirs = await Cfsctl.init(join(at, 'theirs'), hash, 1)
      await theirs.pullPlain(registry.host, `${seed}:x`, 'x')
      const repository = await initOurs(join(at, 'ours'), hash, 0)
      const id = imageIdOf(await pull(repository, `docker://${registry.host}/${seed}:x`, options))
      await repository.close()
      expect(images(repository.path)).toEqual([id])
      expect(id).toBe((await theirs.run('--erofs-version', '0', 'oci', 'compute-id', 'x')).trim())
    }
  })
})
