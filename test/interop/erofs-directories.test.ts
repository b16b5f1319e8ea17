/**
 * Directories that cfsctl describes, and the ids of the images that it makes of them: the only way to see it write
 * version 2.
 */
import { execFileSync } from 'node:child_process'
import { chmodSync, linkSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ErofsVersion, writeImage } from '../../src/erofs/index.ts'
import { type Algorithm, fsverityDigest } from '../../src/fsverity/index.ts'
import { readDumpfile } from '../../src/streams/dumpfile-reader.ts'
import { Random } from '../support/random.ts'
import { requireTools } from '../support/tools.ts'

let directory: string
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'composefs-directories-'))
})
afterAll(() => {
  rmSync(directory, { recursive: true })
})

/** Fills a new directory: long and short names, targets around the sizes that matter, contents inside and outside. */
function fill(seed: number): string {
  const random = new Random(seed)
  const root = join(directory, `root-${seed}`)
  mkdirSync(root)
  const directories = [root]
  const files: string[] = []
  const count = random.pick([0, 20, 150, 400])
  for (let i = 0; i < count; i++) {
    const parent = random.pick([random.pick(directories), directories.at(-1)!])
    const path = join(parent, `${i}${random.pick(['', 'x', '-long-name'.repeat(random.between(1, 20))])}`)
    if (path.length > 3000) continue
    const kind = random.below(10)
    if (kind < 2) {
      mkdirSync(path)
      directories.push(path)
    } else if (kind < 4) {
      symlinkSync('t'.repeat(random.pick([1, 30, 900, 1000, 1024, 2000])), path)
      continue
    } else if (kind === 4 && files.length > 0) {
      linkSync(random.pick(files), path)
      continue
    } else {
      writeFileSync(path, Buffer.alloc(random.pick([0, 1, 63, 64, 65, 5000, 70000]), random.below(5)))
      files.push(path)
    }
    chmodSync(path, random.pick([0o755, 0o700, 0o4755]))
    utimesSync(path, 0, random.pick([0, 1.5, 1700000000.25]))
  }
  return root
}

describe.skipIf(requireTools('cfsctl').skip)('cfsctl', () => {
  test('computes the ids of our images', () => {
    for (let seed = 0; seed < 12; seed++) {
      const root = fill(seed)
      for (const hash of ['sha256', 'sha512'] as Algorithm[]) {
        const ask = (...args: string[]): Buffer =>
          execFileSync('cfsctl', ['--hash', hash, ...args, '--no-propagate-usr-to-root', root], {
            env: { ...process.env, RUST_BACKTRACE: '0' },
          })
        const fileSystem = readDumpfile(ask('create-dumpfile'))
        for (const version of [0, 1, 2] as ErofsVersion[]) {
          const theirs = ask('--erofs-version', String(version), 'compute-id').toString().trim()
          const image = writeImage(fileSystem, { version, raise: false })
          expect(fsverityDigest(hash, image).hex, `seed ${seed}, ${hash}, version ${version}`).toBe(theirs)
        }
      }
    }
  })
})
