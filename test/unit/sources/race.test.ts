/**
 * A directory that another process never stops changing: a scan fails with a path, or gives what each inode was at some
 * moment.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { expect, onTestFinished, test } from 'vitest'
import type { ComposefsError } from '../../../src/errors.ts'
import { DirectoryScan } from '../../../src/sources/scan.ts'
import { freshDirectory, openDescriptors } from '../../support/disk.ts'
import { runs } from '../../support/runs.ts'
import { gather } from '../../support/scan.ts'
import { scansDirectories } from '../../support/xattrs.ts'

scansDirectories()

const size = 1024 * 1024
const scans = runs(20)

/**
 * Renames over files, truncates, refills and overwrites them, swaps directories, replaces files by links and back. What
 * it writes are ever larger numbers, from front to back: at any moment the numbers in a file do not grow. It rests long
 * enough for a scan to begin, and not for it to end.
 */
const program = `
const { closeSync, openSync, renameSync, symlinkSync, truncateSync, unlinkSync, writeSync } = require('node:fs')
const root = process.argv[1]
let number = 0
const bytes = Buffer.alloc(${size})
const fill = (path, flags) => {
  const word = Buffer.alloc(4)
  word.writeUInt32BE(++number)
  bytes.fill(word)
  const fd = openSync(path, flags)
  for (let at = 0; at < bytes.length; at += 65536) writeSync(fd, bytes, at, 65536)
  closeSync(fd)
}
const wait = new Int32Array(new SharedArrayBuffer(4))
for (let i = 0; ; i++) {
  const file = root + '/d' + (i % 3) + '/f' + (i % 4)
  switch (i % 7) {
    case 0: fill(root + '/new', 'w'); renameSync(root + '/new', file); break
    case 1: truncateSync(file, 0); break
    case 2: fill(file, 'w'); break
    case 3: unlinkSync(file); symlinkSync('/etc/passwd', file); unlinkSync(file); fill(file, 'w'); break
    case 4:
      renameSync(root + '/d0', root + '/away')
      renameSync(root + '/d1', root + '/d0')
      renameSync(root + '/away', root + '/d1')
      break
    default:
      for (let d = 0; d < 3; d++) for (let f = 0; f < 4; f++) fill(root + '/d' + d + '/f' + f, 'r+')
  }
  if (i === 0) console.log('ready')
  Atomics.wait(wait, 0, 0, 25 + i % 40)
}
`

/** Whether the numbers in a file ever grow; looked at where its pages begin. */
function isTorn(body: Buffer): boolean {
  for (let at = 4096; at + 4 <= body.length; at += 4096) {
    if (body.readUInt32BE(at) > body.readUInt32BE(at - 4096)) return true
  }
  return false
}

/** Starts the program; it ends with the test at the latest. */
async function disturber(root: string): Promise<ChildProcess> {
  const child = spawn(process.execPath, ['-e', program, root], { stdio: ['ignore', 'pipe', 'inherit'] })
  onTestFinished(async () => {
    const ended = once(child, 'close')
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL')
      await ended
    }
    rmSync(root, { recursive: true, force: true, maxRetries: 5 })
  })
  await once(createInterface(child.stdout!), 'line')
  return child
}

test('never a state that nothing was in', { timeout: 120_000 }, async () => {
  const root = freshDirectory()
  for (let d = 0; d < 3; d++) {
    mkdirSync(join(root, `d${d}`))
    for (let f = 0; f < 4; f++) writeFileSync(join(root, `d${d}/f${f}`), Buffer.alloc(size))
  }
  const child = await disturber(root)
  const before = openDescriptors()
  const codes = new Map<string, number>()
  let scanned = 0
  for (let i = 0; i < scans; i++) {
    try {
      const found = gather(new DirectoryScan(root, { openDirectories: 1 + (i % 3) }).records())
      scanned++
      for (const { entry, body } of found) {
        if (entry.type === 'directory') continue
        if (entry.type === 'symlink') expect(entry.linkTarget).toBe('/etc/passwd')
        else expect(isTorn(body), entry.path).toBe(false)
      }
      expect(found.filter(({ entry }) => entry.type === 'directory').length).toBeGreaterThanOrEqual(3)
    } catch (error) {
      const { code, path } = error as ComposefsError
      if (code === undefined) throw error
      expect(path?.startsWith(root), (error as Error).message).toBe(true)
      codes.set(code, (codes.get(code) ?? 0) + 1)
    }
    // The other process shall go on, even where there is one processor only.
    await new Promise((resolve) => setTimeout(resolve, 3))
  }
  expect(child.exitCode).toBeNull()
  // How many of each there are, nobody knows: the other process may have slept, or never.
  const refused = codes.get('ERR_SOURCE_CHANGED') ?? 0
  expect(scanned + refused, [...codes.keys()].join()).toBe(scans)
  expect(openDescriptors()).toBe(before)
  console.info(`${scans} scans of a directory in motion: ${scanned} consistent, the others refused`)
})
