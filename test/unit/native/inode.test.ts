import { closeSync, constants, mkdirSync, readlinkSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { type ByteString, fromLatin1 } from '../../../src/bytes.ts'
import { native } from '../../../src/native/libc.ts'
import { withDescriptor } from '../../support/disk.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

const O_PATH = 0x200000

afterEach(() => {
  vi.unstubAllEnvs()
  vi.resetModules()
})

async function load(koffi: boolean) {
  if (koffi) vi.unstubAllEnvs()
  else vi.stubEnv('COMPOSEFS_NATIVE', '0')
  vi.resetModules()
  return import('../../../src/native/inode.ts')
}

describe.skipIf(native() === undefined)('koffi and Node', () => {
  test('say the same of every inode', async () => {
    const directory = temporaryDirectory()
    const [file, old, link] = [join(directory, 'file'), join(directory, 'old'), join(directory, 'link')]
    writeFileSync(file, 'contents', { mode: 0o640 })
    writeFileSync(old, '')
    utimesSync(old, 0, new Date(-10_250))
    symlinkSync('nowhere', link)
    const throughKoffi = await load(true)
    const throughNode = await load(false)
    for (const path of [file, old, link, directory, '/', '/dev/null', '/proc/self/status']) {
      withDescriptor(path, O_PATH | constants.O_NOFOLLOW, (fd) => {
        expect(throughKoffi.statOfDescriptor(fd), path).toEqual(throughNode.statOfDescriptor(fd))
      })
    }
    withDescriptor(old, O_PATH, (fd) => {
      expect(throughKoffi.statOfDescriptor(fd)).toMatchObject({ mtime: -11, mtimeNsec: 750_000_000, size: 0 })
    })
    withDescriptor('/dev/null', O_PATH, (fd) => {
      expect(throughKoffi.statOfDescriptor(fd)).toMatchObject({ rdev: 0x103, mode: 0o020666 })
    })
    for (const { statOfDescriptor } of [throughKoffi, throughNode]) {
      expect(() => statOfDescriptor(-1)).toThrow()
    }
  })
})

test.each([true, false])(
  'names are opened where the directory is now, whatever their bytes (koffi: %s)',
  async (koffi) => {
    const { openAt, pathAt } = await load(koffi)
    const directory = temporaryDirectory()
    const names = ['plain', 'n\xe9\xff'] as ByteString[]
    mkdirSync(join(directory, 'in'))
    withDescriptor(join(directory, 'in'), constants.O_RDONLY, (fd) => {
      for (const name of names) {
        const path = pathAt(fd, name)
        writeFileSync(path, name, 'latin1')
        const opened = openAt(fd, name, constants.O_RDONLY | constants.O_NOFOLLOW)
        expect(readlinkSync(`/proc/self/fd/${opened}`, 'latin1')).toBe(`${directory}/in/${name}`)
        closeSync(opened)
      }
      const open = (name: string, flags: number) => () => openAt(fd, fromLatin1(name), flags)
      expect(open('absent', constants.O_RDONLY)).toThrow(expect.objectContaining({ code: 'ENOENT' }))
      expect(open('n\xe9\xff', constants.O_DIRECTORY)).toThrow(expect.objectContaining({ code: 'ENOTDIR' }))
    })
  },
)
