/** Few files may be open at a time, and there is much to store. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Installed } from '../../support/command.ts'
import { readsXattrs } from '../../support/xattrs.ts'

const limit = 64
const body = (i: number): Buffer => Buffer.alloc(4096, `${i} `)

let installed: Installed
beforeAll(() => {
  installed = new Installed()
})
afterAll(() => installed.remove())

function limited(command: string) {
  return installed.shell(
    `ulimit -n ${limit} && $composefs --repo repo init --insecure >init.log && $composefs --repo repo ${command}`,
  )
}

test.skipIf(!readsXattrs)('a scan of a deep directory with many files has no more open than it may', () => {
  mkdirSync(installed.file(`root/usr/${'deep/'.repeat(60)}`), { recursive: true })
  for (let i = 0; i < 1000; i++) writeFileSync(installed.file(`root/usr/${i}`), body(-i))
  const { status, error } = limited('create-image --no-propagate-usr-to-root root')
  expect([status, error]).toEqual([0, ''])
})
