import { closeSync, openSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { native } from '../../../src/native/libc.ts'
import { lockDirectory, Repository } from '../../../src/repository/index.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

if (native() === undefined) console.warn('skipped: koffi does not load here')

describe.skipIf(native() === undefined)('the lock of a repository', () => {
  test('is shared by all who have it open, and keeps the exclusive one waiting', async () => {
    const path = `${temporaryDirectory()}/repository`
    const first = await Repository.init(path, { insecure: true })
    const second = await Repository.open(path)
    expect([first.locked, second.locked]).toEqual([true, true])
    const fd = openSync(path, 'r')
    let collecting = false
    const collector = lockDirectory(fd, path, 'exclusive').then(() => {
      collecting = true
    })
    await first.close()
    await first.close()
    await sleep(50)
    expect(collecting).toBe(false)
    await second[Symbol.asyncDispose]()
    await collector
    expect(collecting).toBe(true)
    closeSync(fd)
  })

  test('opening waits for a garbage collection, until the signal fires', async () => {
    const path = `${temporaryDirectory()}/repository`
    await (await Repository.init(path, { insecure: true })).close()
    const fd = openSync(path, 'r')
    expect(await lockDirectory(fd, path, 'exclusive')).toBe(true)
    const controller = new AbortController()
    const opening = Repository.open(path, { signal: controller.signal })
    controller.abort(new Error('enough'))
    await expect(opening).rejects.toMatchObject({ name: 'AbortError', code: 'ABORT_ERR' })
    await expect(Repository.open(path, { signal: controller.signal })).rejects.toMatchObject({ code: 'ABORT_ERR' })
    const waiting = Repository.open(path)
    await sleep(20)
    closeSync(fd)
    const repository = await waiting
    expect(repository.locked).toBe(true)
    await repository.close()
  })

  test('is changed in place: exclusive only once the others are gone, and back', async () => {
    const path = temporaryDirectory()
    const [a, b] = [openSync(path, 'r'), openSync(path, 'r')]
    await lockDirectory(a, path, 'shared')
    await lockDirectory(b, path, 'shared')
    const exclusive = lockDirectory(a, path, 'exclusive')
    closeSync(b)
    expect(await exclusive).toBe(true)
    expect(await lockDirectory(a, path, 'shared')).toBe(true)
    closeSync(a)
    await expect(lockDirectory(a, path, 'shared')).rejects.toMatchObject({ code: 'ERR_IO', path })
  })
})
