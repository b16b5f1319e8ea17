#!/usr/bin/env node
/**
 * The `mkcomposefs` command, for scripts that call the C tool of that name: the same arguments, the same results.
 *
 * @packageDocumentation
 */
import { availableParallelism } from 'node:os'
import { ComposefsError } from '../errors.ts'
import { describeError, isUsageError } from './failure.ts'
import { getoptLong } from './getopt.ts'
import { assertWritable, treeOfDirectory, treeOfDumpfile, versionRule, writeTree } from './mkfs.ts'
import { note } from './output.ts'
import { run } from './run.ts'

const takesValue = {
  'digest-store': true,
  'use-epoch': false,
  'skip-devices': false,
  'skip-xattrs': false,
  'user-xattrs': false,
  'print-digest': false,
  'print-digest-only': false,
  'from-file': false,
  'min-version': true,
  'max-version': true,
  threads: true,
} as const

const usage = `Usage: mkcomposefs [OPTIONS] SOURCE IMAGE
Options:
  --digest-store=PATH   Store the contents of files above 64 bytes in this directory
  --use-epoch           All times are 0
  --skip-devices        Leave out devices
  --skip-xattrs         Leave out extended attributes
  --user-xattrs         Leave out extended attributes but user.*
  --print-digest        Print the digest of the image
  --print-digest-only   Print the digest of the image, write no image
  --from-file           The source is a dumpfile, not a directory
  --min-version=N       Image format 0 or 1 at least (default=0)
  --max-version=N       Image format 0 or 1 at most (default=1)
  --threads=N           Taken, and without effect (default=${availableParallelism()})`

async function mkcomposefs(args: readonly string[]): Promise<void> {
  const { options, operands } = getoptLong(args, takesValue)
  const given = new Map(options.map(({ name, value }) => [name, value]))
  const has = (name: keyof typeof takesValue): boolean => given.has(name)
  const format = versionRule(number(given.get('min-version'), 'version'), number(given.get('max-version'), 'version'))
  if ((number(given.get('threads'), 'number of threads') ?? 1) < 1) throw wrong('the number of threads is at least 1')

  const [source, image] = operands
  if (source === undefined) throw wrong('say which source')
  if (source === '') throw wrong('the path of the source is empty')
  if (operands.length > 2) throw wrong('there are too many arguments')
  if (has('print-digest-only') && image !== undefined) throw wrong('--print-digest-only writes no image')
  if (!has('print-digest-only') && image === undefined) throw wrong('say where the image goes')
  assertWritable(image)

  const tree = has('from-file')
    ? await treeOfDumpfile(source, process.env['CFS_PARSE_STRICT'] !== undefined)
    : await treeOfDirectory(source, {
        algorithm: 'sha256',
        digestStore: given.get('digest-store'),
        skipDevices: has('skip-devices'),
        skipXattrs: has('skip-xattrs'),
        userXattrs: has('user-xattrs'),
        useEpoch: has('use-epoch'),
      })
  const digest = has('print-digest') || has('print-digest-only') ? 'sha256' : undefined
  await writeTree(tree, { image, format, digest })
}

/** Reads what strtol(3) reads. */
function number(text: string | undefined, what: string): number | undefined {
  if (text === undefined || /^\s*[+-]?\d+$/.test(text)) return text === undefined ? undefined : Number(text)
  throw wrong(`${JSON.stringify(text)} is no ${what}`)
}

const wrong = (what: string): ComposefsError => new ComposefsError('ERR_ARGUMENT', what)

function report(error: unknown): void {
  note(`mkcomposefs: ${describeError(error).message}`)
  if (isUsageError(error)) for (const line of usage.split('\n')) note(line)
  process.exitCode = 1
}

await run(() => mkcomposefs(process.argv.slice(2)), report)
