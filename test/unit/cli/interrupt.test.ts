/** Ctrl-C and SIGTERM, at a moment when the command is known to wait or to work. */
import { type ChildProcess, type SpawnOptions, spawn, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { constants, mkdirSync, openSync, readdirSync, readlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { Readable } from 'node:stream'
import { setTimeout } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { writeImage } from '../../../src/erofs/index.ts'
import { importArchive } from '../../../src/oci/index.ts'
import { Repository } from '../../../src/repository/index.ts'
import { defaultDirectoryStat, FileSystem } from '../../../src/tree/index.ts'
import { Installed } from '../../support/command.ts'
import { digestOf, imageOf, ociArchive } from '../../support/image-archive.ts'
import { lockedByAnother, othersGet } from '../../support/lock.ts'
import { serve } from '../../support/serve.ts'
import { written } from '../../support/splitstream.ts'
import { entry, header, tar } from '../../support/tar.ts'
import { readsXattrs } from '../../support/xattrs.ts'

/** The member of an archive that has no end. */
const endlessTar = (): Buffer => Buffer.concat([header({ name: 'big', size: 2 ** 33 - 1 }), Buffer.alloc(2 ** 20)])
/** Many lines, and more to come. */
const dumpfile = (): Buffer => {
  const lines = Array.from({ length: 20_000 }, (_, i) => `/file${i} 0 100644 1 0 0 0 0.0 - - -\n`)
  return Buffer.from(`/ 0 40755 2 0 0 0 0.0 - - -\n${lines.join('')}`)
}
/** The beginning of an image that says it is larger. */
const image = (): Buffer => {
  const bytes = Buffer.concat([writeImage(new FileSystem(defaultDirectoryStat)), Buffer.alloc(2 ** 20)])
  bytes.writeUInt32LE(2 ** 16, 1024 + 36)
  return bytes
}

let installed: Installed
/** Of what may wait for ever: nothing writes to it. */
let fifo = ''
/** A file that takes minutes to hash. */
let endless = ''
let repo = ''
/** The diffID of a layer in there. */
let layer = ''

beforeAll(async () => {
  installed = new Installed()
  fifo = installed.file('fifo')
  expect(spawnSync('mkfifo', [fifo]).status).toBe(0)
  mkdirSync(installed.file('root/usr'), { recursive: true })
  writeFileSync(installed.file('none.conf'), '')
  endless = installed.file('root/usr/endless')
  writeFileSync(endless, '')
  truncateSync(endless, 2 ** 40)
  repo = installed.file('repo')
  const repository = await Repository.init(repo, { insecure: true })
  // Small files, so that the layer is large by itself.
  const files = Array.from({ length: 4000 }, (_, i) => entry({ name: `usr/${i}` }, randomBytes(64)))
  const plain = tar(entry({ name: 'usr/', type: '5', mode: 0o755 }), ...files)
  layer = digestOf(plain)
  await importArchive(repository, Readable.from([ociArchive(imageOf([plain]))]), { name: 'a' })
  await repository.close()
})

afterAll(() => installed.remove())

interface Started {
  readonly child: ChildProcess
  /** What it has said on stderr. */
  readonly told: () => string
}

function start(script: string, args: readonly string[], options: SpawnOptions = {}): Started {
  const child = spawn(process.execPath, [installed.file(`src/cli/${script}.js`), ...args], {
    cwd: installed.directory,
    env: { ...process.env, COMPOSEFS_REPO: repo, CONTAINERS_REGISTRIES_CONF: installed.file('none.conf') },
    stdio: ['pipe', 'pipe', 'pipe'],
    ...options,
  })
  let told = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    told += text
  })
  child.stdin?.on('error', () => {})
  return { child, told: () => told }
}

/** Looks again and again until a condition holds; the time limit of the test is the only one. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await setTimeout(5)
}

/** Whether a process has a file open. */
function hasOpen({ pid }: ChildProcess, path: string): boolean {
  const directory = `/proc/${pid}/fd`
  try {
    return readdirSync(directory).some((fd) => {
      try {
        return readlinkSync(`${directory}/${fd}`) === path
      } catch {
        return false
      }
    })
  } catch {
    return false
  }
}

/** Feeds a process until it has read more than a pipe holds. */
async function feed(child: ChildProcess, bytes: Buffer): Promise<void> {
  if (!child.stdin!.write(bytes)) await once(child.stdin!, 'drain')
}

async function interrupt({ child, told }: Started, signal: NodeJS.Signals = 'SIGINT') {
  const ended = once(child, 'exit')
  child.kill(signal)
  const [status] = (await ended) as [number | null]
  child.stdout?.destroy()
  return { status, told: told() }
}

const interrupted = { status: 130, told: expect.stringMatching(/^Error: interrupted.* \[ERR_INTERRUPTED\]\n$/m) }

