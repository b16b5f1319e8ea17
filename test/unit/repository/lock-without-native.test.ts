import { closeSync, openSync } from 'node:fs'
import { afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { native } from '../../../src/native/libc.ts'
import { type LockEvent, lockDirectory, Repository } from '../../../src/repository/index.ts'
import { describeLock } from '../../support/lock.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

const { PATH } = process.env

beforeAll(() => {
  process.env['COMPOSEFS_NATIVE'] = '0'
  return () => delete process.env['COMPOSEFS_NATIVE']
})
afterEach(() => vi.unstubAllEnvs())

test('koffi is not in use', () => {
  expect(native()).toBeUndefined()
})

describe('the lock of a repository without koffi', () => {
  describeLock()
})

describe('where nothing can lock', () => {
  test('that is told once, and the repository opens all the same', async () => {
    vi.stubEnv('PATH', temporaryDirectory())
    const path = `${temporaryDirectory()}/repository`
    const events: LockEvent[] = []
    const repository = await Repository.init(path, { insecure: true, onLock: (event) => events.push(event) })
    expect(repository.locked).toBe(false)
    expect(events).toEqual([{ type: 'lock-none', path, reason: expect.stringContaining('flock') }])
    await repository.close()
  })

  test('nothing is locked exclusively', async () => {
    const path = temporaryDirectory()
    const fd = openSync(path, 'r')
    vi.stubEnv('PATH', temporaryDirectory())
    await expect(lockDirectory(fd, path, 'exclusive')).rejects.toMatchObject({ code: 'ERR_NATIVE_MISSING', path })
    vi.stubEnv('PATH', PATH)
    expect(await lockDirectory(fd, path, 'exclusive')).toBe(true)
    closeSync(fd)
  })
})
