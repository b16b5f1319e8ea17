import { spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { DirectorySource, pull } from '../../../src/oci/index.ts'
import { openArchiveFile } from '../../../src/oci/transport-hints.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

const unused = () => Promise.reject(new Error('there is nothing to store'))
const refusal = async (name: string) => {
  const none = { rules: [], searched: [], aliases: new Map<string, string>() }
  return pull(unused, name, { registriesConfig: none }).then(
    () => undefined,
    (error: Error & { code: string }) => error,
  )
}

describe('names that are none say what was meant', () => {
  test.each([
    ['https://quay.io/a/b:c', 'docker://quay.io/a/b:c'],
    ['http://localhost:5000/a/', 'docker://localhost:5000/a'],
    ['https://me:secret@quay.io/a', 'docker://quay.io/a'],
    ['https://hub.docker.com/r/me/image', 'docker://docker.io/me/image'],
    ['https://quay.io/repository/fedora/fedora?tab=tags', 'docker://quay.io/fedora/fedora'],
    ['Docker://quay.io/a', 'docker://quay.io/a'],
    ['OCI:/dir', 'oci:/dir'],
    ['registry://quay.io/a', 'docker://REFERENCE'],
    ['file:///no/image.tar', 'docker-archive:/no/image.tar'],
    ['./image.tar', 'docker-archive:./image.tar'],
    ['/no/image', 'docker-archive:/no/image'],
  ])('%s', async (name, hint) => {
    const error = await refusal(name)
    expect(error).toMatchObject({ code: 'ERR_OCI_REFERENCE', hint: expect.stringContaining(hint) })
    expect(error!.message).not.toContain('secret')
  })

  test('directories by what they hold', async () => {
    const directory = temporaryDirectory()
    writeFileSync(join(directory, 'index.json'), '{"manifests":[]}')
    expect(await refusal(directory)).toMatchObject({ hint: expect.stringContaining(`oci:${directory}`) })
    expect(await refusal(`dir:${directory}`)).toMatchObject({
      code: 'ERR_NOT_FOUND',
      hint: expect.stringContaining(`oci:${directory}`),
    })
    const archive = { code: 'ERR_IO', hint: expect.stringContaining(`oci:${directory}`) }
    expect(await refusal(`oci-archive:${directory}`)).toMatchObject(archive)
    const file = join(directory, 'index.json')
    expect(await refusal(`oci:${file}`)).toMatchObject({ hint: expect.stringContaining(`oci-archive:${file}`) })
    expect(await refusal(`oci:${directory}/no`)).toMatchObject({ hint: expect.stringMatching(/no such directory/) })
  })

  test.each(['docker://quay.io/a', 'oci:/dir:tag', 'quay.io/a/b:c'])('a file that is called %s', (name) => {
    expect(() => openArchiveFile(name)).toThrow(
      expect.objectContaining({ code: 'ERR_NOT_FOUND', hint: expect.stringContaining(`composefs oci pull ${name}`) }),
    )
  })
})

test.each(['/dev/zero', '/dev/urandom', '/dev/full'])('%s is no archive', (path) => {
  expect(() => openArchiveFile(path)).toThrow(/never ends/)
})

describe('layouts whose files are none', () => {
  const digest = `sha256:${'1'.repeat(64)}`

  function layout(): string {
    const directory = temporaryDirectory()
    mkdirSync(join(directory, 'blobs/sha256'), { recursive: true })
    writeFileSync(join(directory, 'index.json'), JSON.stringify({ manifests: [{ digest, size: 2 }] }))
    return directory
  }
  const fifo = (path: string) => expect(spawnSync('mkfifo', [path]).status).toBe(0)

  test('a FIFO is no index.json', () => {
    const directory = temporaryDirectory()
    fifo(join(directory, 'index.json'))
    expect(() => DirectorySource.layout(directory)).toThrow(/this is a FIFO or pipe: .*index\.json/)
  })

  test('a FIFO is no manifest, config or layer', async () => {
    const directory = layout()
    const path = join(directory, 'blobs/sha256', '1'.repeat(64))
    fifo(path)
    expect(() => DirectorySource.layout(directory)).toThrow(expect.objectContaining({ code: 'ERR_IO', path }))
    const whole = temporaryDirectory()
    writeFileSync(join(whole, 'manifest.json'), '{}')
    fifo(join(whole, '1'.repeat(64)))
    const source = DirectorySource.plain(whole)
    await expect(source.readBlob({ digest, size: 1 })).rejects.toThrow(/this is a FIFO/)
    expect(() => source.blob({ digest, size: 1 })).toThrow(/this is a FIFO/)
  })
})
