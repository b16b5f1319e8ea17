import { type Command, Option } from 'commander'
import type { WriteImageOptions } from '../../erofs/writer.ts'
import { ComposefsError } from '../../errors.ts'
import type { Algorithm } from '../../fsverity/object-id.ts'
import { erofsVersion, type GlobalOptions, globals } from '../context.ts'
import { assertWritable, treeOfDirectory, treeOfDumpfile, versionRule, writeTree } from '../mkfs.ts'
import { objectAlgorithm } from '../object-algorithm.ts'
import { statOf } from '../read-tree.ts'

interface MkfsFlags {
  readonly fromFile?: true
  readonly printDigest?: true
  readonly printDigestOnly?: true
  readonly digestStore?: string
  readonly skipDevices?: true
  readonly skipXattrs?: true
  readonly userXattrs?: true
  readonly useEpoch?: true
  readonly hardlinks?: true
  readonly minVersion?: string
  readonly maxVersion?: string
}

const ofDirectories = [
  ['digestStore', '--digest-store'],
  ['skipDevices', '--skip-devices'],
  ['skipXattrs', '--skip-xattrs'],
  ['userXattrs', '--user-xattrs'],
  ['useEpoch', '--use-epoch'],
  ['hardlinks', '--hardlinks'],
] as const

/** `composefs mkfs`: an image from a directory or a dumpfile. */
export function addMkfsCommand(program: Command): void {
  program
    .command('mkfs')
    .description('make an EROFS image from a directory, as it is, or from a dumpfile')
    .argument('<source>', 'the directory; with --from-file the dumpfile, - for stdin')
    .argument('[image]', 'the image, - for stdout')
    .option('--from-file', 'the source is a dumpfile')
    .option('--print-digest', 'print the image id')
    .option('--print-digest-only', 'print the image id and write no image')
    .option('--digest-store <dir>', 'store the contents of files above 64 bytes here')
    .option('--use-epoch', 'all times are 0')
    .option('--skip-devices', 'leave out devices')
    .option('--skip-xattrs', 'leave out extended attributes')
    .option('--user-xattrs', 'leave out extended attributes but those of users (user.)')
    .option('--hardlinks', 'names of one file share it; otherwise, as with mkcomposefs, each is a file of its own')
    .option('--min-version <n>', 'image format 0 or 1 at least')
    .option('--max-version <n>', 'image format 0 or 1 at most: 1 lets a whiteout raise 0 to 1')
    .addOption(
      new Option('--threads <n>', 'taken for the sake of mkcomposefs; digests have a thread anyway').hideHelp(),
    )
    .addHelpText(
      'after',
      '\nThe image of a directory is that of mkcomposefs, bit for bit: sha256 unless --hash says otherwise, image format 0,' +
        '\nor 1 where there are whiteouts. That of a dumpfile has format 1 unless an option says otherwise, and its id the' +
        '\nhash of the digests in it (or --hash, or sha256 where it has none). For the image that the layers of a container' +
        '\ngive see create-image.' +
        '\n\nExamples:' +
        '\n  composefs mkfs --digest-store ./objects --print-digest ./root image.cfs' +
        '\n  composefs oci dump fedora | composefs mkfs --from-file --print-digest - image.cfs',
    )
    .action(async (source: string, image: string | undefined, flags: MkfsFlags, command: Command) => {
      const options = globals(command)
      const { fromFile = false, printDigest = false, printDigestOnly = false } = flags
      checkOutput(image, printDigest, printDigestOnly)
      const format = formatOf(options, flags) ?? (fromFile ? { version: 1 } : versionRule())
      const { tree, algorithm } = await read(source, flags, options)
      const digest = printDigest || printDigestOnly ? algorithm : undefined
      await writeTree(tree, { image, format, digest })
    })
}

function checkOutput(image: string | undefined, printDigest: boolean, printDigestOnly: boolean): void {
  if (image === undefined && !printDigestOnly) {
    throw new ComposefsError('ERR_ARGUMENT', 'say where the image goes', { hint: 'or give --print-digest-only' })
  }
  if (image !== undefined && printDigestOnly) {
    throw new ComposefsError('ERR_ARGUMENT', '--print-digest-only writes no image', {
      hint: 'give --print-digest to have both',
    })
  }
  if (image === '-' && printDigest) {
    throw new ComposefsError('ERR_ARGUMENT', 'the image and its id cannot both go to stdout', {
      hint: 'give --print-digest-only, or a file for the image',
    })
  }
  assertWritable(image)
}

async function read(source: string, flags: MkfsFlags, { hash }: GlobalOptions) {
  if (!flags.fromFile) {
    if (statOf(source)?.isFile()) {
      const hint = 'give --from-file for a dumpfile; the source comes first, then the image'
      throw new ComposefsError('ERR_NOT_DIRECTORY', 'this is a file, not a directory', { path: source, hint })
    }
    const algorithm: Algorithm = hash ?? 'sha256'
    return { tree: await treeOfDirectory(source, { ...flags, algorithm }), algorithm }
  }
  for (const [name, option] of ofDirectories) {
    if (flags[name] !== undefined) throw new ComposefsError('ERR_ARGUMENT', `${option} is not for dumpfiles`)
  }
  const tree = await treeOfDumpfile(source)
  return { tree, algorithm: hash ?? objectAlgorithm(tree) ?? 'sha256' }
}

/** Undefined where no option speaks of it. */
function formatOf(options: GlobalOptions, { minVersion, maxVersion }: MkfsFlags): WriteImageOptions | undefined {
  const version = erofsVersion(options)
  if (minVersion === undefined && maxVersion === undefined) return version === undefined ? undefined : { version }
  if (version !== undefined) {
    throw new ComposefsError('ERR_ARGUMENT', '--erofs-version excludes --min-version and --max-version')
  }
  return versionRule(wholeNumber(minVersion), wholeNumber(maxVersion))
}

const wholeNumber = (text: string | undefined): number | undefined => (text === undefined ? undefined : Number(text))
