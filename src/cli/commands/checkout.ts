import type { Command } from 'commander'
import { printable } from '../../bytes.ts'
import { ComposefsError } from '../../errors.ts'
import { ObjectDirectory } from '../../repository/objects.ts'
import type { CheckoutResult } from '../../sinks/checkout.ts'
import { checkoutTree } from '../../sinks/directory-sink.ts'
import type { NotRestored } from '../../sinks/restore-stat.ts'
import { withRepository } from '../context.ts'
import { interruptible } from '../interrupt.ts'
import { objectAlgorithm } from '../object-algorithm.ts'
import { type TreeFlags, treeOptions } from '../options.ts'
import { binarySize, note, printJson } from '../output.ts'
import { checkStore, isDirectory, readTree, treeArgument } from '../read-tree.ts'

interface CheckoutFlags extends TreeFlags {
  readonly basedir?: string
  readonly force?: true
  readonly verify: boolean
  readonly reflink: boolean
  readonly json?: true
  readonly quiet?: true
}

/** So many paths of each kind are named; `--json` names all. */
const maxShown = 10

/** `composefs checkout`: writes the tree of an image out to a directory. */
export function addCheckoutCommand(program: Command): void {
  program
    .command('checkout')
    .description('write the files of an image to a directory')
    .argument('<image>', treeArgument)
    .argument('<dir>', 'a new or empty directory')
    .option('--basedir <dir>', 'an object store; default: that of the repository')
    .option('--force', 'write into a directory that is not empty, and replace files in it')
    .option('--no-verify', 'do not compare contents with their digests')
    .option('--no-reflink', 'copy contents even where blocks could be shared with the object store')
    .option('--json', 'print what was done as JSON, with all that could not be restored')
    .option('-q, --quiet', 'no summary; what could not be restored is said all the same')
    .addOption(treeOptions.xattrs())
    .addOption(treeOptions.root())
    .addOption(treeOptions.implicitParents())
    .addOption(treeOptions.bootable())
    .addHelpText(
      'after',
      '\nThe options from --xattrs on say how the layers of an OCI image become a tree.' +
        '\nOwners, devices, and trusted and security attributes take root: without it they are listed on stderr.' +
        '\n\nExample:\n  composefs checkout --basedir ./repo/objects image.cfs ./root',
    )
    .action(async (name: string, directory: string, flags: CheckoutFlags, command: Command) => {
      if (isDirectory(name)) {
        throw new ComposefsError('ERR_ARGUMENT', 'this is a directory, not an image', {
          path: name,
          hint: 'the image comes first, then the directory; a directory is copied with cp -a',
        })
      }
      const signal = interruptible('the directory is incomplete')
      const result = await checkout(name, directory, flags, command, signal)
      report(result, directory, flags.quiet === true)
      if (flags.json) {
        const notRestored = result.notRestored.map((problem) => ({ ...problem, path: printable(problem.path) }))
        await printJson({ ...result, notRestored })
      }
    })
}

async function checkout(
  name: string,
  directory: string,
  flags: CheckoutFlags,
  command: Command,
  signal: AbortSignal,
): Promise<CheckoutResult> {
  const { basedir, force = false, verify, reflink } = flags
  const options = { force, verify, reflink, signal }
  if (basedir !== undefined) checkStore(basedir)
  const { fileSystem } = await readTree(name, command, flags)
  const algorithm = objectAlgorithm(fileSystem)
  const run = (objects?: ObjectDirectory): Promise<CheckoutResult> =>
    checkoutTree(fileSystem, objects, directory, options)
  if (basedir !== undefined) return run(new ObjectDirectory(basedir, algorithm ?? 'sha256'))
  if (algorithm === undefined) return run()
  return withRepository(command, (repository) => run(repository.objects))
}

function report({ inodes, links, bytes, reflinkedBytes, notRestored }: CheckoutResult, dir: string, quiet: boolean) {
  const kinds = new Map<NotRestored['what'], NotRestored[]>()
  for (const problem of notRestored) {
    const known = kinds.get(problem.what)
    if (known === undefined) kinds.set(problem.what, [problem])
    else known.push(problem)
  }
  for (const [what, problems] of kinds) {
    note(`warning: not restored: ${what}, ${problems.length} times`)
    for (const { path, wanted, actual, reason } of problems.slice(0, maxShown)) {
      const instead = actual === undefined ? '' : `, is ${actual}`
      note(`  ${printable(path)}: ${wanted}${instead}${reason === undefined ? '' : ` (${reason})`}`)
    }
    if (problems.length > maxShown) note(`  and ${problems.length - maxShown} more; --json lists all`)
  }
  if (quiet) return
  const shared = reflinkedBytes === 0 ? '' : `, of which ${binarySize(reflinkedBytes)} shared with the object store`
  note(`${inodes} inodes, ${links} hardlinks, ${binarySize(bytes)}${shared} in ${dir}`)
}
