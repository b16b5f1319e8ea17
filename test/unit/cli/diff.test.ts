import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readImage, writeImage } from '../../../src/erofs/index.ts'
import { fsverityDigest } from '../../../src/fsverity/index.ts'
import { Repository } from '../../../src/repository/index.ts'
import { readDumpfile } from '../../../src/streams/dumpfile-reader.ts'
import { compileInto } from '../../support/compiled.ts'

let directory: string
const file = (name: string): string => join(directory, name)

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'composefs-diff-'))
  compileInto(directory)
  const dump = '/ 0 40755 2 0 0 0 1.5 - - -\n/a\\n 1 100644 1 0 0 0 2.5 - x -\n/b 0 120777 1 0 0 0 3.0 a - -\n'
  const other = dump
    .replace('2.5', '2.0')
    .replace('120777 1 0 0', '120777 1 7 0')
    .replace(' a - -', ' c - - user.k=\\x00')
  writeFileSync(file('a.dump'), dump)
  writeFileSync(file('b.dump'), `${other}/c 0 10644 1 0 0 0 0.0 - - -\n`)
  for (const version of [1, 2] as const) {
    writeFileSync(
      file(`v${version}.cfs`),
      writeImage(readDumpfile(Buffer.from(dump.replaceAll('.5', '.0'))), { version }),
    )
  }
  writeFileSync(file('a.cfs'), writeImage(readDumpfile(Buffer.from(dump)), { version: 1 }))
  const repository = await Repository.init(file('repo'), { insecure: true, algorithm: 'sha256' })
  const id = repository.objects.put(readFileSync(file('a.cfs')))
  await repository.transaction((transaction) => transaction.linkImage(id).setRef('images', 'mine', id))
  await repository.close()
})
afterAll(() => {
  rmSync(directory, { recursive: true })
})

function diff(...args: string[]): { status: number | null; out: string; error: string } {
  const [first, ...rest] = args
  const input = first === '<' ? readFileSync(file(rest.shift()!)) : undefined
  const all = ['src/cli/main.js', '--repo', file('repo'), 'diff', ...(first === '<' ? [] : [first!]), ...rest]
  const { status, stdout, stderr } = spawnSync(process.execPath, all, { cwd: directory, input, encoding: 'utf8' })
  return { status, out: stdout, error: stderr }
}

test('nothing to say where there is no difference: image, dumpfile, stdin, repository', () => {
  const id = fsverityDigest('sha256', readFileSync(file('a.cfs'))).hex
  for (const other of ['a.cfs', 'a.dump', 'mine', 'refs/mine', id]) {
    expect(diff('a.dump', other), other).toEqual({ status: 0, out: '', error: '' })
  }
  expect(diff('<', 'a.dump', '-', 'a.cfs')).toEqual({ status: 0, out: '', error: '' })
  expect(readImage(readFileSync(file('a.cfs'))).version).toBe(1)
})

test('lines, a summary and the likely cause', () => {
  const { status, out } = diff('a.cfs', 'b.dump')
  expect(out.split('\n')).toEqual([
    '~ mtime            /a\\x0a  2.000000005 → 2.000000000',
    '~ uid              /b  0 → 7',
    '~ xattr            /b  user.k: none → "\\x00"',
    '~ target           /b  a → c',
    '+ fifo             /c',
    '5 differences on 3 paths of A (a.cfs) and B (b.dump):',
    '  1 fifo only in B',
    '  1 file mtime differs in nanoseconds only',
    '  1 symlink target differs',
    '  1 symlink uid differs',
    '  1 symlink xattr user.k differs',
    expect.stringMatching(/^likely cause: times below a second: B has whole seconds \(.*\): 1 of them$/),
    expect.stringMatching(
      /^likely cause: the xattr filter: user\.\* attributes are missing in A \(--xattrs\): 1 of them$/,
    ),
    '',
  ])
  expect(status).toBe(1)
  const summary = diff('--summary', 'a.cfs', 'b.dump')
  expect(summary.out).toBe(out.slice(out.indexOf('5 differences')))
})

test('JSON', () => {
  const { status, out } = diff('--json', 'b.dump', 'a.dump')
  expect(status).toBe(1)
  expect(JSON.parse(out)).toMatchObject({
    a: 'b.dump',
    b: 'a.dump',
    same: false,
    paths: 3,
    total: 5,
    differences: [
      { path: '/a\\x0a', changes: [{ what: 'mtime', a: '2.000000000', b: '2.000000005' }] },
      {
        path: '/b',
        changes: [
          { what: 'uid', a: 7, b: 0 },
          { what: 'xattr', name: 'user.k', a: 'AA==', b: null },
          { what: 'target', a: 'c', b: 'a' },
        ],
      },
      { path: '/c', only: 'a', type: 'fifo' },
    ],
    causes: [
      { cause: 'nanoseconds', count: 1 },
      { cause: 'xattr-filter', count: 1 },
    ],
  })
  expect(JSON.parse(diff('--json', 'a.dump', 'a.cfs').out)).toMatchObject({ same: true, differences: [], causes: [] })
})

test('images of one tree that are not the same', () => {
  const { status, out } = diff('v1.cfs', 'v2.cfs')
  expect(status).toBe(1)
  expect(out).toContain('the trees of A (v1.cfs) and B (v2.cfs) are the same, the images are not')
  expect(out).toContain('likely cause: the EROFS version: A is of version 1 and B of version 2')
})

test('trouble is 2', () => {
  writeFileSync(file('junk'), 'junk')
  expect(diff('junk', 'a.dump')).toMatchObject({ status: 2, error: expect.stringContaining('[ERR_ARGUMENT]') })
  expect(diff('a.dump', 'nothing')).toMatchObject({ status: 2, error: expect.stringContaining('[ERR_NOT_FOUND]') })
  expect(diff('a.dump', `@sha256:${'0'.repeat(64)}`)).toMatchObject({ status: 2 })
  expect(diff('a.dump')).toMatchObject({ status: 2 })
})
