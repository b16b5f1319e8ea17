/**
 * Random dumpfiles, made into images by us and by the reference tools: the same bytes.
 *
 * COMPOSEFS_SEED chooses other dumpfiles than the usual ones.
 */
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { type WriteImageOptions, writeImage } from '../../src/erofs/index.ts'
import { ComposefsError } from '../../src/errors.ts'
import { readDumpfile } from '../../src/streams/dumpfile-reader.ts'
import { mutateDumpfile } from '../support/mutate-dumpfile.ts'
import { Random } from '../support/random.ts'
import { randomDumpfile } from '../support/random-dumpfile.ts'
import { requireTools } from '../support/tools.ts'

const { COMPOSEFS_SEED } = process.env
const firstSeed = Number(COMPOSEFS_SEED ?? 0)
const count = { c: 2000, rust: 2000, spoilt: 1000 }
const batchSize = 50
const execute = promisify(execFile)

/** A reference tool with its arguments, and how we have to be asked for the same. */
interface Reference {
  readonly command: readonly [string, ...string[]]
  readonly ours: WriteImageOptions
}

const c: Record<string, Reference> = {
  'mkcomposefs with default versions': { command: ['mkcomposefs'], ours: { version: 0, raise: true } },
  'mkcomposefs --min-version=1': { command: ['mkcomposefs', '--min-version=1'], ours: { version: 1 } },
}
// It never raises version 0, whatever is in the tree.
const rust: Record<string, Reference> = {
  'cfsctl mkcomposefs --min-version=0': {
    command: ['cfsctl', 'mkcomposefs', '--min-version=0'],
    ours: { version: 0, raise: false },
  },
  'cfsctl mkcomposefs --min-version=1': {
    command: ['cfsctl', 'mkcomposefs', '--min-version=1'],
    ours: { version: 1 },
  },
}

// One shell makes many images: a process started from here costs more than mkcomposefs itself.
const script = `
for dump in *.dump; do
  name=$\{dump%.dump}
  "$@" --from-file "$dump" "$name.image" 2> "$name.error" || mv "$name.error" "$name.refused"
done`

/** The images that the tool makes of texts, or what it says instead. */
async function ask(
  command: readonly string[],
  texts: ReadonlyMap<number, Buffer>,
): Promise<Map<number, Buffer | string>> {
  const directory = await mkdtemp(join(tmpdir(), 'composefs-mkfs-'))
  try {
    for (const [seed, text] of texts) await writeFile(join(directory, `${seed}.dump`), text)
    await execute('sh', ['-c', script, 'sh', ...command], {
      cwd: directory,
      env: { ...process.env, RUST_BACKTRACE: '0' },
    })
    const files = new Set(await readdir(directory))
    const answers = new Map<number, Buffer | string>()
    for (const seed of texts.keys()) {
      const file = (suffix: string) => join(directory, `${seed}.${suffix}`)
      const isRefused = files.has(`${seed}.refused`)
      answers.set(seed, isRefused ? await readFile(file('refused'), 'latin1') : await readFile(file('image')))
    }
    return answers
  } finally {
    await rm(directory, { recursive: true })
  }
}

function make(text: Buffer, options: WriteImageOptions): Buffer | ComposefsError {
  try {
    return writeImage(readDumpfile(text), options)
  } catch (error) {
    if (error instanceof ComposefsError) return error
    throw error
  }
}

/** Texts by their seeds, some at a time, to a function that may be busy with several batches. */
async function forBatches(
  number: number,
  make: (seed: number) => Buffer,
  each: (texts: ReadonlyMap<number, Buffer>) => Promise<void>,
): Promise<void> {
  let next = firstSeed
  const work = async () => {
    while (next < firstSeed + number) {
      const texts = new Map<number, Buffer>()
      for (; texts.size < batchSize && next < firstSeed + number; next++) texts.set(next, make(next))
      await each(texts)
    }
  }
  await Promise.all([work(), work()])
}

/** Keeps the text for whoever looks into it. */
function keep(seed: number, text: Buffer): string {
  const path = join(tmpdir(), `composefs-${seed}.dump`)
  writeFileSync(path, text)
  return `seed ${seed}, kept as ${path}`
}

async function compare(number: number, references: Record<string, Reference>, isRust: boolean): Promise<void> {
  let compared = 0
  const random = (seed: number) => randomDumpfile(seed, { rust: isRust }).text
  await forBatches(number, random, async (texts) => {
    for (const [name, { command, ours }] of Object.entries(references)) {
      for (const [seed, theirs] of await ask(command, texts)) {
        const text = texts.get(seed)!
        if (typeof theirs === 'string') expect.fail(`${name} refuses: ${theirs} (${keep(seed, text)})`)
        const image = make(text, ours)
        if (image instanceof ComposefsError) expect.fail(`${image.message} (${keep(seed, text)})`)
        if (!image.equals(theirs)) expect.fail(`${name} makes another image (${keep(seed, text)})`)
        compared++
      }
    }
  })
  console.info(`${number} random dumpfiles, ${compared} images identical: ${Object.keys(references).join(', ')}`)
  expect(compared).toBe(number * Object.keys(references).length)
}

describe.skipIf(requireTools('mkcomposefs').skip)('mkcomposefs', () => {
  test('makes the same images', () => compare(count.c, c, false))

  test('refuses the same, or takes what we refuse for a reason', async () => {
    // Numbers and digests that are none, NUL, line ends of Windows, and links to directories.
    const stricter = new Set([
      'ERR_DUMPFILE_SYNTAX',
      'ERR_DUMPFILE_VALUE',
      'ERR_DIGEST_SYNTAX',
      'ERR_PATH_INVALID',
      'ERR_HARDLINK_TARGET',
    ])
    const tally = { both: 0, neither: 0, stricter: 0 }
    const spoilt = (seed: number) => mutateDumpfile(new Random(seed), randomDumpfile(seed).text)
    await forBatches(count.spoilt, spoilt, async (texts) => {
      // A circle of hardlinks may keep the C tool busy for ever.
      for (const [seed, theirs] of await ask(['timeout', '20', 'mkcomposefs'], texts)) {
        const text = texts.get(seed)!
        const ours = make(text, { version: 0 })
        if (ours instanceof ComposefsError) {
          if (typeof theirs === 'string') tally.neither++
          else if (stricter.has(ours.code)) tally.stricter++
          else expect.fail(`only we refuse: ${ours.message} (${keep(seed, text)})`)
          continue
        }
        if (typeof theirs === 'string') expect.fail(`only mkcomposefs refuses: ${theirs} (${keep(seed, text)})`)
        if (!theirs.equals(ours)) expect.fail(`mkcomposefs makes another image (${keep(seed, text)})`)
        tally.both++
      }
    })
    console.info(`${count.spoilt} spoilt dumpfiles`, tally)
    expect(tally.both).toBeGreaterThan(count.spoilt / 20)
    expect(tally.neither).toBeGreaterThan(count.spoilt / 4)
    expect(tally.stricter).toBeLessThan(count.spoilt / 10)
  })
})

describe.skipIf(requireTools('cfsctl').skip)('cfsctl', () => {
  test('makes the same images', () => compare(count.rust, rust, true))
})
