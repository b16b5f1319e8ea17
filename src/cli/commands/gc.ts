import type { Command } from 'commander'
import { ComposefsError } from '../../errors.ts'
import type { GarbageResult, GarbageWarning } from '../../repository/gc.ts'
import { opening, withRepository } from '../context.ts'
import { note, printJson, printLine } from '../output.ts'

interface GcFlags {
  readonly root: readonly string[]
  readonly dryRun?: true
  readonly all?: true
  readonly olderThan?: string
  readonly json?: true
}

const reasons: Readonly<Record<GarbageWarning['reason'], string>> = {
  'dangling-ref': 'a name that leads to nothing',
  'foreign-link': 'a link that leads to no object of this repository',
  'missing-object': 'an object that something needs, and that is not there',
  stray: 'nothing that a repository has',
}

/** `composefs gc`. */
export function addGcCommand(program: Command): void {
  program
    .command('gc')
    .description('remove what no name leads to')
    .option('-r, --root <name>', 'keep this stream or image as well; may be given again', collect, [])
    .option('-n, --dry-run', 'only say what would be removed')
    .option('--all', 'remove everything where nothing has a name')
    .option('--older-than <time>', 'age of leftovers of programs that take no lock: 90s, 30m, 12h, 7d (default: 1d)')
    .option('--json', 'as JSON')
    .addHelpText('after', '\nExample:\n  composefs --repo ./repo gc --dry-run')
    .action((flags: GcFlags, command: Command) => {
      const olderThan = flags.olderThan === undefined ? undefined : milliseconds(flags.olderThan)
      return withRepository(command, async (repository) => {
        const warnings: GarbageWarning[] = []
        const result = await repository.collectGarbage({
          ...opening,
          roots: flags.root,
          dryRun: flags.dryRun ?? false,
          all: flags.all ?? false,
          ...(olderThan !== undefined && { olderThan }),
          onWarning: (warning) => {
            if (flags.json) warnings.push(warning)
            else note(`left alone: ${warning.path}: ${reasons[warning.reason]}`)
          },
        })
        if (flags.json) return printJson(asJson(result, warnings))
        for (const line of describe(result)) await printLine(line)
      })
    })
}

const collect = (value: string, before: readonly string[]): string[] => [...before, value]

const units: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

function milliseconds(text: string): number {
  const [, number, unit = 's'] = /^(\d{1,9})([smhd])?$/.exec(text) ?? []
  if (number !== undefined) return Number(number) * units[unit]!
  throw new ComposefsError('ERR_ARGUMENT', `not a time: ${JSON.stringify(text)}`, {
    hint: 'write seconds, or 30m, 12h, 7d',
  })
}

/** The first lines are those of cfsctl. */
function* describe(result: GarbageResult): Generator<string, void, undefined> {
  const { dryRun, objects, images, streams, temporaries, directories } = result
  if (dryRun) yield 'Dry run (no files deleted):'
  yield `Objects: ${objects.count} removed (${objects.bytes} bytes)`
  if (images + streams > 0) yield `Pruned symlinks: ${images} images, ${streams} streams`
  if (temporaries.count > 0) yield `Temporary files: ${temporaries.count} removed (${temporaries.bytes} bytes)`
  if (directories > 0) yield `Empty directories: ${directories} removed`
}

const asJson = (result: GarbageResult, warnings: readonly GarbageWarning[]) => ({
  dry_run: result.dryRun,
  objects_removed: result.objects.count,
  objects_bytes: result.objects.bytes,
  images_pruned: result.images,
  streams_pruned: result.streams,
  temporaries_removed: result.temporaries.count,
  temporaries_bytes: result.temporaries.bytes,
  directories_removed: result.directories,
  objects_kept: result.keptObjects,
  left_alone: warnings,
})
