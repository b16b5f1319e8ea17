import { closeSync, openSync } from 'node:fs'
import { constants } from 'node:os'
import { describe, expect, test, vi } from 'vitest'
import { native } from '../../../src/native/libc.ts'
import { lockDirectory, Repository } from '../../../src/repository/index.ts'
import { describeLock } from '../../support/lock.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

if (native() === undefined) console.warn('skipped: koffi does not load here')

describe.skipIf(native() === undefined)('the lock of a repository', () => {
  describeLock()

  test('on NFS, which has no exclusive ones here, images are published all the same and nothing is collected', async () => {
    const path = `${temporaryDirectory()}/repository`
    const { EBADF } = constants.errno
    const flock = vi.spyOn(native()!, 'flock').mockImplementation((_fd, mode) => (mode & 2 ? EBADF : 0))
    const repository = await Repository.init(path, { insecure: true })
    expect(repository.locked).toBe(true)
    const id = repository.objects.put(Buffer.from('an image'))
    await repository.linkImage(id)
    expect(repository.listImageIds()).toEqual([id])
    await repository.close()
    const fd = openSync(path, 'r')
    await expect(lockDirectory(fd, path, 'exclusive')).rejects.toMatchObject({ code: 'ERR_NATIVE_MISSING' })
    closeSync(fd)
    flock.mockRestore()
  })

  test('a descriptor that is none is an error', async () => {
    const path = temporaryDirectory()
    const fd = openSync(path, 'r')
    closeSync(fd)
    await expect(lockDirectory(fd, path, 'shared')).rejects.toMatchObject({ code: 'ERR_IO', path })
  })
})
