/** The examples and the demonstration, run as their comments say. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readImage } from '../../src/erofs/index.ts'
import { fsverityDigest } from '../../src/fsverity/index.ts'
import { Installed } from '../support/command.ts'
import { digestOf, dockerArchive } from '../support/image-archive.ts'
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
