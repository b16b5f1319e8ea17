/** `--insecure` and `--require-verity`, which mean the same to every command that makes a repository. */
import { existsSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Installed } from '../../support/command.ts'
import { imageOf, ociArchive } from '../../support/image-archive.ts'
import { entry, tar } from '../../support/tar.ts'

let installed: Installed
beforeAll(() => {
  installed = new Installed()
  const layer = tar(entry({ name: 'usr/', type: '5', mode: 0o755 }))
  writeFileSync(installed.file('image.tar'), ociArchive(imageOf([layer])))
  const { status, error } = installed.composefs(['--insecure', 'import', '-q', '--name', 'a', 'image.tar'])
  expect([status, error]).toEqual([0, expect.stringMatching(/^made a repository without fs-verity: /)])
})
afterAll(() => installed.remove())

const makers: [string, string[]][] = [
  ['init', ['init']],
  ['import', ['import', '-q', 'image.tar']],
  ['pull', ['oci', 'pull', '--progress', 'none', 'oci-archive:image.tar', 'a']],
  ['copy', ['oci', 'copy', 'a', '--from', 'repo']],
]

test.each(makers)('%s makes a repository without fs-verity where it shall', (name, args) => {
  const { status, error, out } = installed.composefs(['--insecure', '--repo', `new-${name}`, ...args])
  expect(status, error).toBe(0)
  expect(out + error).toMatch(/without fs-verity: |not required \(insecure\)/)
  const again = installed.composefs(['--require-verity', '--repo', `new-${name}`, ...args])
  expect([again.status, again.error]).toEqual([1, expect.stringContaining('[ERR_REPOSITORY_VERITY]')])
})

test.each(makers)('%s makes none where the options contradict each other', (name, args) => {
  const { status, error } = installed.composefs(['--insecure', '--require-verity', '--repo', `no-${name}`, ...args])
  expect([status, error]).toEqual([2, expect.stringContaining('exclude each other')])
  expect(existsSync(installed.file(`no-${name}`))).toBe(false)
})

test('a copy of what is not there makes no repository', () => {
  const { status, error } = installed.composefs(['--repo', 'no-copy', 'oci', 'copy', 'b', '--from', 'repo'])
  expect([status, error]).toEqual([1, expect.stringContaining('[ERR_OCI_NOT_FOUND]')])
  expect(existsSync(installed.file('no-copy'))).toBe(false)
})

test('help shows both', () => {
  const { out } = installed.composefs(['--help'])
  expect(out).toMatch(/^ +--insecure /m)
  expect(out).toMatch(/^ +--require-verity /m)
})
