/** The command as its users call it: results on stdout, exit statuses, help. */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { cpSync, existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Command } from 'commander'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { makeProgram } from '../../../src/cli/program.ts'
import { fsverityDigest } from '../../../src/fsverity/index.ts'
import { Installed } from '../../support/command.ts'
import { tree } from '../../support/files.ts'
import { archive as archiveOf, digestOf, dockerArchive, imageOf } from '../../support/image-archive.ts'
import { entry, tar } from '../../support/tar.ts'

const layers = [
  tar(
    entry({ name: 'usr/', type: '5', mode: 0o755 }),
    entry({ name: 'usr/large' }, 'a'.repeat(700)),
    entry({ name: 'usr/small' }, 'few bytes'),
    entry({ name: 'usr/gone' }, 'b'.repeat(900)),
  ),
  tar(entry({ name: 'usr/.wh.gone' }), entry({ name: 'usr/link', type: '2', linkName: 'large' })),
]
const image = imageOf(layers)
const archive = dockerArchive(layers, ['example/image:1'])
const diffIds = layers.map(digestOf)
const hash = (latin1: string): string => `sha256:${createHash('sha256').update(latin1, 'latin1').digest('hex')}`

let installed: Installed
let composefs: Installed['composefs']
let id = ''

beforeAll(() => {
  installed = new Installed()
  composefs = (...args) => installed.composefs(...args)
  const { status, out, error } = composefs(['--hash', 'sha256', 'import', '--name', 'mine'], archive)
  expect(status, error).toBe(0)
  id = out.trim()
  renameSync(installed.file('repo'), installed.file('imported'))
})
afterAll(() => installed.remove())
beforeEach(() => {
  rmSync(installed.file('repo'), { recursive: true, force: true })
  cpSync(installed.file('imported'), installed.file('repo'), { recursive: true, verbatimSymlinks: true })
})

test('import prints the image id, and a second one has nothing to do', () => {
  expect(id).toMatch(/^[0-9a-f]{64}$/)
  expect(existsSync(installed.file(join('repo', 'images', id)))).toBe(true)
  const again = composefs(['import', '--name', 'mine', '--json'], archive)
  const { images, objects } = JSON.parse(again.out) as { images: object[]; objects: { newObjects: number } }
  expect(images).toMatchObject([{ imageId: id, images: { v1: id }, diffIds, tags: ['mine'] }])
  expect(objects.newObjects).toBe(0)
  expect(again.error).toContain('nothing new')
})

test('the names of the archive are the tags where none is given, and -q is quiet', () => {
  const { out, error } = composefs(['import', '-q', '-'], archive)
  expect([out, error]).toEqual([`${id}\n`, ''])
  const { images } = JSON.parse(composefs(['oci', 'images', '--json']).out) as { images: { name: string }[] }
  expect(images.map(({ name }) => name).sort()).toEqual(['example/image:1', 'mine'])
  expect(composefs(['oci', 'untag', 'mine']).out).toBe('Removed tag mine\n')
  expect(composefs(['oci', 'images']).out).not.toContain('mine')
})

test('the dumpfile gives the same id, to a file and to stdout', () => {
  const dump = composefs(['oci', 'dump', 'mine']).out
  expect(composefs(['mkfs', '--from-file', '--print-digest', '-', 'image.cfs'], dump).out).toBe(`${id}\n`)
  const bytes = readFileSync(installed.file('image.cfs'), 'latin1')
  expect(composefs(['mkfs', '--from-file', '-', '-'], dump).out).toBe(bytes)
  expect(composefs(['mkfs', '--from-file', '--print-digest-only', '-'], dump).out).toBe(`${id}\n`)
  expect(composefs(['measure-file', '--hash', 'sha256', 'image.cfs']).out).toBe(`${id}\n`)
  expect(composefs(['dump', 'image.cfs']).out).toBe(dump)
  expect(composefs(['oci', 'compute-id', 'mine']).out).toBe(`${id}\n`)
  const others = ['0', '2'].map((version) => composefs(['--erofs-version', version, 'oci', 'compute-id', 'mine']).out)
  expect(new Set([...others, `${id}\n`]).size).toBe(3)
})

