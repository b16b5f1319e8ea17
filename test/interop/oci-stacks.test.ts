/**
 * Random stacks of layers, imported by us and by cfsctl: the same images, trees and layers.
 *
 * COMPOSEFS_SEED chooses other stacks than the usual ones.
 */
import { createHash } from 'node:crypto'
import { cpSync, mkdirSync, writeFileSync } from 'node:fs'
import { readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { writeImage } from '../../src/erofs/index.ts'
import { type Algorithm, fsverityDigest } from '../../src/fsverity/index.ts'
import {
  catStream,
  imageTree,
  importArchive,
  layerStream,
  linkedImage,
  openImage,
  type TreeOptions,
} from '../../src/oci/index.ts'
import { Repository } from '../../src/repository/index.ts'
import { DumpfileWriterMachine, dumpfileText, readSplitstreamEntries } from '../../src/streams/index.ts'
import { Cfsctl, initOurs, run, wantBothFormats } from '../support/cfsctl.ts'
import { digestOf, imageOf, ociArchive } from '../support/image-archive.ts'
import { memoryDirectory } from '../support/memory-directory.ts'
import { type RandomImage, randomImage, writeLayout } from '../support/random-images.ts'
import { requireTools } from '../support/tools.ts'

const { COMPOSEFS_SEED } = process.env
const firstSeed = Number(COMPOSEFS_SEED ?? 0)
const count = 400
const batchSize = 20
const algorithms: readonly Algorithm[] = ['sha256', 'sha512']

// One shell asks for many answers: a process started from here costs more than cfsctl itself.
const script = `
repo=$1; shift
ask() { file=$1; shift; cfsctl --repo "$repo" "$@" > "$out/$file" 2> "$out/error" || mv "$out/error" "$out/$file.refused"; }
for name; do
  out=$repo/answers/$name; mkdir -p "$out"
  ask pull oci pull "oci:$name" "$name"
  ask inspect-1 oci inspect "$name"
  ask inspect-2 --erofs-version 2 oci inspect "$name"
  ask dump oci dump "$name"
  ask user-dump oci dump "$name" --xattrs keep-user-xattrs
  ask user-0 --erofs-version 0 oci compute-id "$name" --xattrs keep-user-xattrs
  ask user-1 --erofs-version 1 oci compute-id "$name" --xattrs keep-user-xattrs
  ask user-2 --erofs-version 2 oci compute-id "$name" --xattrs keep-user-xattrs
  while read -r diff; do ask "$diff" oci layer "sha256:$diff" --dumpfile; done < "$name/layers"
done`

/** What cfsctl and we say about one image, by question. */
type Answers = Record<string, string>

async function theirAnswers(repository: string, name: string): Promise<Answers> {
  const directory = join(repository, 'answers', name)
  const answers: Answers = {}
  const files = (await readdir(directory)).filter((file) => file !== 'pull' && file !== 'error')
  const refused = files.filter((file) => file.endsWith('.refused'))
  for (const file of files) answers[file] = (await readFile(join(directory, file), 'latin1')).trimEnd()
  if (refused.length > 0) {
    throw new Error(`cfsctl refuses:\n${refused.map((file) => `${file}: ${answers[file]}`).join('\n')}`)
  }
  for (const version of [1, 2]) {
    answers[`image-${version}`] = JSON.parse(answers[`inspect-${version}`]!).composefs_erofs
    delete answers[`inspect-${version}`]
  }
  return answers
}

const keepUser: TreeOptions = { xattrs: 'keep-user-xattrs' }

async function ourAnswers(repository: Repository, name: string, image: RandomImage): Promise<Answers> {
  await importArchive(repository, Readable.from([ociArchive(image)]), { name })
  const config = openImage(repository, name).config!
  const userTree = await imageTree(repository, config, keepUser)
  const idOf = (bytes: Buffer) => fsverityDigest(repository.algorithm, bytes).hex
  const answers: Answers = {
    'image-1': linkedImage(config, 1)!.hex,
    'image-2': linkedImage(config, 2)!.hex,
    dump: await dump(repository, name),
    'user-dump': await dump(repository, name, keepUser),
    // Version 0 of cfsctl is never raised to 1, other than that of the C tool.
    'user-0': idOf(writeImage(userTree, { version: 0, raise: false })),
    'user-1': idOf(writeImage(userTree, { version: 1 })),
    'user-2': idOf(writeImage(userTree, { version: 2 })),
  }
  for (const tar of image.tars) {
    const digest = digestOf(tar)
    const { id } = repository.resolveStream(layerStream(digest))
    const hash = createHash('sha256')
    for await (const chunk of catStream(repository, id)) hash.update(chunk as Buffer)
    expect(`sha256:${hash.digest('hex')}`).toBe(digest)
    answers[digest.slice('sha256:'.length)] = layerDump(repository, repository.readObject(id))
  }
  return answers
}

async function dump(repository: Repository, name: string, options?: TreeOptions): Promise<string> {
  const tree = await imageTree(repository, openImage(repository, name).config!, options)
  return dumpfileText(tree).toString('latin1').trimEnd()
}

function layerDump({ algorithm }: Repository, stream: Buffer): string {
  const lines: string[] = []
  const machine = new DumpfileWriterMachine()
  const emit = (chunk: Buffer) => lines.push(chunk.toString('latin1'))
  for (const entry of readSplitstreamEntries(stream, { algorithm })) machine.push(entry, emit)
  machine.finish(emit)
  return lines.join('').trimEnd()
}

/** Fails with the first line that differs, since all of both dumps would be too much. */
function expectSame(ours: Answers, theirs: Answers): void {
  expect(Object.keys(ours).sort()).toEqual(Object.keys(theirs).sort())
  for (const [question, answer] of Object.entries(theirs)) {
    const [mine, yours] = [ours[question]!.split('\n'), answer.split('\n')]
    const at = yours.findIndex((line, i) => line !== mine[i])
    if (at !== -1) expect.fail(`${question}, line ${at + 1}: we say\n${mine[at]}\ncfsctl says\n${yours[at]}`)
    expect(mine.length, question).toBe(yours.length)
  }
}

/** Keeps the layout for whoever looks into it. */
function keep(name: string, layout: string): string {
  const path = join(tmpdir(), `composefs-stack-${name}`)
  cpSync(layout, path, { recursive: true })
  return `${name}, kept as ${path}`
}

/** One repository of cfsctl and one of ours, both with images of version 1 and 2. */
class Pair {
  readonly differences: string[] = []
  readonly theirs: string
  readonly ours: Repository

  private constructor(theirs: string, ours: Repository) {
    this.theirs = theirs
    this.ours = ours
  }

  static async make(directory: string, algorithm: Algorithm): Promise<Pair> {
    const [theirs, ours] = [join(directory, `${algorithm}-theirs`), join(directory, `${algorithm}-ours`)]
    await Cfsctl.init(theirs, algorithm, 1)
    await (await initOurs(ours, algorithm, 1)).close()
    wantBothFormats(theirs)
    wantBothFormats(ours)
    return new Pair(theirs, await Repository.open(ours))
  }

  async compare(directory: string, images: ReadonlyMap<string, RandomImage>): Promise<void> {
    await run('sh', ['-c', script, 'sh', this.theirs, ...images.keys()], directory)
    const reader = await Repository.open(this.theirs)
    for (const [name, image] of images) {
      try {
        const theirs = await theirAnswers(this.theirs, name)
        const ours = await ourAnswers(this.ours, name, image)
        expectSame(ours, theirs)
        const { dump: read = '' } = theirs
        expectSame({ dump: await dump(reader, name) }, { dump: read })
      } catch (error) {
        const message = error instanceof Error ? error.message : `${error}`
        this.differences.push(`${this.ours.algorithm}, ${keep(name, join(directory, name))}: ${message}`)
      }
    }
    await reader.close()
  }

  /** The repository that all these imports have left behind, as cfsctl judges it. */
  async close(images: number): Promise<void> {
    await this.ours.close()
    const judge = new Cfsctl(this.ours.path)
    expect(await judge.run('fsck')).toContain('status: ok')
    expect(await judge.run('oci', 'fsck')).toContain(`oci images: ${images}/${images} ok`)
    expect(await judge.run('gc', '-n')).toContain('Objects: 0 removed')
  }
}

/** Compares images, some at a time, with both hashes. Returns how many images and layers there were. */
async function compareAll(directory: string, batches: Iterable<ReadonlyMap<string, RandomImage>>) {
  const pairs = await Promise.all(algorithms.map((algorithm) => Pair.make(directory, algorithm)))
  const seen = { images: 0, layers: 0 }
  for (const images of batches) {
    for (const [name, image] of images) {
      const layout = join(directory, name)
      mkdirSync(layout)
      writeLayout(layout, image)
      const list = image.tars.map((tar) => `${digestOf(tar).slice('sha256:'.length)}\n`)
      writeFileSync(join(layout, 'layers'), list.join(''))
      seen.images++
      seen.layers += image.tars.length
    }
    await Promise.all(pairs.map((pair) => pair.compare(directory, images)))
    const differences = pairs.flatMap((pair) => pair.differences)
    if (differences.length > 0) expect.fail(differences.join('\n\n'))
    for (const name of images.keys()) await rm(join(directory, name), { recursive: true })
  }
  await Promise.all(pairs.map((pair) => pair.close(seen.images)))
  return seen
}

function* randomBatches(): Generator<Map<string, RandomImage>> {
  for (let seed = firstSeed; seed < firstSeed + count; ) {
    const images = new Map<string, RandomImage>()
    for (; images.size < batchSize; seed++) images.set(`seed-${seed}`, randomImage(seed))
    yield images
  }
}

// Names as long as each format takes, and times as fine.
const treeScript = `
mkdir -p tree/usr/long; cd tree/usr
for size in 0 1 64 65 512 4096 70000; do head -c $size /dev/zero | tr '\\0' a > "size-$size"; done
ln size-65 hardlink; ln size-0 hardlink-empty; ln -s size-64 symlink; mkfifo fifo
touch -d '2001-02-03 04:05:06.123456789Z' size-512; touch -d '2040-01-01Z' size-4096; chmod 4755 size-64
printf x > "$(printf 'latin1-\\351')"; printf y > "$(printf 'new\\nline')"; printf z > 'back\\slash'
long=$(printf 'd%.0s' $(seq 150)); mkdir -p "long/$long/$long"; echo deep > "long/$long/$long/file"
ln -s "$long/$long/file" long/symlink; ln "long/$long/$long/file" long/hardlink; ln long/symlink long/symlink-hardlink
mkdir middle; echo m > "middle/$(printf 'm%.0s' $(seq 99))"`

describe.skipIf(requireTools('cfsctl').skip)('cfsctl', () => {
  test('makes the same images of random layers', async () => {
    const { images, layers } = await compareAll(memoryDirectory(), randomBatches())
    expect(images).toBe(count)
    console.info(
      `${images} random stacks of ${layers} layers: image ids (V0, V1, V2) and dumps as cfsctl has, both hashes`,
    )
  })

  test.skipIf(requireTools('tar').skip)('makes the same images of what GNU tar writes', async () => {
    const directory = memoryDirectory()
    await run('sh', ['-c', treeScript], directory)
    const images = new Map<string, RandomImage>()
    const excluded: Record<string, string[]> = {
      v7: ['--exclude=usr/long', '--exclude=usr/middle', '--exclude=usr/fifo'],
      ustar: ['--exclude=usr/long'],
    }
    for (const format of ['v7', 'oldgnu', 'gnu', 'ustar', 'posix']) {
      const short = excluded[format] ?? []
      const options = [`--format=${format}`, '--sort=name', '--numeric-owner', ...short]
      const tar = await run('tar', [...options, '-C', join(directory, 'tree'), '-cf', '-', 'usr'])
      images.set(format, { ...imageOf([tar]), tars: [tar] })
    }
    expect((await compareAll(directory, [images])).images).toBe(5)
  })
})
