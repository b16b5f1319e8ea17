import { createHash } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { type ErofsVersion, readImage, writeImage } from '../../../src/erofs/index.ts'
import { type Algorithm, fsverityDigest, type ObjectId } from '../../../src/fsverity/index.ts'
import { readDumpfile } from '../../../src/streams/dumpfile-reader.ts'
import type { FileSystem } from '../../../src/tree/index.ts'
import { shared } from '../../support/shared.ts'

interface DumpImage {
  size: number
  sha256: string
  fsverity_sha256: string
  fsverity_sha512: string
  composefs_version: number
}

interface DumpImages {
  dump: string
  V0: DumpImage
  V1: DumpImage
}

describe.skipIf(!shared.available)('images that mkcomposefs made of dumpfiles', () => {
  const { images }: { images: DumpImages[] } = shared.available ? shared.json('vectors/images.json') : { images: [] }

  test.each(images)('$dump', ({ dump, V0, V1 }) => {
    const fileSystem = readDumpfile(shared.bytes(`vectors/${dump}`))
    for (const [version, golden] of [V0, V1].entries()) {
      const image = writeImage(fileSystem, { version: version as ErofsVersion })
      expect(image.length).toBe(golden.size)
      expect(image.readUInt32LE(12)).toBe(golden.composefs_version)
      expect(createHash('sha256').update(image).digest('hex')).toBe(golden.sha256)
      expect(fsverityDigest('sha256', image).hex).toBe(golden.fsverity_sha256)
      expect(fsverityDigest('sha512', image).hex).toBe(golden.fsverity_sha512)
      const read = readImage(image)
      expect(writeImage(read.fileSystem, { version: read.version }).equals(image)).toBe(true)
    }
  })
})

interface LayerImage {
  dumpfile?: string
  ids?: Record<string, string>
}

describe.skipIf(!shared.available)('images that cfsctl made of layers', () => {
  const stacks = shared.available ? layerImages() : []
  const sha512 = shared.available ? objectsBySha256() : new Map<string, ObjectId>()

  test.each(stacks)('%s', (name, { dumpfile, ids }) => {
    for (const [key, expected] of Object.entries(ids!)) {
      const [, algorithm, version] = /^(sha256|sha512)-V([012])$/.exec(key) ?? []
      // Images with other xattrs than the dumpfile says.
      if (algorithm === undefined) continue
      const fileSystem = readDumpfile(Buffer.from(dumpfile!, 'latin1'))
      if (algorithm === 'sha512') rename(fileSystem, sha512)
      // Some sha256 ids of version 0 are those of the C tools, which raise it; cfsctl does not.
      const raised = key === 'sha256-V0' && expected === ids!['sha256-V1']
      const image = writeImage(fileSystem, { version: Number(version) as ErofsVersion, raise: raised })
      expect(fsverityDigest(algorithm as Algorithm, image).hex, `${name} ${key}`).toBe(expected)
    }
  })

  test('there are some', () => {
    expect(stacks.length).toBeGreaterThan(100)
  })
})

/** Every good image of the three files, with its dumpfile (made with sha256). */
function layerImages(): [name: string, image: LayerImage][] {
  const list: [string, LayerImage][] = []
  const add = (name: string, image: LayerImage | undefined): void => {
    if (image?.dumpfile !== undefined && Object.keys(image.ids ?? {}).length > 0) list.push([name, image])
  }
  for (const file of ['oci-images', 'oci-images-more']) {
    for (const [name, image] of Object.entries<LayerImage>(shared.json(`vectors/${file}.json`))) add(name, image)
  }
  const streams = shared.json('vectors/splitstreams.json')
  for (const name of Object.keys(streams)) add(name, streams[name].image_on_base)
  return list
}

/** The other id of every file in the layers that is large enough to be an object. */
function objectsBySha256(): Map<string, ObjectId> {
  const map = new Map<string, ObjectId>()
  for (const directory of ['vectors/layers', 'vectors/layers-more']) {
    for (const file of readdirSync(shared.path(directory))) {
      const tar = shared.bytes(`${directory}/${file}`)
      for (let at = 0; at + 512 <= tar.length; at += 512) {
        const size = Number.parseInt(tar.toString('latin1', at + 124, at + 136), 8)
        if (tar.toString('latin1', at + 257, at + 262) !== 'ustar' || !(size > 64) || at + 512 + size > tar.length)
          continue
        const body = tar.subarray(at + 512, at + 512 + size)
        map.set(fsverityDigest('sha256', body).hex, fsverityDigest('sha512', body))
      }
    }
  }
  return map
}

/** Gives all external files their sha512 ids. */
function rename(fileSystem: FileSystem, ids: ReadonlyMap<string, ObjectId>): void {
  for (const item of fileSystem.walk()) {
    if (item.kind !== 'inode' || item.inode.kind !== 'leaf' || item.inode.content.type !== 'external') continue
    const { content } = item.inode
    const id = ids.get(content.id!.hex)
    if (id === undefined) throw new Error(`no layer holds the object ${content.id}`)
    item.inode.content = { ...content, id }
  }
}
