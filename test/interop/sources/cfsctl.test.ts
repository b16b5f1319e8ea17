/**
 * Random directories on disk, made into images by us and by cfsctl: the same ids, dumpfiles and repositories.
 *
 * COMPOSEFS_SEED chooses other directories than the usual ones.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { type ErofsVersion, writeImage } from '../../../src/erofs/index.ts'
import { type Algorithm, fsverityDigest } from '../../../src/fsverity/index.ts'
import { DigestStore } from '../../../src/repository/index.ts'
import { type DirectoryTreeOptions, directoryTree } from '../../../src/sources/index.ts'
import { dumpfileText } from '../../../src/streams/index.ts'
import { quietRust } from '../../support/cfsctl.ts'
import { writeRandomDirectory } from '../../support/random-directory.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'
import { requireTools } from '../../support/tools.ts'

const { COMPOSEFS_SEED } = process.env
const firstSeed = Number(COMPOSEFS_SEED ?? 0)
const count = 60
const isRoot = process.getuid?.() === 0
if (!isRoot) console.warn('skipped: making devices and trusted attributes takes root')

/** Our options, and the flags of cfsctl that mean the same. */
const modes: Record<string, { readonly ours: DirectoryTreeOptions; readonly theirs: readonly string[] }> = {
  'allowlist-only': { ours: {}, theirs: [] },
  'keep-user-xattrs': { ours: { xattrs: 'keep-user-xattrs' }, theirs: ['--xattrs', 'keep-user-xattrs'] },
  raw: { ours: { profile: 'raw' }, theirs: ['--no-propagate-usr-to-root'] },
  bootable: { ours: { bootable: true }, theirs: ['--bootable'] },
}

describe.skipIf(requireTools('cfsctl').skip || !isRoot)('cfsctl', () => {
  test(`says the same of ${count} random directories`, { timeout: 900_000 }, async () => {
    let compared = 0
    for (let seed = firstSeed; seed < firstSeed + count; seed++) {
      const root = join(temporaryDirectory(), 'root')
      mkdirSync(root)
      writeRandomDirectory(root, seed, { before1970: false })
      for (const [mode, { ours, theirs }] of Object.entries(modes)) {
        for (const hash of ['sha256', 'sha512'] as Algorithm[]) {
          const ask = (command: string, ...global: string[]): Buffer =>
            execFileSync('cfsctl', ['--no-repo', '--hash', hash, ...global, command, ...theirs, root], {
              env: quietRust,
              maxBuffer: 2 ** 28,
            })
          const what = `seed ${seed}, ${mode}, ${hash}`
          const fileSystem = await directoryTree(root, new DigestStore(hash), ours)
          const text = ask('create-dumpfile').toString('latin1')
          expect(dumpfileText(fileSystem).toString('latin1'), what).toBe(text)
          for (const version of [1, 2] as ErofsVersion[]) {
            const id = ask('compute-id', '--erofs-version', `${version}`).toString().trim()
            expect(fsverityDigest(hash, writeImage(fileSystem, { version })).hex, `${what}, V${version}`).toBe(id)
            compared++
          }
        }
      }
    }
    console.info(`${count} random directories: ${compared} ids the same as cfsctl's`)
    expect(compared).toBe(count * Object.keys(modes).length * 4)
  })
})
