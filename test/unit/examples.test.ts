/** The examples and the demonstration, run as their comments say. */
import { execFile } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readImage } from '../../src/erofs/index.ts'
import { fsverityDigest } from '../../src/fsverity/index.ts'
import { readDumpfile } from '../../src/streams/index.ts'
import { Installed } from '../support/command.ts'
import { digestOf, dockerArchive, imageOf } from '../support/image-archive.ts'
import { serve } from '../support/serve.ts'
import { entry, tar } from '../support/tar.ts'

const layer = tar(
  entry({ name: 'usr/', type: '5', mode: 0o755 }),
  entry({ name: 'usr/share/', type: '5', mode: 0o755 }),
  entry({ name: 'usr/share/doc/', type: '5', mode: 0o755 }),
  entry({ name: 'usr/share/doc/readme' }, 'x'.repeat(500)),
  entry({ name: 'usr/program' }, 'y'.repeat(500)),
)
let installed: Installed

beforeAll(() => {
  installed = new Installed()
  // Where the demonstration takes its files from.
  writeFileSync(installed.file('layer.tar'), layer)
})
afterAll(() => installed.remove())

test('skopeo-pipe', () => {
  const { status, out, error } = installed.node(
    'examples/skopeo-pipe.js',
    ['repo-pipe', 'image.cfs'],
    dockerArchive([layer], ['example/image:1']),
  )
  expect(status, error).toBe(0)
  expect(out).toBe(`${fsverityDigest('sha512', readFileSync(installed.file('image.cfs'))).hex}\n`)
  expect(error).toContain(digestOf(layer))
})

test('custom-stage', () => {
  const { status, out, error } = installed.node('examples/custom-stage.js', ['objects'], layer)
  expect(status, error).toBe(0)
  const { fileSystem } = readImage(Buffer.from(out, 'latin1'))
  expect(fileSystem.get('/usr/program')?.kind).toBe('leaf')
  expect(fileSystem.get('/usr/share')?.kind).toBe('directory')
  expect(fileSystem.get('/usr/share/doc')).toBeUndefined()
})

test('fan-out', () => {
  const { status, out, error } = installed.node('examples/fan-out.js', ['repo-fan'], layer)
  expect(status, error).toBe(0)
  const [, name, image] = /^layer {2}(.*)\nimage {2}(.*)\n$/.exec(out)!
  expect(name).toBe(`oci-layer-${digestOf(layer)}`)
  expect(installed.composefs(['--repo', 'repo-fan', 'cat', name!]).out).toBe(layer.toString('latin1'))
  expect(existsSync(installed.file(`repo-fan/images/${image}`))).toBe(true)
})

describe('from a registry', () => {
  const execute = promisify(execFile)
  const image = imageOf([layer], [{ bytes: gzipSync(layer), suffix: '+gzip' }])
  const reference = async (): Promise<string> => {
    const blobs = new Map([image.config, ...image.layers].map((bytes) => [digestOf(bytes), bytes]))
    const { host } = await serve(({ url }, response) => {
      const name = url!.split('/').at(-1)!
      response.end(name === 'latest' ? image.manifest : blobs.get(name))
    })
    return `${host}/some/image`
  }
  const run = async (script: string, ...args: string[]): Promise<string> => {
    const { stdout } = await execute(process.execPath, [installed.file(script), ...args], { cwd: installed.directory })
    return stdout
  }

  test('registry-to-image', async () => {
    const out = await run('examples/registry-to-image.js', `docker://${await reference()}`, 'repo-pull', 'pulled.cfs')
    expect(out).toBe(`${fsverityDigest('sha512', readFileSync(installed.file('pulled.cfs'))).hex}  pulled.cfs\n`)
    expect(readImage(readFileSync(installed.file('pulled.cfs'))).fileSystem.get('/usr/program')?.kind).toBe('leaf')
  })

  test('registry-stream', async () => {
    const fileSystem = readDumpfile(Buffer.from(await run('examples/registry-stream.js', await reference(), '0')))
    expect(fileSystem.get('/usr/share/doc/readme')?.kind).toBe('leaf')
  })
})

test('the demonstration, twice', () => {
  const first = installed.node('demo/demo.js')
  expect(first.status, first.error).toBe(0)
  const id = /^image id {2}([0-9a-f]{128})$/m.exec(first.out)?.[1]
  expect(id).toBeDefined()
  const second = installed.node('demo/demo.js')
  expect(second.out).toContain(`image id  ${id}\n`)
  expect(second.out.match(/^ {2}0 objects stored/gm)).toHaveLength(3)
  expect(installed.composefs(['--repo', 'demo-repo', 'oci', 'compute-id', 'demo']).out).toBe(`${id}\n`)
})
