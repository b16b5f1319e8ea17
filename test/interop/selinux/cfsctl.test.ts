/**
 * Random policies and images with a policy: the same labels as those of cfsctl, and the same ids.
 *
 * COMPOSEFS_SEED chooses other policies than the usual ones.
 */
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { writeImage } from '../../../src/erofs/index.ts'
import { ComposefsError } from '../../../src/errors.ts'
import { type Algorithm, fsverityDigest } from '../../../src/fsverity/index.ts'
import { imageTree, importArchive, openImage } from '../../../src/oci/index.ts'
import { transformForBoot } from '../../../src/selinux/index.ts'
import { dumpfileText, readDumpfile } from '../../../src/streams/index.ts'
import { Cfsctl, initOurs, run } from '../../support/cfsctl.ts'
import { imageOf, ociArchive } from '../../support/image-archive.ts'
import { memoryDirectory } from '../../support/memory-directory.ts'
import { Random } from '../../support/random.ts'
import { writeLayout } from '../../support/random-images.ts'
import { randomRules } from '../../support/random-rules.ts'
import { requireTools } from '../../support/tools.ts'

const { COMPOSEFS_SEED } = process.env
const firstSeed = Number(COMPOSEFS_SEED ?? 0)
const count = 600

const algorithms: readonly Algorithm[] = ['sha256', 'sha512']

// Names that tell expressions apart, hardlinks between directories, every type.
const treeScript = `
mkdir -p usr/a/b usr/ab usr/B boot sysroot etc/selinux/t/contexts/files; cd usr; echo SELINUXTYPE=t > ../etc/selinux/config
for name in b A aa ba bb aB 'a b' a.b a+b a-b - 1 a1 _ '{' 'a{' ']' '[' '^' '$' 'a&b' '&' '~' aaaa abab '!' é éé aé \\
  "$(printf 'a\\nb')" "$(printf 'a\\rb')" "$(printf 'c\\vd')" "$(printf 'a\\200')" "$(printf 'a\\240')" "$(printf '\\377')"; do
  : > "$name"; ln -s x "a/$name"; ln "$name" "B/$name"
done
mkfifo a/pipe; ln b a/zz; ln b B/a; mknod a/null c 1 3; mknod a/loop b 7 0`

/** All policies in one shell, since a process started from here costs more than cfsctl itself. */
const askScript = `
for name; do
  rm -f root/etc/selinux/t/contexts/files/*
  cp "$name"/file_contexts* root/etc/selinux/t/contexts/files
  cfsctl --no-repo create-dumpfile root > "$name/plain"
  cfsctl --no-repo create-dumpfile --bootable root > "$name/bootable" 2> "$name/error" || rm "$name/bootable"
done`

describe.skipIf(requireTools('cfsctl').skip)('cfsctl', () => {
  test('gives the same labels by random policies', async () => {
    const directory = memoryDirectory()
    const root = join(directory, 'root')
    mkdirSync(root)
    await run('sh', ['-c', treeScript], root)
    const names: string[] = []
    for (let seed = firstSeed; seed < firstSeed + count; seed++) {
      const name = `${seed}`
      names.push(name)
      mkdirSync(join(directory, name))
      for (const [suffix, text] of Object.entries(randomRules(new Random(seed)))) {
        writeFileSync(join(directory, name, `file_contexts${suffix}`), text)
      }
    }
    await run('sh', ['-c', askScript, 'sh', ...names], directory)
    const seen = { labelled: 0, refused: 0, refusedByUs: 0, labels: 0 }
    const different: string[] = []
    for (const name of names) {
      const home = join(root, 'etc/selinux/t/contexts/files')
      rmSync(home, { recursive: true })
      mkdirSync(home)
      for (const suffix of ['', '.local', '.subs']) {
        const from = join(directory, name, `file_contexts${suffix}`)
        if (existsSync(from)) cpSync(from, join(home, `file_contexts${suffix}`))
      }
      const tree = readDumpfile(readFileSync(join(directory, name, 'plain')))
      try {
        transformForBoot(tree, { directory: root })
      } catch (error) {
        // What we do not understand we refuse; it must never be labelled otherwise.
        expect(error).toBeInstanceOf(ComposefsError)
        seen.refused++
        if (existsSync(join(directory, name, 'bootable'))) seen.refusedByUs++
        continue
      }
      // PCRE2 takes what we take since 10.43 only.
      if (readFileSync(join(directory, name, 'error'), 'utf8').includes('lookbehind assertion is not fixed length')) {
        seen.refused++
        continue
      }
      const theirs = join(directory, name, 'bootable')
      const text = dumpfileText(tree, { firstNames: true }).toString('latin1')
      if (!existsSync(theirs) || text !== readFileSync(theirs, 'latin1')) {
        different.push(JSON.stringify({ seed: name, rules: randomRules(new Random(Number(name))) }))
      }
      seen.labelled++
      seen.labels += text.split('security.selinux=').length - 1
    }
    expect(different).toEqual([])
    expect(seen.labelled).toBeGreaterThan(count / 2)
    expect(seen.refusedByUs).toBeLessThan(count / 5)
    console.info(
      `${seen.labelled} random policies, ${seen.labels} labels as of cfsctl; ${seen.refused} refused, ${seen.refusedByUs} of them by us alone`,
    )
  })

  test.skipIf(requireTools('tar').skip)('makes the same bootable images of layers with a policy', async () => {
    const directory = memoryDirectory()
    const root = join(directory, 'root')
    mkdirSync(root)
    await run('sh', ['-c', treeScript], root)
    const home = join(root, 'etc/selinux/t/contexts/files')
    const filler = '# more than is kept inline\n'.repeat(5)
    const rules = '/.* d\n/usr/B/.* upper\n/usr/a/.* -l link\n/usr/(?!a).*b late\n/usr/[^/]*/null <<none>>\n'
    writeFileSync(join(home, 'file_contexts'), filler + rules)
    writeFileSync(join(home, 'file_contexts.subs'), '/usr/ab /usr/B\n')
    writeFileSync(join(root, 'boot/vmlinuz'), 'kernel')
    const pack = ['--format=posix', '--sort=name', '--numeric-owner', '-C', root, '-cf', '-', '.']
    const image = imageOf([await run('tar', pack)])
    writeLayout(directory, image)
    for (const algorithm of algorithms) {
      const theirs = await Cfsctl.init(join(directory, `${algorithm}-theirs`), algorithm, 1)
      await theirs.run('oci', 'pull', '--bootable', `oci:${directory}`, 'image')
      const ours = await initOurs(join(directory, `${algorithm}-ours`), algorithm, 1)
      await importArchive(ours, Readable.from([ociArchive(image)]), { name: 'image' })
      const tree = await imageTree(ours, openImage(ours, 'image').config!, { bootable: true })
      const text = dumpfileText(tree, { firstNames: true }).toString('latin1')
      expect(text).toBe(await theirs.run('oci', 'dump', '--bootable', 'image'))
      expect(text.split('security.selinux=').length).toBeGreaterThan(50)
      for (const version of [1, 2] as const) {
        const id = await theirs.run('--erofs-version', `${version}`, 'oci', 'compute-id', '--bootable', 'image')
        expect(fsverityDigest(algorithm, writeImage(tree, { version })).hex).toBe(id.trim())
      }
      const { composefs_boot_erofs: linked } = JSON.parse(await theirs.run('oci', 'inspect', 'image'))
      expect(fsverityDigest(algorithm, writeImage(tree, { version: 1 })).hex).toBe(linked)
      await ours.close()
    }
  })
})
