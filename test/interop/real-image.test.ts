/**
 * A real image with every oddity that layers have in the wild, by every way into a repository.
 *
 * COMPOSEFS_FULL_IMAGE=1 takes an operating system from a mirror as its base, kept in REAL_IMAGE_CACHE.
 */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createReadStream, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ErofsVersion, writeImage } from '../../src/erofs/index.ts'
import { type Algorithm, fsverityDigest } from '../../src/fsverity/index.ts'
import {
  catStream,
  imageTree,
  importArchive,
  layerStream,
  linkedImage,
  openImage,
  type PublishedImage,
  parseConfig,
} from '../../src/oci/index.ts'
import { DigestStore, Repository } from '../../src/repository/index.ts'
import { directoryTree } from '../../src/sources/index.ts'
import { dumpfileText, readDumpfile } from '../../src/streams/index.ts'
import { diffTrees, type FileSystem, type XattrFilter } from '../../src/tree/index.ts'
import { Cfsctl, initOurs, run, wantBothFormats } from '../support/cfsctl.ts'
import { digestOf, imageOf } from '../support/image-archive.ts'
import { makeMemoryDirectory } from '../support/memory-directory.ts'
import { writeLayout } from '../support/random-images.ts'
import {
  checkMounted,
  Layout,
  makeRealImage,
  realImageRoom,
  realImageSize,
  skipRealImage,
} from '../support/real-image.ts'
import { requireTools } from '../support/tools.ts'

const skip = skipRealImage() || requireTools('skopeo', 'mkcomposefs', 'fsck.erofs').skip
const skipCfsctl = skip || requireTools('cfsctl').skip
const algorithms: readonly Algorithm[] = ['sha256', 'sha512']
const versions: readonly ErofsVersion[] = [0, 1, 2]

let directory = ''
let layout: Layout

