import { constants, symlinkSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { type ByteString, bytesOf, fromLatin1 } from '../../../src/bytes.ts'
import { native } from '../../../src/native/libc.ts'
import { isRoot, withDescriptor } from '../../support/disk.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

type Module = typeof import('../../../src/native/xattr.ts')

const O_PATH = 0x200000
const name = bytesOf('user.composefs')
const odd = fromLatin1('user.\xff\xe9')

afterEach(() => {
  vi.unstubAllEnvs()
  vi.doUnmock('node:module')
  vi.resetModules()
})

/** The module as it is with koffi, or without. */
async function load(koffi: boolean): Promise<Module> {
  if (!koffi) vi.stubEnv('COMPOSEFS_NATIVE', '0')
  vi.resetModules()
  return import('../../../src/native/xattr.ts')
}

function file(): string {
  const path = join(temporaryDirectory(), 'ä file')
  writeFileSync(path, 'contents')
  return path
}

function isInstalled(name: string): boolean {
  try {
    createRequire(import.meta.url).resolve(name)
    return true
  } catch {
    console.warn(`skipped: ${name} is not installed`)
    return false
  }
}

const backends = [
  { backend: 'koffi', koffi: true },
  { backend: 'fs-xattr', koffi: false },
].filter(({ koffi }) => (koffi ? native() !== undefined : isInstalled('fs-xattr')))

describe.each(backends)('through $backend', ({ koffi }) => {
  test('values of any bytes, also none, by path and by descriptor', async () => {
    const { getXattr, listXattrs, setXattr } = await load(koffi)
    const path = file()
    expect(listXattrs(path)).toEqual([])
    for (const value of ['', 'a', '\0', '\xff\0\x80', 'x'.repeat(3000)]) {
      const bytes = Buffer.from(value, 'latin1')
      setXattr(path, name, bytes)
      expect(getXattr(path, name)).toEqual(bytes)
      for (const flags of [constants.O_RDONLY, O_PATH]) {
        withDescriptor(path, flags, (fd) => {
          expect(listXattrs(fd)).toEqual([name])
          expect(getXattr(fd, name)).toEqual(bytes)
        })
      }
    }
    withDescriptor(path, O_PATH, (fd) => setXattr(fd, bytesOf('user.ä'), Buffer.from('b')))
    expect(new Set(listXattrs(path))).toEqual(new Set([name, bytesOf('user.ä')]))
    expect(getXattr(path, bytesOf('user.ä'))).toEqual(Buffer.from('b'))
  })

  test('what is not there is undefined, and a file system without attributes has none', async () => {
    const { getXattr, listXattrs } = await load(koffi)
    expect(getXattr(file(), name)).toBeUndefined()
    expect(listXattrs('/proc/self/status')).toEqual([])
  })

  test('the operating system refuses with its own code', async () => {
    const { getXattr, listXattrs, setXattr } = await load(koffi)
    const absent = join(temporaryDirectory(), 'absent')
    const refused = expect.objectContaining({ code: 'ENOENT' })
    expect(() => listXattrs(absent)).toThrow(refused)
    expect(() => getXattr(absent, name)).toThrow(refused)
    expect(() => setXattr(absent, name, Buffer.alloc(0))).toThrow(refused)
  })

  test.skipIf(!isRoot)('a symlink has attributes of its own, reached by a descriptor', async () => {
    const { getXattr, listXattrs, setXattr } = await load(koffi)
    const target = file()
    const link = `${target}.link`
    symlinkSync(target, link)
    const own = bytesOf('trusted.own')
    withDescriptor(link, O_PATH | constants.O_NOFOLLOW, (fd) => {
      setXattr(fd, own, Buffer.from('1'))
      expect(listXattrs(fd)).toEqual([own])
      expect(getXattr(fd, own)).toEqual(Buffer.from('1'))
    })
    expect(listXattrs(target)).toEqual([])
  })
})

describe.skipIf(native() === undefined)('names that are no UTF-8', () => {
  test('koffi carries them', async () => {
    const { getXattr, listXattrs, setXattr } = await load(true)
    const path = file()
    setXattr(path, odd, Buffer.from('1'))
    expect(listXattrs(path)).toEqual([odd])
    expect(getXattr(path, odd)).toEqual(Buffer.from('1'))
  })

  test('fs-xattr cannot, which is said', async () => {
    const path = file()
    const setOdd = (await load(true)).setXattr
    setOdd(path, odd, Buffer.from('1'))
    const { getXattr, listXattrs, setXattr } = await load(false)
    const refused = expect.objectContaining({ code: 'ERR_ARGUMENT', message: expect.stringContaining('install koffi') })
    expect(() => listXattrs(path)).toThrow(refused)
    expect(() => getXattr(path, odd)).toThrow(refused)
    expect(() => setXattr(path, odd, Buffer.alloc(0))).toThrow(refused)
  })
})

test('something that grows between two questions is asked for again', async () => {
  let calls = 0
  const fsXattr = {
    listAttributesSync: (): string[] => {
      calls++
      if (calls < 4) throw Object.assign(new Error('ERANGE'), { code: 'ERANGE' })
      return ['user.a']
    },
  }
  vi.doMock('node:module', () => ({ createRequire: () => () => fsXattr }))
  const { listXattrs } = await load(false)
  expect(listXattrs('/any')).toEqual<ByteString[]>([bytesOf('user.a')])
  calls = -100
  expect(() => listXattrs('/any')).toThrow(expect.objectContaining({ code: 'ERANGE' }))
})

test('without either package the error names both', async () => {
  vi.doMock('node:module', () => ({
    createRequire: () => () => {
      throw new Error('not installed')
    },
  }))
  const { listXattrs } = await load(false)
  expect(() => listXattrs('/')).toThrow(
    expect.objectContaining({
      code: 'ERR_NATIVE_MISSING',
      message: expect.stringMatching(/koffi or fs-xattr .* layers/),
    }),
  )
})
