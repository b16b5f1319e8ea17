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
import { gather } from '../../support/scan.ts'

const size = 300_000
const scans = 150

/**
 * Renames over files, truncates and refills them, swaps directories, replaces files by links and back: a file is empty,
 * or has `size` bytes of one letter. It rests now and then, for as long as a scan may take.
 */
const program = `
const { closeSync, mkdirSync, openSync, renameSync, rmSync, symlinkSync, truncateSync, unlinkSync, writeSync } = require('node:fs')
const root = process.argv[1]
const fill = (path, letter) => {
  const fd = openSync(path, 'w')
  writeSync(fd, Buffer.alloc(${size}, letter))
  closeSync(fd)
}
const wait = new Int32Array(new SharedArrayBuffer(4))
console.log('ready')
for (let i = 0; ; i++) {
  const letter = 'abcdefgh'[i % 8]
  const file = root + '/d' + (i % 3) + '/f' + (i % 5)
  switch (i % 6) {
    case 0: fill(root + '/new', letter); renameSync(root + '/new', file); break
    case 1: truncateSync(file, 0); break
    case 2: fill(file, letter); break
    case 3: unlinkSync(file); symlinkSync('/etc/passwd', file); unlinkSync(file); fill(file, letter); break
    case 4:
      renameSync(root + '/d0', root + '/away')
      renameSync(root + '/d1', root + '/d0')
      renameSync(root + '/away', root + '/d1')
      break
    case 5: unlinkSync(file); mkdirSync(file); rmSync(file, { recursive: true }); fill(file, letter); break
  }
  Atomics.wait(wait, 0, 0, i % 20 === 0 ? 60 : i % 3)
}
`

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
    for (let f = 0; f < 5; f++) writeFileSync(join(root, `d${d}/f${f}`), Buffer.alloc(size, 'a'))
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
        // No symlink was ever there when a whole directory was read unchanged around it, unless it still is.
        if (entry.type === 'symlink') expect(entry.linkTarget).toBe('/etc/passwd')
        else if (body.length > 0) expect(body.equals(Buffer.alloc(size, body[0])), entry.path).toBe(true)
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
  expect([...codes.keys()]).toEqual(['ERR_SOURCE_CHANGED'])
  expect(scanned + codes.get('ERR_SOURCE_CHANGED')!).toBe(scans)
  expect(openDescriptors()).toBe(before)
  console.info(`${scans} scans of a directory in motion: ${scanned} consistent, the others refused`)
})
