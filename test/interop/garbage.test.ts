import { cpSync, mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { openImage, pull, tagImage, untagImage } from '../../src/oci/index.ts'
import { Repository } from '../../src/repository/index.ts'
import { Cfsctl } from '../support/cfsctl.ts'
import { liveObjects } from '../support/cfsctl-model.ts'
import { ociMembers } from '../support/image-archive.ts'
import { kindredImages, lostWithoutOthers, objectsOf } from '../support/kindred-images.ts'
import { Random } from '../support/random.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { requireTools } from '../support/tools.ts'

const { skip } = requireTools('cfsctl')
const tags = ['s', 't', 'u/v']

/** The kindred images as layouts. */
function writeLayouts(at: string): string[] {
  return kindredImages.map((image, i) => {
    for (const { name, body } of ociMembers(image, 'latest')) {
      const path = join(at, `image-${i}`, name)
      mkdirSync(dirname(path), { recursive: true })
      writeFileSync(path, body ?? '')
    }
    return `oci:${at}/image-${i}:latest`
  })
}

/** Commands of both programs on one repository, each with arguments drawn at random. Those on what is not there fail. */
function commands(random: Random, cfsctl: Cfsctl, layouts: readonly string[]) {
  const use = async (run: (repository: Repository) => unknown): Promise<void> => {
    const repository = await Repository.open(cfsctl.path, { erofsVersion: random.pick([1, 2]) })
    try {
      await run(repository)
    } finally {
      await repository.close()
    }
  }
  const tag = () => random.pick(tags)
  const pullByUs = () =>
    use((repository) => pull(repository, random.pick(layouts), { name: tag(), bootable: random.chance(0.5) }))
  const pullByThem = () =>
    cfsctl.run(
      ...['--erofs-version', random.pick(['1', '2']), 'oci', 'pull', random.pick(layouts), tag()],
      ...(random.chance(0.5) ? ['--bootable'] : []),
    )
  return {
    ours: [
      pullByUs,
      pullByUs,
      () => use((repository) => tagImage(repository, openImage(repository, tag()).manifestDigest, tag())),
      () => use((repository) => untagImage(repository, tag())),
    ],
    theirs: [pullByThem, pullByThem, () => cfsctl.run('oci', 'untag', tag())],
  }
}

describe.skipIf(skip)('beside cfsctl', () => {
  test.each([1, 2, 3, 4, 5, 6])(
    'no command of ours leaves a tagged image to its garbage collection (%i)',
    async (seed) => {
      const random = new Random(seed)
      const at = temporaryDirectory()
      const cfsctl = await Cfsctl.init(`${at}/repository`, 'sha256', 1)
      const { ours, theirs } = commands(random, cfsctl, writeLayouts(at))
      const repository = await Repository.open(cfsctl.path)
      try {
        for (let i = 0; i < 12; i++) {
          const byUs = random.chance(0.5)
          const done = await random
            .pick<() => Promise<unknown>>(byUs ? ours : theirs)()
            .then(
              () => true,
              () => false,
            )
          if (!byUs || !done) continue
          for (const tag of tags) expect(lostWithoutOthers(repository, tag), `${tag}, step ${i}`).toEqual([])
        }
        await pull(repository, writeLayouts(at)[0]!, { name: 'last' })
      } finally {
        await repository.close()
      }
      const before = await Repository.open(cfsctl.path)
      const whole = [...tags, 'last'].filter((tag) => objectsOf(before, tag) !== undefined)
      const live = liveObjects(before)
      await before.close()
      const copy = new Cfsctl(`${at}/copy`)
      cpSync(cfsctl.path, copy.path, { recursive: true, verbatimSymlinks: true })
      await cfsctl.run('gc')
      const after = await Repository.open(cfsctl.path)
      // What the model of the property test says is what cfsctl does.
      expect([...after.objects.ids()].map(({ hex }) => hex)).toEqual([...live].sort())
      for (const tag of whole) expect(objectsOf(after, tag), tag).toBeDefined()
      await after.close()
      // Ours leaves the same, and what cfsctl would lose.
      const collected = await Repository.open(copy.path)
      await collected.collectGarbage()
      const left = new Set([...collected.objects.ids()].map(({ hex }) => hex))
      for (const hex of live) expect(left.has(hex), hex).toBe(true)
      const needed = new Set(whole.flatMap((tag) => [...objectsOf(collected, tag)!]))
      for (const hex of left) expect(live.has(hex) || needed.has(hex), hex).toBe(true)
      expect(await collected.collectGarbage()).toMatchObject({ objects: { count: 0 }, streams: 0, images: 0 })
      await collected.close()
      expect(await copy.run('fsck')).toContain('status: ok')
      expect(await copy.run('gc')).toContain('Objects: 0 removed')
      expect(await cfsctl.run('oci', 'fsck')).toContain('status: ok')
      expect(await cfsctl.run('fsck')).toContain('status: ok')
    },
  )
})
