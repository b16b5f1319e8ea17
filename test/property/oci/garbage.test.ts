import { rmSync } from 'node:fs'
import { Readable } from 'node:stream'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { ErofsVersion } from '../../../src/erofs/index.ts'
import { ComposefsError } from '../../../src/errors.ts'
import { importArchive, openImage, tagImage, untagImage } from '../../../src/oci/index.ts'
import { tagRef } from '../../../src/oci/names.ts'
import { Repository } from '../../../src/repository/index.ts'
import { collectGarbage, pullAsCfsctl } from '../../support/cfsctl-model.ts'
import { type ImageBytes, ociArchive } from '../../support/image-archive.ts'
import { kindredImages, lostWithoutOthers } from '../../support/kindred-images.ts'
import { makeMemoryDirectory } from '../../support/memory-directory.ts'
import { runs } from '../../support/runs.ts'

const tags = ['s', 't', 'u/v']

/** One of our commands, each of which opens the repository, or one of cfsctl's. */
interface Step {
  readonly text: string
  readonly ours: boolean
  readonly erofsVersion?: ErofsVersion
  run(repository: Repository): unknown
}

const tagName = fc.constantFrom(...tags)
const pull = fc.record({
  image: fc.constantFrom(...kindredImages),
  tag: tagName,
  erofsVersion: fc.constantFrom<ErofsVersion>(1, 2),
  bootable: fc.boolean(),
})
const textOf = ({
  image,
  tag,
  erofsVersion,
  bootable,
}: {
  image: ImageBytes
  tag: string
  erofsVersion: number
  bootable: boolean
}) => `pull ${kindredImages.indexOf(image)} ${tag}, V${erofsVersion}${bootable ? ', bootable' : ''}`

const steps: fc.Arbitrary<Step>[] = [
  pull.map((pull) => ({
    text: textOf(pull),
    ours: true,
    erofsVersion: pull.erofsVersion,
    run: (repository: Repository) =>
      importArchive(repository, Readable.from([ociArchive(pull.image)]), { name: pull.tag, bootable: pull.bootable }),
  })),
  pull.map((pull) => ({
    text: `cfsctl ${textOf(pull)}`,
    ours: false,
    erofsVersion: pull.erofsVersion,
    run: (repository: Repository) => pullAsCfsctl(repository, pull.image, pull.tag, pull.bootable),
  })),
  fc.tuple(tagName, tagName).map(([from, to]) => ({
    text: `tag ${from} ${to}`,
    ours: true,
    run: (repository: Repository) => tagImage(repository, openImage(repository, from).manifestDigest, to),
  })),
  tagName.map((tag) => ({
    text: `untag ${tag}`,
    ours: true,
    run: (repository: Repository) => untagImage(repository, tag),
  })),
  tagName.map((tag) => ({
    text: `cfsctl untag ${tag}`,
    ours: false,
    run: (repository: Repository) => repository.removeRef('streams', tagRef(tag)),
  })),
  fc.constant({ text: 'cfsctl gc', ours: false, run: collectGarbage }),
]

/** Runs a command. One on what is not there does nothing: then the answer is false. */
async function ran({ run }: Step, repository: Repository): Promise<boolean> {
  try {
    await run(repository)
    return true
  } catch (error) {
    if (!(error instanceof ComposefsError) || !/^ERR_(OCI_)?NOT_FOUND$/.test(error.code)) throw error
    return false
  }
}

test('no command of ours leaves a tagged image to the garbage collection of cfsctl', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.oneof(...steps), { minLength: 2, maxLength: 12 }), async (steps) => {
      const path = makeMemoryDirectory()
      try {
        await (await Repository.init(`${path}/r`, { algorithm: 'sha256', insecure: true })).close()
        for (const step of steps) {
          const repository = await Repository.open(
            `${path}/r`,
            step.erofsVersion === undefined ? {} : { erofsVersion: step.erofsVersion },
          )
          const done = await ran(step, repository)
          for (const tag of step.ours && done ? tags : []) {
            expect(lostWithoutOthers(repository, tag), `${tag} after ${step.text}`).toEqual([])
          }
          await repository.close()
        }
      } finally {
        rmSync(path, { recursive: true, force: true })
      }
    }),
    { numRuns: runs(40) },
  )
})
