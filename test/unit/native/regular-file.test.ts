import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { readRegular } from '../../../src/native/regular-file.ts'
import { certificatesFor } from '../../../src/oci/registry/certificates.ts'
import { readRegistriesConfig } from '../../../src/oci/registry/registries-conf.ts'
import { readMetadata } from '../../../src/repository/metadata-file.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

test('a file is read whole, up to its limit', () => {
  const path = join(temporaryDirectory(), 'file')
  for (const size of [0, 1, 1000]) {
    writeFileSync(path, Buffer.alloc(size, 'x'))
    expect(readRegular(path, 1000)).toEqual(Buffer.alloc(size, 'x'))
  }
  writeFileSync(path, Buffer.alloc(1001))
  expect(() => readRegular(path, 1000)).toThrow(expect.objectContaining({ code: 'ERR_LIMIT', path }))
})

test('files without a size are read as well', () => {
  expect(readRegular('/proc/self/status', 2 ** 20).toString()).toContain('Name:')
  expect(() => readRegular('/proc/self/status', 10)).toThrow(expect.objectContaining({ code: 'ERR_LIMIT' }))
  expect(readRegular('/proc/version', 2 ** 20)).toEqual(readFileSync('/proc/version'))
})

test('what is no file is named, and never waited for', () => {
  const fifo = join(temporaryDirectory(), 'fifo')
  expect(spawnSync('mkfifo', [fifo]).status).toBe(0)
  for (const [path, kind] of [
    [fifo, 'a FIFO'],
    ['/dev/zero', 'a character device'],
    ['/', 'a directory'],
  ] as const) {
    expect(() => readRegular(path, 100)).toThrow(new RegExp(`this is ${kind}`))
  }
  expect(readRegular('/dev/null', 100)).toHaveLength(0)
  expect(() => readRegular(`${fifo}/no`, 100)).toThrow(expect.objectContaining({ code: 'ENOTDIR' }))
})

test('neither a repository nor the configuration of registries waits for a FIFO', () => {
  const directory = temporaryDirectory()
  for (const name of ['meta.json', 'registries.conf', 'a.crt']) {
    expect(spawnSync('mkfifo', [join(directory, name)]).status).toBe(0)
  }
  const fifo = { code: 'ERR_REPOSITORY_METADATA', message: expect.stringMatching(/a FIFO or pipe: .*meta\.json/) }
  expect(() => readMetadata(directory)).toThrow(expect.objectContaining(fifo))
  const config = { code: 'ERR_REGISTRY_CONFIG', path: join(directory, 'registries.conf') }
  expect(() => readRegistriesConfig(config.path)).toThrow(expect.objectContaining(config))
  expect(() => certificatesFor('example.org', directory)).toThrow(
    expect.objectContaining({ code: 'ERR_REGISTRY_CERTIFICATE' }),
  )
})
