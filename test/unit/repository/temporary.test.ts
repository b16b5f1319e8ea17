import type * as Fs from 'node:fs'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { beforeEach, describe, expect, test, vi } from 'vitest'
import { TemporaryFiles, temporaryName, withTemporaryName } from '../../../src/repository/temporary.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

/** What the file system refuses. */
const refused = vi.hoisted(() => ({ unnamed: false, link: undefined as string | undefined }))

vi.mock('node:fs', async (original) => {
  const fs = await original<typeof Fs>()
  const failure = (code: string) => Object.assign(new Error(code), { code })
  const openSync: typeof Fs.openSync = (path, flags, mode) => {
    if (refused.unnamed && typeof flags === 'number' && (flags & 0o20000000) !== 0) throw failure('EOPNOTSUPP')
    return fs.openSync(path, flags, mode)
  }
  const linkSync: typeof Fs.linkSync = (from, to) => {
    if (refused.link !== undefined) throw failure(refused.link)
    fs.linkSync(from, to)
  }
  return { ...fs, openSync, linkSync }
})

beforeEach(() => {
  refused.unnamed = false
  refused.link = undefined
})

describe.each([
  { name: 'as this system does it', setup: () => {} },
  {
    name: 'without O_TMPFILE',
    setup: () => {
      refused.unnamed = true
    },
  },
  {
    name: 'without O_TMPFILE and hard links',
    setup: () => {
      refused.unnamed = true
      refused.link = 'EPERM'
    },
  },
])('a temporary file ($name)', ({ setup }) => {
  test('gets its name whole, and not twice', () => {
    setup()
    const directory = temporaryDirectory()
    const files = new TemporaryFiles(directory, '.tmp-')
    for (const [contents, linked] of [
      ['first', true],
      ['second', false],
    ] as const) {
      const file = files.create()
      file.write(Buffer.from(contents))
      expect(file.link(`${directory}/name`)).toBe(linked)
      file.close()
      file.close()
      expect(readdirSync(directory)).toEqual(['name'])
      expect(readFileSync(`${directory}/name`, 'utf8')).toBe('first')
    }
  })

  test('takes the place of another file', () => {
    setup()
    const directory = temporaryDirectory()
    writeFileSync(`${directory}/name`, 'old')
    const file = new TemporaryFiles(directory, '.tmp-').create()
    file.write(Buffer.from('new'))
    file.replace(`${directory}/name`)
    file.close()
    expect(readdirSync(directory)).toEqual(['name'])
    expect(readFileSync(`${directory}/name`, 'utf8')).toBe('new')
  })

  test('goes when it is not wanted', () => {
    setup()
    const directory = temporaryDirectory()
    const file = new TemporaryFiles(directory, '.tmp-').create()
    file.write(Buffer.from('contents'))
    file.seal()
    expect(() => file.write(Buffer.from('more'))).toThrow()
    expect(() => file.link(`${directory}/absent/name`)).toThrow(expect.objectContaining({ code: 'ENOENT' }))
    file.close()
    expect(readdirSync(directory)).toEqual([])
  })
})

test('names are random, and tried until one is free', () => {
  expect(temporaryName('x-')).toMatch(/^x-[0-9A-Za-z]{12}$/)
  const seen: string[] = []
  const taken = (path: string): never => {
    seen.push(path)
    throw Object.assign(new Error('taken'), { code: 'EEXIST' })
  }
  expect(() => withTemporaryName('x-', taken)).toThrow('taken')
  expect(new Set(seen).size).toBe(16)
  expect(withTemporaryName('x-', (path) => path.length)).toBe(14)
})