test('layers come back bit for bit', () => {
  for (const diffId of diffIds) {
    expect(hash(composefs(['cat', `oci-layer-${diffId}`]).out)).toBe(diffId)
    expect(hash(composefs(['oci', 'layer', diffId]).out)).toBe(diffId)
  }
  const facts = JSON.parse(composefs(['oci', 'layer', '--json', diffIds[0]!]).out) as object
  expect(facts).toMatchObject({ diffId: diffIds[0], size: layers[0]!.length, entryCount: 4 })
  expect(composefs(['oci', 'layer', '--dumpfile', diffIds[1]!]).out).toMatch(/^\/usr\/\.wh\.gone 0 100644 /)
})

test('nothing is printed of what does not have its name, and a second import mends it', () => {
  const [wrong, right] = diffIds.map((diffId) => `oci-layer-${diffId}`)
  const streams = installed.file('repo/streams')
  renameSync(join(streams, right!), join(streams, wrong!))
  const commands = [
    ['cat', wrong!],
    ['oci', 'layer', diffIds[0]!],
    ['oci', 'layer', '--dumpfile', diffIds[0]!],
  ]
  for (const command of commands) {
    const { status, out, error } = composefs(command)
    expect([status, out]).toEqual([1, ''])
    expect(error).toContain('[ERR_DIGEST_MISMATCH]')
  }
  const facts = JSON.parse(composefs(['oci', 'layer', '--json', diffIds[0]!]).out) as object
  expect(facts).toMatchObject({ error: { code: 'ERR_DIGEST_MISMATCH' } })
  expect(composefs(['import', '-q', '--name', 'mine'], archive).out).toBe(`${id}\n`)
  expect(hash(composefs(commands[0]!).out)).toBe(diffIds[0])
})

test('no image id is told of layers that are not what they should be', () => {
  const object = installed.file(`repo/objects/${fsverityDigest('sha256', Buffer.alloc(700, 'a')).path}`)
  rmSync(object)
  writeFileSync(object, Buffer.alloc(700, 'b'))
  for (const command of ['compute-id', 'dump']) {
    const { status, out, error } = composefs(['oci', command, 'mine'])
    expect([status, out]).toEqual([1, ''])
    expect(error).toContain('[ERR_REPOSITORY_CORRUPT]')
  }
  const inspected = composefs(['oci', 'inspect', 'mine'])
  expect(JSON.parse(inspected.out)).toMatchObject({ config: image.config.toString(), composefs_erofs: null })
  expect(inspected.error).toMatch(/^warning: .*layer 1 of 2/)
  expect(composefs(['import', '-q', '--name', 'mine'], archive).status).toBe(0)
  expect(composefs(['oci', 'compute-id', 'mine']).out).toBe(`${id}\n`)
})

test('--verify-objects replaces a damaged object of any size, as the message says', () => {
  const contents = Buffer.alloc(200_000, 'contents')
  const large = dockerArchive([tar(entry({ name: 'usr/', type: '5' }), entry({ name: 'usr/file' }, contents))])
  expect(composefs(['import', '-q', '--name', 'large'], large).status).toBe(0)
  const object = installed.file(`repo/objects/${fsverityDigest('sha256', contents).path}`)
  const damaged = Buffer.from(contents)
  damaged[100_000] = 0
  rmSync(object)
  writeFileSync(object, damaged)
  expect(composefs(['oci', 'dump', 'large']).error).toContain('--verify-objects')
  expect(composefs(['import', '-q', '--name', 'large', '--verify-objects'], large).status).toBe(0)
  expect(readFileSync(object).equals(contents)).toBe(true)
  expect(composefs(['oci', 'dump', 'large']).status).toBe(0)
})