describe('Ctrl-C and SIGTERM end with 130 and ERR_INTERRUPTED', () => {
  test.concurrent.each([
    [['import', 'FIFO']],
    [['import', '--layer', `sha256:${'0'.repeat(64)}`, 'FIFO']],
    [['dump', 'FIFO']],
    [['ls', 'FIFO']],
    [['objects', 'FIFO']],
    [['missing-objects', 'FIFO']],
    [['diff', 'FIFO', 'FIFO']],
    [['checkout', 'FIFO', 'out']],
    [['mkfs', '--from-file', 'FIFO', 'image.cfs']],
    [['measure-file', 'FIFO']],
    [['oci', 'pull', 'docker-archive:FIFO']],
    [['oci', 'pull', 'oci-archive:FIFO'], 'SIGTERM'],
  ] as [string[], NodeJS.Signals?][])('%j, while nobody writes to the FIFO', async (args, signal) => {
    const started = start(
      'main',
      args.map((arg) => arg.replace('FIFO', fifo)),
    )
    await until(() => hasOpen(started.child, fifo))
    expect(await interrupt(started, signal)).toEqual(interrupted)
  })

  const inFiles: [string[], NodeJS.Signals?][] = [
    [['create-image', 'root']],
    [['compute-id', 'root']],
    [['compute-karg', 'root']],
    [['create-dumpfile', 'root']],
    [['mkfs', 'root', 'image.cfs']],
    [['diff', 'root', 'root']],
    [['measure-file', 'root/usr/endless'], 'SIGTERM'],
  ]
  const possible = inFiles.filter(([args]) => readsXattrs || args[0] === 'measure-file')
  test.concurrent.each(possible)('%j, in the middle of a large file', async (args, signal) => {
    const started = start('main', args)
    await until(() => hasOpen(started.child, endless))
    expect(await interrupt(started, signal)).toEqual(interrupted)
  })

  test.concurrent.each([
    [['import'], endlessTar],
    [['oci', 'import-layer', `sha256:${'0'.repeat(64)}`], endlessTar],
    [['checkout', '-', 'out'], dumpfile],
    [['dump', '-'], image],
    [['ls', '-'], image],
    [['objects', '-'], image],
    [['diff', '-', 'root'], dumpfile],
    [['mkfs', '--from-file', '-', 'image.cfs'], dumpfile],
    [['measure-file', '-'], () => Buffer.alloc(2 ** 20)],
  ] as [string[], () => Buffer][])('%j, in the middle of its input', async (args, bytes) => {
    const started = start('main', args)
    await feed(started.child, bytes())
    expect(await interrupt(started)).toEqual(interrupted)
  })

  test('cat, oci layer and a push, whose reader has stopped to read', async () => {
    const repository = await Repository.open(repo)
    const id = repository.objects.put(
      written([{ kind: 'inline', bytes: randomBytes(2 ** 22) }], { algorithm: 'sha512' }),
    )
    await repository.linkStream('some', id)
    await repository.close()
    for (const args of [
      ['cat', 'some'],
      ['oci', 'layer', layer],
      ['oci', 'push', 'a', 'oci-archive:-'],
    ]) {
      const started = start('main', args)
      await once(started.child.stdout!, 'readable')
      expect(await interrupt(started)).toEqual(interrupted)
    }
  })

  test('whatever waits for the lock of the repository, and says so', async () => {
    const other = await lockedByAnother(repo)
    const started = start('main', ['images'])
    await until(() => started.told() !== '')
    expect(started.told()).toMatch(/^waiting for another program that has locked .*\n$/)
    const { status, told } = await interrupt(started)
    expect([status, told.split('\n')[1]]).toEqual([130, 'Error: interrupted [ERR_INTERRUPTED]'])
    await other.release()
  })

  test('a copy that waits for the lock of either repository', async () => {
    const to = installed.file('to')
    await (await Repository.init(to, { insecure: true })).close()
    for (const locked of [repo, to]) {
      const other = await lockedByAnother(locked)
      const started = start('main', ['--repo', to, 'oci', 'copy', 'a', '--from', repo])
      await until(() => started.told() !== '')
      const { status, told } = await interrupt(started)
      expect([status, told]).toEqual([130, expect.stringContaining(`locked ${locked} `)])
      await other.release()
    }
  })

  test.each([['pull'], ['push', 'a']])('oci %s, whose registry does not answer', async (...args) => {
    let asked = false
    const { host } = await serve(() => {
      asked = true
    })
    const started = start('main', ['oci', ...args, `docker://${host}/a`])
    await until(() => asked)
    expect(await interrupt(started)).toEqual(interrupted)
  })

  test('the programs with the names of others as well', async () => {
    for (const [script, args] of [
      ['mkcomposefs', ['--from-file', fifo, 'image.cfs']],
      ['composefs-info', ['ls', fifo]],
    ] as const) {
      const started = start(script, args)
      await until(() => hasOpen(started.child, fifo))
      expect(await interrupt(started)).toEqual({ status: 130, told: `${script}: interrupted\n` })
    }
  })
})

test('an import holds no lock, and makes no repository, until there is something to read', async () => {
  const started = start('main', ['import', fifo])
  await until(() => hasOpen(started.child, fifo))
  expect(othersGet(repo, 'exclusive')).toBe(true)
  await interrupt(started)
  const elsewhere = start('main', ['--repo', 'none', 'import', fifo])
  await until(() => hasOpen(elsewhere.child, fifo))
  await interrupt(elsewhere)
  expect(readdirSync(installed.directory)).not.toContain('none')
})

test('the process ends although stderr cannot be synced', async () => {
  // A descriptor that stands for a file and can do nothing: fsync is EBADF.
  const O_PATH = 0o10000000
  const fd = openSync(installed.file('package.json'), constants.O_RDONLY | O_PATH)
  const { child } = start('main', ['images'], { stdio: ['ignore', 'pipe', fd] })
  const [status] = (await once(child, 'close')) as [number]
  expect(status).toBe(0)
})
