/** One image has many names, and every command that takes an image takes all of them. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { Readable } from 'node:stream'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { describeError } from '../../../src/cli/failure.ts'
import { runProgram } from '../../../src/cli/program.ts'
import { importArchive, listImages, type PublishedImage } from '../../../src/oci/index.ts'
import { Repository } from '../../../src/repository/index.ts'
import { dockerArchive } from '../../support/image-archive.ts'
import { entry, tar } from '../../support/tar.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

const tag = 'quay.io/os/one:1'
let path = ''
let image: PublishedImage

beforeAll(async () => {
  path = join(mkdtempSync(join(tmpdir(), 'composefs-names-')), 'repo')
  const repository = await Repository.init(path, { algorithm: 'sha256', insecure: true })
  const layer = tar(entry({ name: 'usr/', type: '5' }), entry({ name: 'usr/a' }, 'x'.repeat(300)))
  const [imported] = await importArchive(repository, Readable.from([dockerArchive([layer])]), { name: tag })
  image = imported!
  await repository.setRef('images', 'my/one', image.imageId)
  await repository.close()
})

afterAll(() => rmSync(dirname(path), { recursive: true, force: true }))
afterEach(() => void vi.restoreAllMocks())

/** What a command writes to stdout. */
async function stdout(...args: string[]): Promise<string> {
  let text = ''
  vi.spyOn(process.stdout, 'write').mockImplementation((chunk) => {
    text += Buffer.from(chunk as Uint8Array).toString('latin1')
    return true
  })
  try {
    await runProgram('1', ['--repo', path, ...args])
  } catch (error) {
    return `${describeError(error).message} [${describeError(error).code}]`
  } finally {
    vi.restoreAllMocks()
  }
  return text
}

const start = (digest: string): string => digest.replace('sha256:', '').slice(0, 12)
const ways = (): string[] => [
  tag,
  'my/one',
  'refs/my/one',
  'refs/oci/quay.io%2Fos%2Fone:1',
  image.manifestDigest,
  `@${image.manifestDigest}`,
  `one@${image.manifestDigest}`,
  start(image.manifestDigest),
  `@${image.configDigest}`,
  start(image.configDigest),
  image.imageId.hex,
  `${image.imageId}`,
  start(image.imageId.hex),
]