test('images are listed and described', () => {
  const large = composefs(['dump-files', '--backing-path-only', id, '/usr/large', '/usr/small']).out.split(/[ \n]/)
  expect(large).toEqual([
    '/usr/large',
    expect.stringMatching(/^[0-9a-f]{2}\/[0-9a-f]{62}$/),
    '/usr/small',
    'inline',
    '',
  ])
  expect(composefs(['objects', id]).out).toBe(`${large[1]}\n`)
  expect(composefs(['image-objects', id]).out).toBe(`sha256:${large[1]!.replace('/', '')}\n`)
  expect(composefs(['missing-objects', id]).out).toBe('')
  const inspected = JSON.parse(composefs(['oci', 'inspect', 'mine']).out) as Record<string, string>
  expect(inspected).toMatchObject({ config: image.config.toString(), referrers: [], composefs_erofs: id })
  rmSync(installed.file(`repo/objects/${large[1]}`))
  expect(composefs(['missing-objects', id, '--json']).out).toContain(large[1]!.replace('/', ''))
  expect(composefs(['ls', id]).out).toBe(`/usr/\t\n/usr/large\t@ ${large[1]}\n/usr/link\t-> large\n/usr/small\n`)
  expect(composefs(['images']).out).toBe('No images found\n')
  expect(composefs(['oci', 'inspect', '--config', 'mine']).out).toBe(`${image.config.toString('latin1')}\n`)
})

test('one layer alone', () => {
  const { out } = composefs(['import', '--layer', diffIds[0]!, '-q'], layers[0])
  expect(out).toMatch(/^sha256:[0-9a-f]{64}\n$/)
  const wrong = composefs(['import', '--layer', `sha256:${'0'.repeat(64)}`, '-q'], layers[0])
  expect(wrong.status).toBe(1)
  expect(wrong.error).toMatch(/^Error: .*\[ERR_DIGEST_MISMATCH\]\n$/)
  expect(composefs(['cat', `oci-layer-sha256:${'0'.repeat(64)}`]).status).toBe(1)
})

test('init says what it made', () => {
  const made = composefs(['init', '--insecure', '--erofs-version', '2', 'other'])
  const lines = ['Initialized composefs repository at other', '  algorithm: fsverity-sha512-12']
  expect(made.out).toBe([...lines, '  verity:    not required (insecure)', ''].join('\n'))
  expect(composefs(['init', '--insecure', '--erofs-version', '2', 'other']).out).toContain('already initialized')
  expect(composefs(['init', '--insecure', '--erofs-version', '1', 'other'])).toMatchObject({
    status: 1,
    error: expect.stringContaining('[ERR_REPOSITORY_EXISTS]'),
  })
})

