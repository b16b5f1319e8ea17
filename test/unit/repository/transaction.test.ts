import { existsSync, readlinkSync, rmSync } from 'node:fs'
import { relative } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import type { ObjectId } from '../../../src/fsverity/index.ts'
import { native } from '../../../src/native/libc.ts'
import { Repository } from '../../../src/repository/index.ts'
import { placeLink } from '../../../src/repository/links.ts'
import * as sync from '../../../src/repository/sync.ts'
import { published, temporaryRepository } from '../../support/temporary-repository.ts'

vi.mock('../../../src/repository/sync.ts', { spy: true })
afterEach(() => {
  vi.resetAllMocks()
})

const put = (repository: Repository, text: string): ObjectId => repository.objects.put(Buffer.from(text))
const full = Object.assign(new Error('full'), { code: 'ENOSPC' })

/** What is brought to disk while something is done, in order, with what is published at that time. */
async function synced(repository: Repository, work: () => unknown) {
  const calls: { what: string; links: string[] }[] = []
  const note = (what: string) => calls.push({ what, links: Object.keys(published(repository)) })
  vi.mocked(sync.syncFileSystem).mockImplementation(async () => void note('all'))
  vi.mocked(sync.syncDirectory).mockImplementation(async (path) => void note(relative(repository.path, path)))
  vi.mocked(sync.syncDirectoryNow).mockImplementation((path) => void note(relative(repository.path, path)))
  await work()
  return calls
}

describe('what is brought to disk', () => {
  test('a new repository, in directories that were made for it', async () => {
    const { path } = await temporaryRepository()
    const repository = await Repository.init(`${path}/a/b`, { insecure: true })
    await repository.close()
    expect(vi.mocked(sync.syncMade)).toHaveBeenLastCalledWith(`${path}/a/b`, `${path}/a`)
    expect(vi.mocked(sync.syncDirectoryNow)).toHaveBeenLastCalledWith(`${path}/a/b`)
  })

  test('the objects before the links, and the links and refs before success', async () => {
    const repository = await temporaryRepository()
    const id = put(repository, 'image')
    const calls = await synced(repository, () =>
      repository.transaction((transaction) =>
        transaction
          .linkStream('content', id)
          .linkImage(id)
          .setRef('streams', 'a/b', 'content')
          .setRef('images', 'c', id),
      ),
    )
    expect(calls[0]).toEqual({ what: 'all', links: [] })
    const after = calls.slice(1)
    expect(after.map(({ what }) => what).sort()).toEqual(
      ['', 'images', 'images/refs', 'streams', 'streams/refs', 'streams/refs/a'].sort(),
    )
    for (const { links } of after) expect(links).toHaveLength(4)
  })

  test('also where images alone are linked', async () => {
    const repository = await temporaryRepository()
    const calls = await synced(repository, () => repository.linkImage(put(repository, 'image')))
    expect(calls.map(({ what }) => what)).toEqual(['all', 'images', ''])
  })

  test('a name for what is linked already, and that a name is gone', async () => {
    const repository = await temporaryRepository()
    const id = put(repository, 'image')
    await repository.linkImage(id)
    expect((await synced(repository, () => repository.setRef('images', 'c', id))).map(({ what }) => what)).toEqual([
      'images/refs',
      'images',
      '',
    ])
    expect(await synced(repository, () => repository.removeRef('images', 'c'))).toEqual([
      { what: 'images/refs', links: [`images/${id.hex}`] },
    ])
  })

  test.each(['streams', 'images'] as const)('nothing of %s is published where the disk is full', async (kind) => {
    const repository = await temporaryRepository()
    const id = put(repository, 'contents')
    vi.mocked(sync.syncFileSystem).mockRejectedValueOnce(full)
    const linking = kind === 'images' ? repository.linkImage(id) : repository.linkStream('content', id)
    await expect(linking).rejects.toThrow('full')
    expect(published(repository)).toEqual({})
  })

  test('links that could not be brought to disk are no success', async () => {
    const repository = await temporaryRepository()
    vi.mocked(sync.syncDirectory).mockRejectedValueOnce(full)
    await expect(repository.linkImage(put(repository, 'contents'))).rejects.toThrow('full')
  })
})