test.each([
  ['dump'],
  ['ls'],
  ['objects'],
  ['missing-objects'],
  ['image-objects'],
  ['dump-files', '/usr'],
  ['oci dump'],
  ['oci compute-id'],
  ['oci inspect'],
])('%s', async (command, ...rest) => {
  const expected = await stdout(...command.split(' '), tag, ...rest)
  expect(expected).not.toMatch(/\[ERR_/)
  for (const way of ways()) expect(await stdout(...command.split(' '), way, ...rest), way).toBe(expected)
})

test('a dumpfile is a file like an image', async () => {
  const dump = await stdout('dump', tag)
  const file = join(temporaryDirectory(), 'one.dump')
  writeFileSync(file, dump, 'latin1')
  expect(await stdout('dump', file)).toBe(dump)
  expect(await stdout('objects', file)).toBe(await stdout('objects', tag))
  expect(await stdout('ls', temporaryDirectory())).toMatch(/this is a directory.*create-dumpfile.*\[ERR_ARGUMENT\]/)
})

describe('tags', () => {
  const tags = async (): Promise<string[]> => {
    const repository = await Repository.open(path)
    const names = [...listImages(repository)].map(({ name }) => name)
    await repository.close()
    return names
  }

  test('are given to whatever the image is called', async () => {
    for (const [i, way] of ways().entries()) {
      expect(await stdout('oci', 'tag', way, `new-${i}`), way).toBe(`Tagged ${image.manifestDigest} as new-${i}\n`)
      expect(await stdout('oci', 'untag', `new-${i}`)).toBe(`Removed tag new-${i}\n`)
    }
    expect(await tags()).toEqual([tag])
  })

  test('are taken away by other names where the image has one', async () => {
    await stdout('oci', 'tag', tag, 'second')
    expect(await stdout('oci', 'untag', start(image.manifestDigest))).toMatch(
      /this image has 2 tags: .* — name one of quay\.io\/os\/one:1, second \[ERR_ARGUMENT\]/,
    )
    await stdout('oci', 'untag', tag)
    expect(await stdout('oci', 'untag', start(image.configDigest))).toBe('Removed tag second\n')
    expect(await stdout('oci', 'untag', image.manifestDigest)).toMatch(/this image has no tag.*\[ERR_ARGUMENT\]/)
    await stdout('oci', 'tag', image.manifestDigest, tag)
    expect(await tags()).toEqual([tag])
  })
})

test('layers are called by their beginnings, and by the image that they alone make', async () => {
  const [diffId] = image.diffIds
  const facts = await stdout('oci', 'layer', '--json', diffId!)
  expect(JSON.parse(facts)).toMatchObject({ diffId })
  for (const way of [start(diffId!), `@${diffId}`, `oci-layer-${diffId}`, tag, start(image.manifestDigest)]) {
    expect(await stdout('oci', 'layer', '--json', way), way).toBe(facts)
  }
  expect(await stdout('oci', 'layer', 'none')).toMatch(/not a digest: "none".*\[ERR_DIGEST_SYNTAX\]/)
  expect(await stdout('oci', 'layer', `sha256:${'0'.repeat(64)}`)).toMatch(/no such layer.*\[ERR_NOT_FOUND\]/)
})

test('what is something else is told what it is', async () => {
  const [diffId] = image.diffIds
  expect(await stdout('dump', diffId!)).toContain(`it is a layer: see composefs oci layer ${diffId}`)
  expect(await stdout('oci', 'inspect', `oci-config-${image.configDigest}`)).toMatch(
    /it is a stream: see composefs cat oci-/,
  )
  expect(await stdout('cat', 'refs/none')).toMatch(
    /no such stream in the repository, and no such image.*\[ERR_NOT_FOUND\]/,
  )
  expect(await stdout('image-objects', 'refs/none')).toMatch(/\[ERR_NOT_FOUND\]/)
  expect(await stdout('oci', 'dump', 'refs/none')).toMatch(/\[ERR_OCI_NOT_FOUND\]/)
  expect(await stdout('oci', 'dump', '')).toMatch(/the name of the image is empty.*\[ERR_OCI_NAME\]/)
})

test('what is not there is told what is close, by every command', async () => {
  for (const command of ['dump', 'objects', 'image-objects', 'cat', 'oci dump', 'oci inspect', 'oci untag']) {
    expect(await stdout(...command.split(' '), 'oen'), command).toMatch(
      /did you mean quay\.io\/os\/one:1 or my\/one\? \[/,
    )
    expect(await stdout(...command.split(' '), 'my/onw'), command).toMatch(/did you mean my\/one\b/)
  }
})

test('names that others chose cannot control the terminal', async () => {
  const name = 'a\x1b[31m\x9b\u202e\nb'
  const shown = 'a\\x1b[31m\\xc2\\x9b\\xe2\\x80\\xae\\x0ab'
  // The lines of stdout are latin1 here.
  const text = (latin1: string): string => Buffer.from(latin1, 'latin1').toString()
  expect(text(await stdout('oci', 'tag', tag, name))).toBe(`Tagged ${image.manifestDigest} as ${shown}\n`)
  expect(text(await stdout('oci', 'images'))).toContain(`│ ${shown} ┆`)
  const listed = text(await stdout('oci', 'images', '--json'))
  expect(listed).not.toMatch(/[\x1b\x9b\u202e]/)
  expect(JSON.parse(listed).images.map((one: { name: string }) => one.name)).toContain(name)
  expect(await stdout('dump', `${name}x`)).toContain(`image in the repository: ${shown}x — did you mean ${shown}?`)
  expect(text(await stdout('oci', 'untag', name))).toBe(`Removed tag ${shown}\n`)
})

test('a new name that is there already was meant to be the image', async () => {
  expect(await stdout('oci', 'tag', 'new', tag)).toMatch(
    /did you mean composefs oci tag quay.io.os.one:1 new\? \[ERR_ARGUMENT\]/,
  )
})
