import { closeSync, openSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { native } from '../../../src/native/libc.ts'
import { lockDirectory } from '../../../src/repository/index.ts'
import { describeLock } from '../../support/lock.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

if (native() === undefined) console.warn('skipped: koffi does not load here')

describe.skipIf(native() === undefined)('the lock of a repository', () => {
  describeLock()

  test('a descriptor that is none is an error', async () => {
    const path = temporaryDirectory()
    const fd = openSync(path, 'r')
    closeSync(fd)
    await expect(lockDirectory(fd, path, 'shared')).rejects.toMatchObject({ code: 'ERR_IO', path })
  })
})
