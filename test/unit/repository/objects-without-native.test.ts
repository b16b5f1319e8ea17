import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { native } from '../../../src/native/libc.ts'
import { Repository } from '../../../src/repository/index.ts'
import { tree } from '../../support/files.ts'
import { describeObjectStore } from '../../support/object-store.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

beforeAll(() => {
  vi.stubEnv('COMPOSEFS_NATIVE', '0')
})
afterAll(() => {
  vi.unstubAllEnvs()
})

describe('temporary files with a name', () => {
  describeObjectStore()

  test('koffi is not in use', () => {
    expect(native()).toBeUndefined()
  })
})

describe('a repository without koffi', () => {
  test('works where fs-verity is not required', async () => {
    const path = `${temporaryDirectory()}/repository`
    const repository = await Repository.init(path, { algorithm: 'sha256', insecure: 'auto' })
    expect(repository).toMatchObject({ verityRequired: false })
    const id = repository.objects.put(Buffer.from('hello world'))
    await repository.transaction((transaction) => transaction.linkStream('some', id).setRef('streams', 'name', 'some'))
    expect(repository.resolveStream('refs/name').id).toEqual(id)
    await repository.close()
    expect(Object.keys(tree(path)).filter((name) => /\.(tmp|meta|symlink)-/.test(name))).toEqual([])
  })

  test('says what is missing where fs-verity is asked for', async () => {
    const path = `${temporaryDirectory()}/repository`
    await expect(Repository.init(path)).rejects.toMatchObject({ code: 'ERR_NATIVE_MISSING' })
    await expect(Repository.open(path)).rejects.toMatchObject({ code: 'ERR_REPOSITORY_MISSING' })
  })
})
