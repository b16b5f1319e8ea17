/**
 * Random directories on disk, made into images and object stores by us and by the reference tools: the same bytes.
 *
 * COMPOSEFS_SEED chooses other directories than the usual ones.
 */
import { execFile, execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { type DirectorySource, treeOfDirectory, versionRule } from '../../src/cli/mkfs.ts'
import { writeImage } from '../../src/erofs/index.ts'
import { fsverityDigest } from '../../src/fsverity/index.ts'
import { quietRust } from '../support/cfsctl.ts'
import { compileInto } from '../support/compiled.ts'
import { isRoot } from '../support/disk.ts'
import { writeRandomDirectory } from '../support/random-directory.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { requireTools } from '../support/tools.ts'

const { COMPOSEFS_SEED } = process.env
const firstSeed = Number(COMPOSEFS_SEED ?? 0)
const count = { images: 240, flags: 12, hardlinks: 60 }
const execute = promisify(execFile)
if (!isRoot) console.warn('skipped: making devices and trusted attributes takes root')

// One shell makes many images: a process started from here costs more than mkcomposefs itself.
const script = `
directory=$1
shift
cd "$directory"
for seed in *.root; do
  name=$\{seed%.root}
  "$@" "$seed" "$name.image" --digest-store="$name.store" 2> "$name.refused" && rm "$name.refused"
done
true`

/**
 * Counting the bytes of attributes, mkcomposefs goes below zero where a mark of its own takes the place of a longer value
 * (spec: erofs-image, section 3.5).
 */
const miscounted = 'mkcomposefs: cannot write file: Numerical result out of range\n'

/** Writes random directories `N.root`, which the tool makes into `N.image`, with the contents in `N.store`. */
async function prepare(number: number, command: readonly string[], before1970 = true): Promise<string> {
  const directory = temporaryDirectory()
  for (let seed = firstSeed; seed < firstSeed + number; seed++) {
    const root = join(directory, `${seed}.root`)
    mkdirSync(root)
    writeRandomDirectory(root, seed, { before1970 })
  }
  await execute('sh', ['-c', script, 'sh', directory, ...command], { env: quietRust, maxBuffer: 2 ** 26 })
  return directory
}

/** Names, types, modes and contents of what is in a store. */
function storeOf(path: string): Map<string, string> {
  const found = new Map<string, string>()
  if (!existsSync(path)) return found
  for (const name of ['.', ...readdirSync(path, { recursive: true, encoding: 'utf8' })]) {
    const stat = statSync(join(path, name))
    const contents = stat.isFile() ? fsverityDigest('sha256', readFileSync(join(path, name))).hex : ''
    found.set(name, `${stat.mode.toString(8)} ${contents}`)
  }
  return found
}

const namesIn = (path: string): string[] => [...storeOf(path).keys()].filter((name) => name !== '.').sort()

describe.skipIf(requireTools('mkcomposefs').skip || !isRoot)('mkcomposefs', () => {
  test(`makes the same images and stores of ${count.images} random directories`, async () => {
    const directory = await prepare(count.images, ['mkcomposefs'])
    let compared = 0
    let objects = 0
    for (let seed = firstSeed; seed < firstSeed + count.images; seed++) {
      const path = join(directory, `${seed}`)
      const ours = { algorithm: 'sha256', digestStore: `${path}.ours` } as const
      const image = writeImage(await treeOfDirectory(`${path}.root`, ours), versionRule())
      if (existsSync(`${path}.refused`)) {
        expect(readFileSync(`${path}.refused`, 'latin1'), `seed ${seed}`).toBe(miscounted)
        continue
      }
      if (!image.equals(readFileSync(`${path}.image`))) expect.fail(`seed ${seed}: another image`)
      const store = storeOf(`${path}.ours`)
      expect(store, `seed ${seed}`).toEqual(storeOf(`${path}.store`))
      for (const entry of store.values()) if (!entry.endsWith(' ')) objects++
      compared++
    }
    console.info(`${compared} of ${count.images} random directories: images identical, and ${objects} objects`)
    expect(compared).toBeGreaterThan(0.9 * count.images)
    expect(objects).toBeGreaterThan(count.images)
  })

  test('means the same by its options, and so do our commands', async () => {
    const flags = [
      [],
      ['--use-epoch'],
      ['--skip-devices'],
      ['--skip-xattrs'],
      ['--user-xattrs', '--use-ep'],
      ['--min-version=1', '--threads=1'],
      ['--max-version', '0', '--skip-devices', '--user-xattrs'],
      ['--min-version', '0'],
      ['--max-version=1'],
    ]
    const compiled = temporaryDirectory()
    compileInto(compiled)
    const directory = await prepare(count.flags, ['mkcomposefs'])
    const commands = { ours: [process.execPath, join(compiled, 'src/cli/mkcomposefs.js')], theirs: ['mkcomposefs'] }
    let compared = 0
    for (const [i, options] of flags.entries()) {
      const run = ([command, ...args]: readonly string[], output: string): Buffer =>
        execFileSync(command!, [...args, '--print-digest', `${firstSeed + i}.root`, output, ...options], {
          cwd: directory,
        })
      // The image, and its digest behind it.
      const theirs = run(commands.theirs, '-')
      expect(run(commands.ours, '-').equals(theirs), `${options}`).toBe(true)
      const digest = theirs.subarray(-65).toString()
      // The command of our own takes the same options, unabbreviated.
      const mkfs = [process.execPath, join(compiled, 'src/cli/main.js'), 'mkfs']
      const whole = options.map((option) => (option === '--use-ep' ? '--use-epoch' : option))
      const [command, ...args] = [...mkfs, ...whole, '--print-digest', `${firstSeed + i}.root`, 'ours.image']
      expect(execFileSync(command!, args, { cwd: directory }).toString(), `${options}`).toBe(digest)
      expect(readFileSync(join(directory, 'ours.image')).equals(theirs.subarray(0, -65)), `${options}`).toBe(true)
      compared++
    }
    expect(compared).toBe(flags.length)
  })

  test('ends with the same status where it is called wrongly', () => {
    const directory = temporaryDirectory()
    compileInto(directory)
    mkdirSync(join(directory, 'd'))
    const calls = [
      ...[[], ['d'], ['d', 'x', 'y'], [''], ['--bogus', 'd', 'x'], ['-h'], ['--help'], ['--print-d', 'd', 'x']],
      ...[
        ['--use-epoch=1', 'd', 'x'],
        ['--min-version=2', 'd', 'x'],
        ['--min-version=', 'd', 'x'],
        ['d', '--threads'],
      ],
      ...[
        ['--threads=0', 'd', 'x'],
        ['--print-digest-only', 'd', 'x'],
        ['none', 'x'],
        ['package.json', 'x'],
      ],
      ...[
        ['--skip-xattrs', '--user-xattrs', 'd', 'x'],
        ['d', 'none/x'],
        ['--from-file', 'none', 'x'],
      ],
      ...[
        ['--', '--print-digest', 'x'],
        ['--from-file', 'package.json', 'x'],
        ['d', '--', 'x'],
        ['--from-file', 'd', 'x'],
      ],
    ]
    for (const args of calls) {
      const status = (command: string, ...first: string[]) =>
        spawnSync(command, [...first, ...args], { cwd: directory, input: '' }).status
      expect(status(process.execPath, 'src/cli/mkcomposefs.js'), args.join(' ')).toBe(status('mkcomposefs'))
    }
  })

  test('makes the same image of /usr', { timeout: 900_000 }, async () => {
    const theirs = execute('mkcomposefs', ['--print-digest-only', '/usr'])
    const image = writeImage(await treeOfDirectory('/usr', { algorithm: 'sha256' }), versionRule())
    expect(fsverityDigest('sha256', image).hex).toBe((await theirs).stdout.trim())
  })
})

describe.skipIf(requireTools('cfsctl').skip || !isRoot)('cfsctl mkcomposefs', () => {
  test(`makes the same images of ${count.hardlinks} random directories, with hardlinks and without`, async () => {
    for (const hardlinks of [true, false]) {
      const flags = hardlinks ? ['--hardlinks'] : []
      const directory = await prepare(count.hardlinks, ['cfsctl', 'mkcomposefs', ...flags], false)
      for (let seed = firstSeed; seed < firstSeed + count.hardlinks; seed++) {
        const path = join(directory, `${seed}`)
        const ours: DirectorySource = { algorithm: 'sha256', digestStore: `${path}.ours`, hardlinks }
        const fileSystem = await treeOfDirectory(`${path}.root`, ours)
        // It never raises the version, whatever is in the tree.
        const image = writeImage(fileSystem, { version: 0, raise: false })
        if (!image.equals(readFileSync(`${path}.image`))) expect.fail(`seed ${seed}, ${flags}: another image`)
        // The store itself it makes in any case, and its files are not readable by all where the umask forbids it.
        expect(namesIn(`${path}.ours`), `seed ${seed}`).toEqual(namesIn(`${path}.store`))
      }
    }
  })
})