describe('errors', () => {
  test.each([
    ['no command', [], 2],
    ['an unknown command', ['frobnicate'], 2],
    ['an unknown option', ['import', '--frobnicate'], 2],
    ['a missing argument', ['cat'], 2],
    ['a digest that is none', ['oci', 'layer', 'sha256:1'], 2],
    ['an image format that does not exist', ['--erofs-version', '3', 'oci', 'images'], 2],
    ['two ways to name a repository', ['--repo', 'repo', '--system', 'oci', 'images'], 2],
    ['a stream that does not exist', ['cat', 'oci-layer-x'], 1],
    ['an image that does not exist', ['oci', 'inspect', 'none'], 1],
    ['a repository that does not exist', ['--repo', 'nowhere', 'oci', 'images'], 1],
    ['a file that does not exist', ['import', 'nowhere.tar'], 1],
  ])('%s', (_, args, status) => {
    const ended = composefs(args)
    expect(ended.status, ended.error).toBe(status)
    expect(ended.out).toBe('')
    expect(ended.error).not.toMatch(/^\s+at /m)
  })

  test('have one line with a code, and with --json an object', () => {
    const { out, error } = composefs(['import', '--json'], 'Getting image source signatures\n')
    expect(error).toMatch(/^Error: .*skopeo copy -q.* \[ERR_ARCHIVE_PROGRESS_TEXT\]\n$/)
    expect(JSON.parse(out)).toMatchObject({ error: { code: 'ERR_ARCHIVE_PROGRESS_TEXT' } })
  })

  test('what holds no image leaves no repository behind', () => {
    const digest = `sha256:${'0'.repeat(64)}`
    const nothing = archiveOf([{ name: 'manifest.json', body: 'null' }])
    for (const [args, input] of [
      [['import'], nothing],
      [['import'], 'Error: no such image\n'],
      [['import', '--layer', digest], 'Error: no such layer\n'],
      [['oci', 'import-layer', digest], ''],
      [['oci', 'pull', 'oci:nowhere'], ''],
    ] as const) {
      expect(composefs(['--repo', 'never', ...args], input).status).toBe(1)
      expect(existsSync(installed.file('never'))).toBe(false)
    }
  })

  test('a reader that leaves early is none', () => {
    const lines = Array.from({ length: 20_000 }, (_, i) => `/f${i} 0 100644 1 0 0 0 0.0 - - -\n`)
    writeFileSync(installed.file('many.dump'), `/ 0 40755 2 0 0 0 0.0 - - -\n${lines.join('')}`)
    const { out, error } = installed.shell('$composefs mkfs --from-file many.dump - | $composefs dump - | head -1')
    expect(out).toMatch(/^\/ .*\n$/)
    expect(error).toBe('')
  })

  test('Ctrl-C ends it with 130, and nothing is published', async () => {
    const args = [installed.file('src/cli/main.js'), '--repo', installed.file('stopped'), 'import', '--name', 'x']
    const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'pipe'] })
    child.stdin.write(archive.subarray(0, 3000))
    let error = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      // It says what it reads: the import has begun.
      if (error === '') child.kill('SIGINT')
      error += text
    })
    const [status] = (await once(child, 'close')) as [number]
    expect(status, error).toBe(130)
    expect(existsSync(installed.file('stopped/streams'))).toBe(false)
  })
})

test('every command has help with an example', async () => {
  const program = await makeProgram('1', [])
  const names: string[] = []
  const visit = (command: Command, path: string): void => {
    for (const child of command.commands) {
      if (child.commands.length === 0) names.push(`${path}${child.name()}`)
      visit(child, `${path}${child.name()} `)
    }
  }
  visit(program, '')
  expect(names.length).toBeGreaterThan(25)
  for (const name of names) {
    let help = ''
    const command = name.split(' ').reduce((at, word) => at.commands.find((c) => c.name() === word)!, program)
    command.configureOutput({ writeOut: (text) => (help += text) }).outputHelp()
    expect(help, name).toContain('Example')
    expect(help, name).toContain(`composefs ${name.split(' ')[0]}`.slice(0, 9))
  }
})

test('init --reset-metadata looks at its arguments, and at what it is to reset, before anything goes', () => {
  const reset = (...args: string[]) => composefs(['--insecure', 'init', '--reset-metadata', ...args])
  const before = tree(installed.file('repo'))
  expect(reset('--algorithm', 'fsverity-md5-12', 'repo').error).toContain('there is no algorithm')
  expect(reset('src').error).toContain('[ERR_REPOSITORY_MISSING]')
  expect(tree(installed.file('repo'))).toEqual(before)
  const { status, out } = reset('--algorithm', 'fsverity-sha256-12', 'repo')
  expect([status, out]).toEqual([0, expect.stringContaining('Initialized composefs repository at repo')])
  expect(composefs(['oci', 'images']).out).toBe('No images found\n')
  composefs(['import', '--name', 'mine'], archive)
  expect(composefs(['oci', 'compute-id', 'mine']).out).toBe(`${id}\n`)
})
