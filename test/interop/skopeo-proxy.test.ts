/** Images through skopeo's proxy: the same as through a pipe. */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { importArchive, openImage, type PullOptions, pull, pullImage, SkopeoSource } from '../../src/oci/index.ts'
import { run } from '../support/cfsctl.ts'
import { imageOf } from '../support/image-archive.ts'
import { imageIdOf } from '../support/image-id.ts'
import { randomImage, writeLayout } from '../support/random-images.ts'
import { entry, tar } from '../support/tar.ts'
import { leftovers, temporaryRepository } from '../support/temporary-repository.ts'
import { requireTools } from '../support/tools.ts'

const skip = requireTools('skopeo').skip
const skipStorage = skip || requireTools('buildah').skip || process.getuid?.() !== 0
const before = process.env['CONTAINERS_STORAGE_CONF']

let directory = ''
let right = ''
const at = (name: string) => join(directory, name)

async function byPipe(name: string): Promise<string> {
  const repository = await temporaryRepository()
  const script = 'skopeo copy -q "$1" docker-archive:/dev/stdout | cat'
  const child = spawn('bash', ['-o', 'pipefail', '-c', script, 'bash', name], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [image] = await importArchive(repository, child.stdout, { name: 'x' })
  return image!.imageId.hex
}

/** On a storage of its own. */
async function buildah(...args: string[]): Promise<string> {
  const script = 'CONTAINERS_STORAGE_CONF=$1 && export CONTAINERS_STORAGE_CONF && shift && exec buildah "$@"'
  const output = await run('sh', ['-c', script, 'sh', at('storage.conf'), ...args], directory)
  return output.toString()
}

async function byProxy(name: string, options: PullOptions = {}) {
  const repository = await temporaryRepository()
  const source = await SkopeoSource.open(name)
  try {
    const { imageId } = await pullImage(repository, source, { name: 'x', ...options })
    return { id: imageId.hex, repository }
  } finally {
    await source.close()
    expect(leftovers(repository)).toEqual([])
  }
}

beforeAll(() => {
  if (skip) return
  directory = mkdtempSync(join(tmpdir(), 'composefs-proxy-'))
  writeLayout(at('image'), randomImage(3))
  const graph = `[storage]\ndriver = "vfs"\ngraphroot = "${at('graph')}"\nrunroot = "${at('run')}"\n`
  writeFileSync(at('storage.conf'), graph)
  process.env['CONTAINERS_STORAGE_CONF'] = at('storage.conf')
})

afterAll(() => {
  if (skip) return
  if (before === undefined) delete process.env['CONTAINERS_STORAGE_CONF']
  else process.env['CONTAINERS_STORAGE_CONF'] = before
  rmSync(directory, { recursive: true, force: true })
})

describe.skipIf(skip)("skopeo's proxy", () => {
  test('gives what the pipe gives, whatever the transport', async () => {
    right = await byPipe(`oci:${at('image')}`)
    const names = [`dir:${at('plain')}`, `oci-archive:${at('image.tar')}`, `docker-archive:${at('docker.tar')}`]
    for (const name of names) await run('skopeo', ['copy', '-q', `oci:${at('image')}`, name])
    await run('skopeo', ['copy', '-q', '--format', 'v2s2', `oci:${at('image')}`, `dir:${at('v2s2')}`])
    for (const name of [`oci:${at('image')}`, `dir:${at('v2s2')}`, ...names]) {
      expect((await byProxy(name)).id, name).toBe(right)
    }
  })

  test('manifest and config of OCI keep their bytes', async () => {
    const { repository } = await byProxy(`oci:${at('image')}`)
    const { manifestBytes, configBytes } = openImage(repository, 'x')
    const direct = await temporaryRepository()
    await pull(direct, `oci:${at('image')}`, { name: 'x' })
    expect(manifestBytes).toEqual(openImage(direct, 'x').manifestBytes)
    expect(configBytes).toEqual(openImage(direct, 'x').configBytes)
  })

  test.skipIf(skipStorage)('containers-storage, where layers are kept unpacked', async () => {
    // It unpacks the layers, and not every tar that we read is one that it does.
    const tars = ['one', 'two'].map((text) =>
      tar(entry({ name: 'usr/', type: '5', mode: 0o755 }), entry({ name: `usr/${text}` }, text.repeat(100))),
    )
    const blobs = tars.map((bytes) => ({ bytes: gzipSync(bytes), suffix: '+gzip' as const }))
    writeLayout(at('simple'), imageOf(tars, blobs))
    await buildah('pull', '-q', 'oci:simple')
    const [id] = (await buildah('images', '-q')).split('\n')
    const repository = await temporaryRepository()
    const pulled = await pull(repository, `containers-storage:${id}`, { name: 'x' })
    expect(imageIdOf(pulled)).toBe(await byPipe(`oci:${at('simple')}`))
  })

  test('says what skopeo says', async () => {
    const nothing = { code: 'ERR_OCI_TRANSPORT', message: expect.stringContaining('nothing-here') }
    await expect(SkopeoSource.open(`oci:${at('nothing-here')}`)).rejects.toMatchObject(nothing)
  })

  test('ends when it is told to', async () => {
    const abort = new AbortController()
    const onEvent: PullOptions['onEvent'] = ({ type }) => {
      if (type === 'layer-start') abort.abort(new Error('enough'))
    }
    await expect(byProxy(`oci:${at('image')}`, { onEvent, signal: abort.signal })).rejects.toThrow('enough')
  })

  test('without skopeo it says so', async () => {
    const { PATH } = process.env
    process.env['PATH'] = directory
    try {
      await expect(SkopeoSource.open('oci:x')).rejects.toMatchObject({
        code: 'ERR_OCI_TRANSPORT',
        message: expect.stringContaining('skopeo is missing'),
      })
    } finally {
      process.env['PATH'] = PATH
    }
  })
})
