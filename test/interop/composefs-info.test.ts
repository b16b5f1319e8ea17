/**
 * What composefs-info says of images, of random dumpfiles and of random directories, and what we say: the same bytes.
 *
 * COMPOSEFS_SEED chooses other images than the usual ones.
 */
import { execFile, spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import type { ByteString } from '../../src/bytes.ts'
import { backingPaths, listing } from '../../src/cli/describe-paths.ts'
import { treeOfDirectory, versionRule } from '../../src/cli/mkfs.ts'
import { storedText } from '../../src/cli/stored-lines.ts'
import { filterTopLevel, topLevelFilter } from '../../src/cli/top-level.ts'
import { readImage, writeImage } from '../../src/erofs/index.ts'
import { readDumpfile } from '../../src/streams/dumpfile-reader.ts'
import type { FileSystem } from '../../src/tree/filesystem.ts'
import { inodes } from '../../src/tree/transform.ts'
import { compileInto } from '../support/compiled.ts'
import { isRoot } from '../support/disk.ts'
import { writeRandomDirectory } from '../support/random-directory.ts'
import { randomDumpfile } from '../support/random-dumpfile.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { requireTools } from '../support/tools.ts'

const { COMPOSEFS_SEED } = process.env
const firstSeed = Number(COMPOSEFS_SEED ?? 0)
const count = { dumpfiles: 200, directories: 40 }
const execute = promisify(execFile)
if (!isRoot) console.warn('skipped: making devices and trusted attributes takes root')

// The filters are names that random trees have.
const script = `
cd "$1"
for image in *.image; do
  for command in ls dump objects missing-objects; do composefs-info $command "$image" > "$image.$command" || exit 1; done
  for command in ls dump; do composefs-info --filter=usr --filter=a $command "$image" > "$image.$command-some" || exit 1; done
  composefs-info --basedir=store missing-objects "$image" > "$image.missing" || exit 1
done`

/** Beside each image what composefs-info says of it, in files. */
async function ask(directory: string): Promise<void> {
  mkdirSync(join(directory, 'store'), { recursive: true })
  await execute('sh', ['-c', script, 'sh', directory])
}

/**
 * Changes what the C reader gets wrong. Where the value of a path ends at a multiple of four it takes up to two bytes behind
 * it for a part of the path (spec: erofs-image, section 16). And it takes files with contents for whiteouts where they
 * have an attribute that the kernel believes of empty files alone. The last attribute of an inode it does not see where
 * both the value and what is stored of the name are empty.
 */
const misread = /^(trusted\.overlay\.whiteout|system\.posix_acl_(access|default)|(user|trusted|security)\.)$/

function avoidMisreading(fileSystem: FileSystem): void {
  for (const inode of inodes(fileSystem)) {
    const { stat } = inode
    inode.stat = { ...stat, xattrs: stat.xattrs.filter((name) => !misread.test(name)) }
    if (inode.kind !== 'leaf' || inode.content.type !== 'external' || !inode.content.path) continue
    const { path } = inode.content
    if (path.length % 4 === 3) inode.content = { ...inode.content, path: `${path}+` as ByteString }
  }
}

function compare(path: string): void {
  const image = readFileSync(path)
  const { fileSystem } = readImage(image)
  const some = topLevelFilter(['usr', 'a'])
  const text = (lines: string) => Buffer.from(lines, 'latin1')
  const paths = text(
    backingPaths([fileSystem])
      .map((line) => `${line}\n`)
      .join(''),
  )
  const ours: Record<string, Buffer> = {
    ls: Buffer.concat([...listing(fileSystem, true)]),
    dump: Buffer.concat([...storedText(image, () => true)]),
    objects: paths,
    'missing-objects': paths,
    'dump-some': Buffer.concat([...storedText(image, some)]),
  }
  filterTopLevel(fileSystem, some)
  ours['ls-some'] = Buffer.concat([...listing(fileSystem, true)])
  for (const [command, said] of Object.entries(ours)) {
    const theirs = readFileSync(`${path}.${command}`, 'latin1')
    expect(said.toString('latin1'), `${command} of ${path}`).toBe(theirs)
  }
}

describe.skipIf(requireTools('composefs-info').skip)('composefs-info', () => {
  test(`says the same of ${count.dumpfiles} images of random dumpfiles`, async () => {
    const directory = temporaryDirectory()
    for (let seed = firstSeed; seed < firstSeed + count.dumpfiles; seed++) {
      const fileSystem = readDumpfile(randomDumpfile(seed).text)
      avoidMisreading(fileSystem)
      writeFileSync(join(directory, `${seed}.image`), writeImage(fileSystem, { version: seed % 2 === 0 ? 0 : 1 }))
    }
    await ask(directory)
    for (let seed = firstSeed; seed < firstSeed + count.dumpfiles; seed++) compare(join(directory, `${seed}.image`))
  })

  test.skipIf(!isRoot)(`says the same of ${count.directories} images of random directories`, async () => {
    const directory = temporaryDirectory()
    for (let seed = firstSeed; seed < firstSeed + count.directories; seed++) {
      const root = join(directory, `${seed}.root`)
      mkdirSync(root)
      writeRandomDirectory(root, seed)
      // Every other one has its objects in the store.
      const digestStore = seed % 2 === 0 ? undefined : join(directory, 'store')
      const fileSystem = await treeOfDirectory(root, { algorithm: 'sha256', digestStore, hardlinks: true })
      writeFileSync(join(directory, `${seed}.image`), writeImage(fileSystem, versionRule()))
    }
    await ask(directory)
    for (let seed = firstSeed; seed < firstSeed + count.directories; seed++) compare(join(directory, `${seed}.image`))
  })

  test('takes the same arguments', async () => {
    const directory = temporaryDirectory()
    compileInto(directory)
    const id = 'ab'.repeat(32)
    const other = `${id.slice(0, 60)}cdef`
    const line = (name: string, hex: string) =>
      `/${name} 100 100644 1 0 0 0 0.0 ${hex.slice(0, 2)}/${hex.slice(2)} - ${hex}\n`
    const image = (name: string, lines: string) =>
      writeFileSync(
        join(directory, name),
        writeImage(readDumpfile(Buffer.from(`/ 0 40755 2 0 0 0 0.0 - - -\n${lines}`))),
      )
    image('one', line('a\\x20b', id) + line('c', other))
    image('two', `${line('c', id)}/etc 0 40755 2 0 0 0 0.0 - - -\n/etc/x 0 120777 1 0 0 0 0.0 y - -\n`)
    mkdirSync(join(directory, 'store/ab'), { recursive: true })
    writeFileSync(join(directory, 'store/ab', id.slice(2)), '')
    for (const size of [1, 4096, 4097, 600_000])
      writeFileSync(join(directory, `size-${size}`), Buffer.alloc(size, size))
    const calls = [
      ...[
        ['ls', 'one', 'two'],
        ['dump', 'one', 'two'],
        ['objects', 'two', 'one'],
        ['missing-objects', 'one', 'two'],
      ],
      ...[
        ['--basedir=store', 'missing-objects', 'one', 'two'],
        ['missing-objects', 'one', '--base', 'store'],
      ],
      ...[
        ['--basedir', 'src', 'missing-objects', 'one'],
        ['--filter=etc', 'ls', 'one', 'two'],
        ['ls', 'two', '--f', 'c'],
      ],
      ...[
        ['dump', '--filter', 'none', 'two'],
        ['objects', '--filter=c', 'one', 'two'],
        ['--', 'ls', 'one'],
      ],
      ...[
        ['measure-file', 'size-1', 'size-4096', 'size-4097', 'size-600000'],
        ['measure-file', 'one', 'none'],
      ],
      ...[['ls', 'one', 'none'], ['ls', 'one', 'size-4096'], ['ls', '--', '--filter'], ['ls'], [], ['measure-file']],
      ...[
        ['bogus', 'one'],
        ['--filter=a/b', 'ls', 'one'],
        ['--basedir=none', 'ls', 'one'],
        ['--basedir=one', 'ls', 'one'],
      ],
    ]
    for (const args of calls) {
      const run = (command: string, ...first: string[]) => {
        const { status, stdout } = spawnSync(command, [...first, ...args], { cwd: directory, encoding: 'latin1' })
        return { status, stdout }
      }
      expect(run(process.execPath, 'src/cli/composefs-info.js'), args.join(' ')).toEqual(run('composefs-info'))
    }
    const usage = ['--bogus', '-h', '--basedir'].map(
      (arg) => spawnSync(process.execPath, ['src/cli/composefs-info.js', 'ls', arg], { cwd: directory }).status,
    )
    expect(usage).toEqual([1, 1, 1])
  })
})
