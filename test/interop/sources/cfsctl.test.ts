/**
 * Random directories on disk, made into images by us and by cfsctl: the same ids, dumpfiles and repositories.
 *
 * COMPOSEFS_SEED chooses other directories than the usual ones.
 */
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { type ErofsVersion, writeImage } from '../../../src/erofs/index.ts'
import { type Algorithm, fsverityDigest } from '../../../src/fsverity/index.ts'
import { DigestStore } from '../../../src/repository/index.ts'
import { type DirectoryTreeOptions, directoryTree } from '../../../src/sources/index.ts'
import { dumpfileText } from '../../../src/streams/index.ts'
import { Cfsctl, quietRust, wantBothFormats } from '../../support/cfsctl.ts'
import { composefsCommand } from '../../support/command.ts'
import { freshDirectory, isRoot } from '../../support/disk.ts'
import { tree } from '../../support/files.ts'
import { writeRandomDirectory } from '../../support/random-directory.ts'
import { requireTools } from '../../support/tools.ts'

const { COMPOSEFS_SEED } = process.env
const firstSeed = Number(COMPOSEFS_SEED ?? 0)
const count = 60
if (!isRoot) console.warn('skipped: making devices and trusted attributes takes root')

/** Our options, and the flags of cfsctl that mean the same. */
const modes: Record<string, { readonly ours: DirectoryTreeOptions; readonly theirs: readonly string[] }> = {
  'allowlist-only': { ours: {}, theirs: [] },
  'keep-user-xattrs': { ours: { xattrs: 'keep-user-xattrs' }, theirs: ['--xattrs', 'keep-user-xattrs'] },
  raw: { ours: { profile: 'raw' }, theirs: ['--no-propagate-usr-to-root'] },
  bootable: { ours: { bootable: true }, theirs: ['--bootable'] },
}

const composefs = composefsCommand()

describe.skipIf(requireTools('cfsctl').skip || !isRoot)('cfsctl', () => {
  test(`says the same of ${count} random directories`, { timeout: 900_000 }, async () => {
    let compared = 0
    for (let seed = firstSeed; seed < firstSeed + count; seed++) {
      const root = freshDirectory()
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

  test.each(
    (['sha256', 'sha512'] as Algorithm[]).flatMap((hash) => ([1, 2] as const).map((version) => ({ hash, version }))),
  )('$hash, V$version: our create-image makes its repository, and it passes fsck', async ({ hash, version }) => {
    for (const seed of [1, 2, 3, 6]) {
      const root = freshDirectory()
      writeRandomDirectory(root, firstSeed + seed, { before1970: false, count: 60 })
      const [ours, theirs] = await Promise.all(
        ['ours', 'theirs'].map((name) => Cfsctl.init(join(root, '..', name), hash, version)),
      )
      if (version === 1) for (const { path } of [ours!, theirs!]) wantBothFormats(path)
      const mine = composefs('--repo', ours!.path, 'create-image', root, 'some/name')
      expect(mine).toMatchObject({ status: 0, out: await theirs!.run('create-image', root, 'some/name') })
      expect(tree(ours!.path)).toEqual(tree(theirs!.path))
      const report = await ours!.run('fsck')
      expect(report).toContain('status: ok')
      expect(report).toContain(version === 1 ? 'images: 2/2 ok' : 'images: 1/1 ok')
    }
  })

  test('the same outputs for the same arguments', () => {
    const root = freshDirectory()
    writeRandomDirectory(root, firstSeed + 4, { before1970: false })
    for (const args of [
      ['compute-id', root],
      ['--hash', 'sha256', 'compute-id', '--xattrs', 'keep-user-xattrs', root],
      ['--erofs-version', '2', 'compute-id', '--bootable', root],
      ['compute-karg', root],
      ['--hash', 'sha256', '--erofs-version', '2', 'compute-karg', root],
      ['create-dumpfile', '--no-propagate-usr-to-root', root],
    ]) {
      const theirs = execFileSync('cfsctl', ['--no-repo', ...args], { env: quietRust, encoding: 'latin1' })
      expect(composefs('--no-repo', ...args)).toMatchObject({ status: 0, out: theirs })
    }
  })
})
