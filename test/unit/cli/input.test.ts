import { once } from 'node:events'
import { readdirSync, readlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { makeProgram } from '../../../src/cli/program.ts'
import { openInputFile } from '../../../src/sources/input-file.ts'
import { digestOf, imageOf, ociArchive } from '../../support/image-archive.ts'
import { entry, tar } from '../../support/tar.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

/** Whether this process has a file open. */
function isOpen(path: string): boolean {
  return readdirSync('/proc/self/fd').some((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === path
    } catch {
      return false
    }
  })
}

test.each(['an archive', 'a layer'])('%s is closed where the repository cannot be made', async (what) => {
  const path = join(temporaryDirectory(), 'image.tar')
  const layer = tar(entry({ name: 'usr/', type: '5' }))
  writeFileSync(path, what === 'a layer' ? layer : ociArchive(imageOf([layer])))
  const program = await makeProgram('1', ['import'])
  const options = what === 'a layer' ? ['--layer', digestOf(layer)] : []
  const args = ['--repo', join(path, 'below-a-file'), 'import', '--quiet', ...options, path]
  await expect(program.parseAsync(args, { from: 'user' })).rejects.toMatchObject({ code: 'ERR_REPOSITORY_EXISTS' })
  await expect.poll(() => isOpen(path), { interval: 5, timeout: 15_000 }).toBe(false)
})

test('a file is closed once it was read, and when it is given up', async () => {
  const path = join(temporaryDirectory(), 'file')
  writeFileSync(path, 'contents')
  const read = openInputFile(path)
  expect(isOpen(path)).toBe(true)
  expect(await read.toArray()).toEqual([Buffer.from('contents')])
  expect(isOpen(path)).toBe(false)
  const given = openInputFile(path)
  const closed = once(given, 'close')
  given.destroy()
  await closed
  expect(isOpen(path)).toBe(false)
})