/** Runs skopeo while its output is read; its failure is ours. */
async function skopeo(
  destination: string,
  read: (output: Readable) => Promise<PublishedImage[]>,
): Promise<PublishedImage> {
  // The output of a child of Node is a socket, and those cannot be opened as /dev/stdout: cat makes it a pipe.
  const script = 'skopeo copy -q "$1" "$2" | cat'
  const child = spawn('bash', ['-o', 'pipefail', '-c', script, 'bash', `oci:${directory}/oci:latest`, destination], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = once(child, 'close')
  const images = await read(child.stdout)
  child.stdout.resume()
  expect((await ended)[0]).toBe(0)
  expect(images).toHaveLength(1)
  return images[0]!
}

type Route = (repository: Repository) => Promise<PublishedImage>

const routes: Record<string, Route> = {
  'docker-archive through a pipe': (repository) =>
    skopeo('docker-archive:/dev/stdout', (output) => importArchive(repository, output, { name: 'image' })),
  'oci-archive through a FIFO': async (repository) => {
    const fifo = join(directory, 'fifo')
    rmSync(fifo, { force: true })
    await run('mkfifo', [fifo])
    return skopeo(`oci-archive:${fifo}`, () => importArchive(repository, createReadStream(fifo), { name: 'image' }))
  },
  'the layers of the oci: directory': (repository) => layout.importInto(repository, 'image'),
}

/** The image ids of a tree for every format. */
function idsOf(algorithm: Algorithm, tree: FileSystem): string[] {
  return versions.map((version) => fsverityDigest(algorithm, writeImage(tree, { version })).hex)
}

function treeOf(repository: Repository, xattrs: XattrFilter = 'allowlist-only'): Promise<FileSystem> {
  return imageTree(repository, openImage(repository, 'image').config!, { xattrs })
}

const place = (algorithm: Algorithm, route: string) =>
  join(directory, `${algorithm}-${Object.keys(routes).indexOf(route)}`)
const open = (algorithm: Algorithm, route: string) => Repository.open(place(algorithm, route))

/** Imports the image into a new repository. */
async function importBy(algorithm: Algorithm, route: string): Promise<void> {
  const repository = await initOurs(place(algorithm, route), algorithm, 1)
  const begin = performance.now()
  await routes[route]!(repository)
  const seconds = ((performance.now() - begin) / 1000).toFixed(1)
  const { newObjects, newBytes } = repository.stats
  console.info(`${realImageSize}, ${algorithm}, ${route}: ${newObjects} objects, ${newBytes} bytes, ${seconds} s`)
  await repository.close()
}

async function catDigest(repository: Repository, diffId: string): Promise<string> {
  const hash = createHash('sha256')
  const { id } = repository.resolveStream(layerStream(diffId))
  for await (const chunk of catStream(repository, id)) hash.update(chunk as Buffer)
  return `sha256:${hash.digest('hex')}`
}

describe.skipIf(skip)('a real image', () => {
  beforeAll(async () => {
    directory = makeMemoryDirectory(realImageRoom)
    await makeRealImage(directory)
    layout = new Layout(join(directory, 'oci'))
    for (const algorithm of algorithms) for (const name of Object.keys(routes)) await importBy(algorithm, name)
  })
  afterAll(() => rmSync(directory, { recursive: true, force: true }))

  test.each(algorithms)('has one id by every route and in every format, %s', async (algorithm) => {
    const ids = new Map<string, string[]>()
    for (const name of Object.keys(routes)) {
      const repository = await open(algorithm, name)
      const tree = await treeOf(repository)
      ids.set(name, idsOf(algorithm, tree))
      expect(ids.get(name)![1]).toBe(linkedImage(openImage(repository, 'image').config!, 1)?.hex)
      ids.set(`${name}, by way of its dumpfile`, idsOf(algorithm, readDumpfile(dumpfileText(tree))))
      await repository.close()
    }
    const [first] = ids.values()
    for (const [name, found] of ids) expect(found, name).toEqual(first)
    expect(ids.size).toBe(6)
    console.info(`${realImageSize}, ${algorithm}: V0, V1, V2 = ${first!.join(' ')}`)
  })

  test.each(algorithms)('has the id of the flattened root as a directory, in every format, %s', async (algorithm) => {
    const tree = await directoryTree(join(directory, 'rootfs'), new DigestStore(algorithm))
    const repository = await open(algorithm, 'docker-archive through a pipe')
    const layers = await treeOf(repository)
    await repository.close()
    expect([...diffTrees(tree, layers)]).toEqual([])
    expect(idsOf(algorithm, tree)).toEqual(idsOf(algorithm, layers))
  })

  test('has the bytes that mkcomposefs makes of the dumpfile', async () => {
    const repository = await open('sha256', 'docker-archive through a pipe')
    const tree = await treeOf(repository)
    await repository.close()
    const dump = join(directory, 'dump')
    writeFileSync(dump, dumpfileText(tree))
    for (const version of [0, 1] as const) {
      const theirs = await run('mkcomposefs', [
        `--min-version=${version}`,
        `--max-version=${version}`,
        '--from-file',
        dump,
        '-',
      ])
      expect(writeImage(tree, { version }).equals(theirs), `version ${version}`).toBe(true)
    }
  })

  test.each(Object.keys(routes))('%s: every layer comes back bit for bit', async (route) => {
    const tars = [0, 1, 2, 3, 4].map((i) => readFileSync(join(directory, 'layers', `${i}.tar`)))
    const repository = await open('sha256', route)
    const { config } = openImage(repository, 'image')
    expect(config?.config.diffIds).toEqual(tars.map(digestOf))
    for (const diffId of config!.config.diffIds) expect(await catDigest(repository, diffId)).toBe(diffId)
    await repository.close()
  })

  test.each(Object.entries(routes))('%s: a second import writes nothing', async (name, route) => {
    for (const algorithm of algorithms) {
      const repository = await open(algorithm, name)
      const image = openImage(repository, 'image')
      expect((await route(repository)).imageId).toEqual(linkedImage(image.config!, 1))
      expect(repository.stats).toMatchObject({ newObjects: 0, newBytes: 0 })
      await repository.close()
    }
  })

  test.skipIf(skipCfsctl).each(Object.keys(routes))('%s: cfsctl finds nothing wrong, and no garbage', async (route) => {
    for (const algorithm of algorithms) {
      const cfsctl = new Cfsctl(place(algorithm, route))
      expect(await cfsctl.run('fsck')).toContain('status: ok')
      expect(await cfsctl.run('oci', 'fsck')).toContain('oci images: 1/1 ok')
      expect(await cfsctl.run('gc', '-n')).toContain('Objects: 0 removed')
      for (const diffId of parseConfig(layout.config).diffIds) {
        expect(digestOf(await cfsctl.bytes('cat', layerStream(diffId)))).toBe(diffId)
      }
    }
  })

  test('passes fsck.erofs in every format', async () => {
    const repository = await open('sha256', 'docker-archive through a pipe')
    const tree = await treeOf(repository)
    await repository.close()
    for (const version of versions) {
      const path = join(directory, `v${version}.cfs`)
      writeFileSync(path, writeImage(tree, { version }))
      const said = await run('sh', ['-c', 'fsck.erofs -d3 "$1" 2>&1', 'sh', path])
      expect(said.toString()).toContain('No errors found')
    }
  })

  test('is the flattened root when the kernel mounts it', async () => {
    const check = async (image: string, objects: string, xattrs?: 'user' | 'all') => {
      const said = await checkMounted(image, objects, join(directory, 'rootfs'), xattrs)
      expect(said).toMatch(/^\d+ inodes compared, 0 differ$/)
      return said
    }
    for (const algorithm of algorithms) {
      const repository = await open(algorithm, 'docker-archive through a pipe')
      const objects = join(repository.path, 'objects')
      const image = linkedImage(openImage(repository, 'image').config!, 1)!
      console.info(
        `${realImageSize}, ${algorithm}: ${await check(join(repository.path, 'images', image.hex), objects)}`,
      )
      const checkTree = async (version: ErofsVersion, filter?: XattrFilter, xattrs?: 'user' | 'all') => {
        const path = join(directory, 'mounted.cfs')
        writeFileSync(path, writeImage(await treeOf(repository, filter), { version }))
        await check(path, objects, xattrs)
      }
      await checkTree(0)
      await checkTree(1, 'keep-user-xattrs', 'user')
      await checkTree(1, 'all', 'all')
      await repository.close()
    }
  })

  test.skipIf(skipCfsctl)('without its time before 1970, is the one that cfsctl makes', async () => {
    // The same length, so that only the times differ.
    const tars = [0, 1, 2, 3, 4].map((i) => readFileSync(join(directory, 'layers', `${i}.tar`)))
    const at = tars[1]!.indexOf('mtime=-10\n')
    expect(at).toBeGreaterThan(0)
    expect(tars[1]!.indexOf('mtime=-', at + 1)).toBe(-1)
    tars[1]!.write('mtime=110\n', at, 'latin1')
    const blobs = layout.layers.map(({ digest, mediaType }, i) => ({
      bytes: i === 1 ? gzipSync(tars[1]!) : layout.blob(digest),
      suffix: (/\+.*$/.exec(mediaType)?.[0] ?? '') as '' | '+gzip' | '+zstd',
    }))
    const changed = join(directory, 'changed')
    mkdirSync(changed)
    writeLayout(changed, imageOf(tars, blobs))
    for (const algorithm of algorithms) {
      const cfsctl = await Cfsctl.init(join(directory, `${algorithm}-theirs`), algorithm, 1)
      wantBothFormats(cfsctl.path)
      await cfsctl.run('oci', 'pull', `oci:${changed}`, 'image')
      const path = join(directory, `${algorithm}-ours`)
      await (await initOurs(path, algorithm, 1)).close()
      wantBothFormats(path)
      const ours = await Repository.open(path)
      await new Layout(changed).importInto(ours, 'image')
      const { config } = openImage(ours, 'image')
      for (const version of [1, 2] as const) {
        const asked = await cfsctl.run('--erofs-version', `${version}`, 'oci', 'inspect', 'image')
        expect(linkedImage(config!, version)?.hex, `version ${version}`).toBe(JSON.parse(asked).composefs_erofs)
      }
      expect(dumpfileText(await treeOf(ours)).toString('latin1')).toBe(await cfsctl.run('oci', 'dump', 'image'))
      // What cfsctl has is all that we need.
      const theirs = await Repository.open(cfsctl.path)
      await new Layout(changed).importInto(theirs, 'image')
      expect(theirs.stats).toMatchObject({ newObjects: 0, newBytes: 0 })
      await theirs.close()
      await ours.close()
      const judge = new Cfsctl(path)
      expect(await judge.run('fsck')).toContain('status: ok')
      expect(await judge.run('gc', '-n')).toContain('Objects: 0 removed')
    }
  })
})
