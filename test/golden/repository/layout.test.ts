import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { type Algorithm, ObjectId } from '../../../src/fsverity/index.ts'
import { decodeTag, encodeTag, type InitOptions, parseMetadata, Repository } from '../../../src/repository/index.ts'
import { tree } from '../../support/files.ts'
import { shared } from '../../support/shared.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

type Tree = Record<string, number | string | null>

interface Step {
  args: string[]
  exit: number
  tree?: Tree
  added?: Tree
  removed?: string[]
}

interface Sequence {
  'meta.json': string
  modes: Record<string, string>
  steps: Step[]
}

/** The vectors name a few objects whose id varies: any id serves here. */
const placeholder = 'f'.repeat(64)
const plain = (text: string) => text.replaceAll(/<manifest-stream-\d+>/g, `ff/${placeholder.slice(2)}`)

/** What `cfsctl init` was told. */
function initOptions(args: string[]): InitOptions {
  const value = (flag: string) => args[args.indexOf(flag) + 1]
  return {
    insecure: args.includes('--insecure'),
    algorithm: value('--algorithm')!.slice('fsverity-'.length, -'-12'.length) as Algorithm,
    erofsVersion: Number(value('--erofs-version')) as 0 | 1 | 2,
  }
}

/** Makes the links of a tree by our own means; the objects they lead to only have to be there. */
async function publish(repository: Repository, added: Tree): Promise<void> {
  for (const [name, value] of Object.entries(added)) {
    if (!name.startsWith('objects/') || name === 'objects/') continue
    const path = join(repository.path, plain(name))
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, Buffer.alloc(typeof value === 'number' ? value : 1))
  }
  await repository.transaction((transaction) => {
    for (const [name, value] of Object.entries(added)) {
      if (typeof value !== 'string' || !value.startsWith('-> ')) continue
      const target = plain(value).split('/')
      const last = target.at(-1)!
      const [kind, first, ...rest] = name.split('/')
      if (first === 'refs') {
        if (kind === 'streams') transaction.setRef('streams', rest.join('/'), last)
        else transaction.setRef('images', rest.join('/'), ObjectId.fromHex(last))
      } else if (kind === 'streams') {
        transaction.linkStream(first!, ObjectId.fromHex(target.at(-2)! + last))
      } else {
        transaction.linkImage(ObjectId.fromHex(target.at(-2)! + last))
      }
    }
  })
}

const linksOf = (found: Tree): Tree =>
  Object.fromEntries(
    Object.entries(found).flatMap(([name, value]) => (typeof value === 'string' ? [[name, value]] : [])),
  )

const isObject = ([name]: [string, unknown]) => name.startsWith('objects/')

describe.skipIf(!shared.available)('sequences of cfsctl commands', () => {
  const sequences: Record<string, Sequence> = shared.available ? shared.json('vectors/repository-more.json') : {}

  test.each(Object.keys(sequences))('%s', async (name) => {
    const { steps, modes, 'meta.json': metadata } = sequences[name]!
    const path = join(temporaryDirectory(), name)
    const expected: Tree = {}
    for (const step of steps) {
      if (step.args[0] === 'init') {
        const attempt = Repository.init(path, initOptions(step.args))
        if (step.exit === 0) {
          const repository = await attempt
          expect(repository.isNew).toBe(step.tree !== undefined)
          await repository.close()
        } else {
          await expect(attempt).rejects.toMatchObject({ code: 'ERR_REPOSITORY_EXISTS' })
        }
      }
      Object.assign(expected, step.tree, step.added)
      const repository = await Repository.open(path)
      if (step.added !== undefined) await publish(repository, step.added)
      for (const removed of step.removed ?? []) {
        delete expected[removed]
        const ref = /^(streams|images)\/refs\/(.+)$/.exec(removed)
        if (ref === null) rmSync(join(path, plain(removed)))
        else repository.removeRef(ref[1] as 'streams' | 'images', ref[2]!)
      }
      await repository.close()
      const found = Object.entries(tree(path)).filter((entry) => !isObject(entry) || entry[0] === 'objects/')
      const wanted = Object.entries(expected).map(([key, value]) => [
        key,
        typeof value === 'string' ? plain(value) : value,
      ])
      expect(Object.fromEntries(found)).toEqual(
        Object.fromEntries(
          (wanted as [string, unknown][]).filter((entry) => !isObject(entry) || entry[0] === 'objects/'),
        ),
      )
    }
    expect(readFileSync(`${path}/meta.json`, 'utf8')).toBe(metadata)
    for (const [relative, mode] of Object.entries(modes)) {
      // Objects were put there by the test itself.
      if (relative === 'objects') continue
      expect(`${relative} ${(statSync(join(path, relative)).mode & 0o7777).toString(8)}`).toBe(`${relative} ${mode}`)
    }
  })

  test('there are sequences', () => {
    expect(Object.keys(sequences).length).toBeGreaterThan(5)
  })
})

describe.skipIf(!shared.available)('repositories after a pull', () => {
  const repositories: Record<string, { 'meta.json': string; tree: Tree }> = shared.available
    ? shared.json('vectors/repository.json')
    : {}

  test.each(Object.keys(repositories))('%s', async (name) => {
    const { tree: expected, 'meta.json': text } = repositories[name]!
    const { algorithm, erofsFormats } = parseMetadata(text)
    const path = join(temporaryDirectory(), name)
    const repository = await Repository.init(path, { algorithm, erofsVersion: erofsFormats!.default, insecure: true })
    expect(readFileSync(`${path}/meta.json`, 'utf8')).toBe(text)
    await publish(repository, expected)
    expect(linksOf(tree(path))).toEqual(linksOf(expected))
    expect([...repository.objects.ids()].map((id) => `objects/${id.path}`)).toEqual(
      Object.keys(expected)
        .filter((entry) => entry.startsWith('objects/'))
        .sort(),
    )
    const tags = repository.listRefs('streams', 'oci').map((ref) => decodeTag(ref.name))
    expect(tags).toEqual(['img/tag'])
    expect(repository.resolveStream(`refs/oci/${encodeTag('img/tag')}`).contentId).toMatch(/^oci-manifest-sha256:/)
    await repository.close()
  })
})
