import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import {
  ArchiveDestination,
  importArchive,
  LayoutDestination,
  listImages,
  pull,
  pushImage,
  tagImage,
  untagImage,
} from '../../src/oci/index.ts'
import { Repository, resetRepository, writeOutputFile } from '../../src/repository/index.ts'
import { isRoot } from '../support/disk.ts'
import { ociArchive } from '../support/image-archive.ts'
import { kindredImages } from '../support/kindred-images.ts'
import { makeMemoryDirectory } from '../support/memory-directory.ts'
import { temporaryRepository } from '../support/temporary-repository.ts'
import { requireTools } from '../support/tools.ts'

const { skip } = requireTools('mkfs.ext4', 'losetup')
const size = 16 * 2 ** 20
const archive = (i: number) => Readable.from([ociArchive(kindredImages[i]!)])
const options = { algorithm: 'sha256', insecure: true } as const

let at: string
/** A file system that brings nothing to disk by itself while the test runs. */
let disk: string

function mount(image: string, path: string): void {
  mkdirSync(path)
  execFileSync('mount', ['-o', 'loop,commit=600,noatime', image, path])
  onTestFinished(() => {
    execFileSync('umount', ['-l', path])
  })
}

/** What would be found after a power cut at this moment, as another file system. */
let cuts = 0
function cut(): string {
  const image = join(at, `cut-${++cuts}.img`)
  copyFileSync(join(at, 'disk.img'), image)
  const path = join(at, `cut-${cuts}`)
  mount(image, path)
  return path
}

async function tagsOf(path: string): Promise<string[]> {
  const repository = await Repository.open(path)
  try {
    return [...listImages(repository)].map((image) => ('error' in image ? `${image.name} is broken` : image.name))
  } finally {
    await repository.close()
  }
}

describe.skipIf(skip || !isRoot)('what is done outlives a power cut right after it:', () => {
  beforeEach(() => {
    at = makeMemoryDirectory()
    onTestFinished(() => rmSync(at, { recursive: true, force: true }))
    const image = join(at, 'disk.img')
    writeFileSync(image, '')
    truncateSync(image, size)
    execFileSync('mkfs.ext4', ['-q', image])
    disk = join(at, 'disk')
    mount(image, disk)
  })

  test('a repository, tags, names of images, and that a tag is gone', async () => {
    const path = join(disk, 'new/repository')
    const repository = await Repository.init(path, options)
    onTestFinished(() => repository.close())
    expect(await tagsOf(join(cut(), 'new/repository'))).toEqual([])
    const [first] = await importArchive(repository, archive(0), { name: 'first' })
    expect(await tagsOf(join(cut(), 'new/repository'))).toEqual(['first'])
    await tagImage(repository, first!.manifestDigest, 'second')
    expect(await tagsOf(join(cut(), 'new/repository'))).toEqual(['first', 'second'])
    untagImage(repository, 'first')
    expect(await tagsOf(join(cut(), 'new/repository'))).toEqual(['second'])
    await repository.setRef('images', 'deep/name', first!.imageId)
    const after = await Repository.open(join(cut(), 'new/repository'))
    expect(after.listImages()).toEqual([{ name: 'deep/name', id: first!.imageId }])
    after.objects.verify(first!.imageId)
    await after.close()
  })

  test('images in layouts and archives, and other outputs', async () => {
    const repository = await Repository.init(join(at, 'repository'), options)
    onTestFinished(() => repository.close())
    await importArchive(repository, archive(0), { name: 'x' })
    await writeOutputFile(join(disk, 'image'), Buffer.alloc(100_000, 'old'))
    expect(readFileSync(join(cut(), 'image'))).toEqual(Buffer.alloc(100_000, 'old'))
    await writeOutputFile(join(disk, 'image'), Buffer.alloc(100_000, 'new'))
    expect(readFileSync(join(cut(), 'image'))).toEqual(Buffer.alloc(100_000, 'new'))
    const destinations = {
      'layout:a': new LayoutDestination(join(disk, 'new/layout'), 'a'),
      'layout:b': new LayoutDestination(join(disk, 'new/layout'), 'b'),
      'archive:c': ArchiveDestination.file(join(disk, 'archive'), 'c'),
    }
    for (const [name, destination] of Object.entries(destinations)) {
      const { configDigest } = await pushImage(repository, 'x', destination)
      const from = name.startsWith('archive') ? `oci-archive:${cut()}/${name}` : `oci:${cut()}/new/${name}`
      const pulled = await pull(await temporaryRepository(), from, { name: 'y' })
      expect(pulled.configDigest).toBe(configDigest)
    }
  })

  test('a reset', async () => {
    const path = join(disk, 'repository')
    const repository = await Repository.init(path, options)
    await importArchive(repository, archive(0), { name: 'x' })
    await repository.close()
    await resetRepository(path, { ...options, erofsVersion: 2 })
    const after = await Repository.open(join(cut(), 'repository'))
    expect([after.formats.default, after.listStreams(), after.listRefs('streams')]).toEqual([2, [], []])
    await after.close()
  })
})