test('refs come after the links that they lead to', async () => {
  const repository = await temporaryRepository()
  const id = put(repository, 'contents')
  await repository.transaction((transaction) => transaction.linkStream('one', id).setRef('streams', 'a/b', 'one'))
  // A directory has this name: the ref cannot be made.
  const failing = repository.transaction((transaction) =>
    transaction.linkStream('two', id).linkImage(id).setRef('streams', 'a', 'two'),
  )
  await expect(failing).rejects.toMatchObject({ code: 'ERR_OCI_NAME' })
  expect(repository.hasStream('two')).toEqual(id)
  expect(repository.listImageIds()).toEqual([id])
})

describe('a link that leads elsewhere', () => {
  test('is re-pointed, and what it led to stays known by its id', async () => {
    const repository = await temporaryRepository()
    const [former, id] = [put(repository, 'former'), put(repository, 'new')]
    await repository.linkStream('content', former)
    await repository.linkStream('content', id)
    expect(repository.hasStream('content')).toEqual(id)
    expect(repository.hasStream(`by-id-${former.hex}`)).toEqual(former)
    // What is gone needs no link.
    rmSync(repository.objects.pathOf(id))
    await repository.linkStream('content', former)
    expect(repository.listStreams()).toEqual([`by-id-${former.hex}`, 'content'])
  })

  test('by the hand of another program, while we publish: it is decided anew', async () => {
    const repository = await temporaryRepository()
    const theirs = put(repository, 'theirs')
    vi.mocked(sync.syncFileSystem).mockImplementationOnce(async () => {
      placeLink(repository.path, 'streams/content', `objects/${theirs.path}`)
    })
    const found: (string | undefined)[] = []
    await repository.transaction((transaction) =>
      transaction.defer(() => {
        found.push(repository.hasStream('content')?.hex)
        transaction.linkStream('content', put(repository, `ours ${found.length}`))
      }),
    )
    expect(found).toEqual([undefined, theirs.hex])
    expect(repository.readObject(repository.hasStream('content')!).toString()).toBe('ours 2')
    expect(repository.hasStream(`by-id-${theirs.hex}`)).toEqual(theirs)
  })

  test.skipIf(native() === undefined)('in the very moment before it is replaced: that stays known too', async () => {
    const repository = await temporaryRepository()
    const [former, theirs, ours] = ['former', 'theirs', 'ours'].map((text) => put(repository, text))
    await repository.linkStream('content', former!)
    const { exchange } = native()!
    const exchanging = vi.spyOn(native()!, 'exchange').mockImplementationOnce((one, other) => {
      rmSync(other)
      placeLink(repository.path, 'streams/content', `objects/${theirs!.path}`)
      return exchange(one, other)
    })
    await repository.linkStream('content', ours!)
    exchanging.mockRestore()
    expect(repository.hasStream('content')).toEqual(ours)
    for (const id of [former, theirs]) expect(repository.hasStream(`by-id-${id!.hex}`)).toEqual(id)
  })
})

describe('several who publish', () => {
  test('come one after the other: none decides by links that another is about to change', async () => {
    const repository = await temporaryRepository()
    const other = await Repository.open(repository.path)
    onTestFinished(() => other.close())
    const append = (repository: Repository, text: string) =>
      repository.transaction((transaction) =>
        transaction.defer(() => {
          const found = repository.hasStream('list')
          const before = found === undefined ? '' : repository.readObject(found).toString()
          transaction.linkStream('list', put(repository, before + text))
        }),
      )
    await Promise.all(['a', 'b', 'c', 'd', 'e', 'f'].map((text, i) => append(i % 2 === 0 ? repository : other, text)))
    expect([...repository.readObject(repository.hasStream('list')!).toString()].sort().join('')).toBe('abcdef')
  })

  test('whoever waits can be interrupted, and has published nothing', async () => {
    const repository = await temporaryRepository()
    const id = put(repository, 'contents')
    const abort = new AbortController()
    let waiting: Promise<void> | undefined
    vi.mocked(sync.syncFileSystem).mockImplementationOnce(async () => {
      waiting = repository.transaction((transaction) => void transaction.linkImage(id), { signal: abort.signal })
      await sleep(0)
      abort.abort()
      await expect(waiting).rejects.toMatchObject({ name: 'AbortError' })
    })
    await repository.linkStream('content', id)
    expect(waiting).toBeDefined()
    expect(repository.listImageIds()).toEqual([])
    expect(existsSync(`${repository.path}/images`)).toBe(false)
    expect(readlinkSync(`${repository.path}/streams/content`)).toContain(id.path)
  })
})
