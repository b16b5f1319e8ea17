import type { Command } from 'commander'
import { escapeControls } from '../../escape.ts'
import type { Algorithm } from '../../fsverity/object-id.ts'
import { diffSteps } from '../../tree/diff.ts'
import { CauseFinder } from '../../tree/diff-causes.ts'
import type { Cause, SideFacts } from '../../tree/diff-facts.ts'
import { DifferenceTally } from '../../tree/diff-tally.ts'
import type { Difference } from '../../tree/difference.ts'
import { Turns } from '../../turns.ts'
import { differenceJson, differenceLines } from '../describe-differences.ts'
import { interruption } from '../interrupt.ts'
import { objectAlgorithm } from '../object-algorithm.ts'
import { type TreeFlags, treeOptions } from '../options.ts'
import { exitStatus, json, print } from '../output.ts'
import { isDirectory, type NamedTree, readTree, treeArgument } from '../read-tree.ts'

interface DiffFlags extends TreeFlags {
  readonly json?: true
  readonly summary?: true
}

/** So much text is collected before it is written. */
const batchSize = 64 * 1024

/** `composefs diff`: says what differs, and why. */
export function addDiffCommand(program: Command): void {
  program
    .command('diff')
    .description('compare two trees: paths, metadata, xattrs, contents, hardlinks; exit 1 where they differ')
    .argument('<a>', `a directory, ${treeArgument}`)
    .argument('<b>', 'the same')
    .option('--summary', 'only how many differences there are of each kind, and the likely cause')
    .option('--json', 'as JSON')
    .addOption(treeOptions.xattrs())
    .addOption(treeOptions.root())
    .addOption(treeOptions.implicitParents())
    .addOption(treeOptions.bootable())
    .addHelpText(
      'after',
      '\nThe options from --xattrs on say how layers and directories become trees; images and dumpfiles are what they are.' +
        '\nExit status: 0 no difference (of two images: the same bytes), 1 differences, 2 trouble.' +
        '\n\nExample:\n  composefs diff image.cfs fedora\n  mkcomposefs ./root - | composefs diff - image.cfs',
    )
    .action(async (nameA: string, nameB: string, flags: DiffFlags, command: Command) => {
      exitStatus.failure = 2
      const [a, b] = await readBoth(nameA, nameB, flags, command)
      const same = await (flags.json ? printJsonReport(a, b) : printReport(a, b, flags))
      if (!same) process.exitCode = 1
    })
}

/** A directory comes second: its files are hashed as those of the other tree are. */
async function readBoth(nameA: string, nameB: string, flags: DiffFlags, command: Command) {
  const read = (name: string, algorithm?: Algorithm): Promise<NamedTree> => readTree(name, command, flags, algorithm)
  if (isDirectory(nameA)) {
    const b = await read(nameB)
    return [await read(nameA, objectAlgorithm(b.fileSystem)), b] as const
  }
  const a = await read(nameA)
  return [a, await read(nameB, objectAlgorithm(a.fileSystem))] as const
}

interface Outcome {
  readonly tally: DifferenceTally
  readonly causes: readonly Cause[]
  /** Images may differ although their trees do not. */
  readonly same: boolean
}

/** Hands on each difference as text; of all of them only numbers are kept. */
async function compare(a: NamedTree, b: NamedTree, text: (difference: Difference) => string): Promise<Outcome> {
  const tally = new DifferenceTally()
  const finder = new CauseFinder({ a: factsOf(a), b: factsOf(b) })
  let batch = ''
  const turns = new Turns(interruption)
  for (const difference of diffSteps(a.fileSystem, b.fileSystem)) {
    if (turns.over) await turns.next()
    if (difference === undefined) continue
    batch += text(difference)
    tally.add(difference)
    finder.add(difference)
    if (batch.length < batchSize) continue
    await print(batch)
    batch = ''
  }
  if (batch !== '') await print(batch)
  const imagesDiffer = a.image !== undefined && b.image !== undefined && !a.image.bytes.equals(b.image.bytes)
  return { tally, causes: finder.causes(), same: tally.total === 0 && !imagesDiffer }
}

function factsOf({ fileSystem, image }: NamedTree): SideFacts {
  const algorithm = objectAlgorithm(fileSystem)
  return {
    tree: fileSystem,
    ...(image !== undefined && { version: image.version }),
    ...(algorithm !== undefined && { algorithm }),
  }
}

async function printReport(a: NamedTree, b: NamedTree, { summary }: DiffFlags): Promise<boolean> {
  const { tally, causes, same } = await compare(a, b, summary ? () => '' : differenceLines)
  if (same) return true
  const count = (n: number): string => n.toLocaleString('en')
  const counted = (n: number, what: string): string => `${count(n)} ${what}${n === 1 ? '' : 's'}`
  const names = escapeControls(`A (${a.name}) and B (${b.name})`)
  const lines =
    tally.total === 0
      ? [`the trees of ${names} are the same, the images are not`]
      : [`${counted(tally.total, 'difference')} on ${counted(tally.paths, 'path')} of ${names}:`]
  for (const line of tally.lines()) lines.push(`  ${count(line.count)} ${line.text}`)
  for (const cause of causes) {
    lines.push(`likely cause: ${cause.text}${cause.count === 0 ? '' : `: ${count(cause.count)} of them`}`)
  }
  await print(`${lines.join('\n')}\n`)
  return same
}

async function printJsonReport(a: NamedTree, b: NamedTree): Promise<boolean> {
  await print(`{"a":${json(a.name)},"b":${json(b.name)},"differences":[`)
  let separator = '\n'
  const { tally, causes, same } = await compare(a, b, (difference) => {
    const text = `${separator}${json(differenceJson(difference))}`
    separator = ',\n'
    return text
  })
  const rest = { same, paths: tally.paths, total: tally.total, summary: tally.lines(), causes }
  await print(`],${json(rest).slice(1)}\n`)
  return same
}
