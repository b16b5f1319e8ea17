import { writeFile } from 'node:fs/promises'
import { type Command, Option } from 'commander'
import { writeImage } from '../../erofs/writer.ts'
import { ComposefsError } from '../../errors.ts'
import { fsverityDigest } from '../../fsverity/merkle.ts'
import type { Algorithm } from '../../fsverity/object-id.ts'
import { readDumpfileFrom } from '../../streams/dumpfile-reader.ts'
import type { FileSystem } from '../../tree/filesystem.ts'
import { inodes } from '../../tree/transform.ts'
import { erofsVersion, globals } from '../context.ts'
import { openInput } from '../input.ts'
import { assertNoTerminal, print, printLine } from '../output.ts'

interface MkfsFlags {
  readonly fromFile?: true
  readonly printDigest?: true
  readonly printDigestOnly?: true
}

/** `composefs mkfs`: an image from a dumpfile. */
export function addMkfsCommand(program: Command): void {
  program
    .command('mkfs')
    .description('make an EROFS image from a dumpfile')
    .argument('<source>', 'the dumpfile, - for stdin')
    .argument('[image]', 'the image, - for stdout')
    .addOption(new Option('--from-file', 'the source is a dumpfile').makeOptionMandatory())
    .option('--print-digest', 'print the image id')
    .option('--print-digest-only', 'print the image id and write no image')
    .addHelpText(
      'after',
      '\nThe id is printed with the hash of the digests in the dumpfile (or --hash, or sha256 where it has none).' +
        '\n\nExample:\n  composefs oci dump fedora | composefs mkfs --from-file --print-digest - image.cfs',
    )
    .action(async (source: string, image: string | undefined, flags: MkfsFlags, command: Command) => {
      const options = globals(command)
      if (image === undefined && !flags.printDigestOnly) {
        throw new ComposefsError('ERR_ARGUMENT', 'say where the image goes', { hint: 'or give --print-digest-only' })
      }
      if (image === '-' && flags.printDigest) {
        throw new ComposefsError('ERR_ARGUMENT', 'the image and its id cannot both go to stdout', {
          hint: 'give --print-digest-only, or a file for the image',
        })
      }
      if (image === '-') assertNoTerminal('an image')
      const input = await openInput(source)
      const fileSystem = await readDumpfileFrom(input)
      const bytes = writeImage(fileSystem, { version: erofsVersion(options) ?? 1 })
      if (!flags.printDigestOnly) await (image === '-' ? print(bytes) : writeFile(image!, bytes))
      if (flags.printDigest || flags.printDigestOnly) {
        await printLine(fsverityDigest(options.hash ?? algorithmOf(fileSystem), bytes).hex)
      }
    })
}

function algorithmOf(fileSystem: FileSystem): Algorithm {
  for (const inode of inodes(fileSystem)) {
    if (inode.kind === 'leaf' && inode.content.type === 'external' && inode.content.id !== undefined) {
      return inode.content.id.algorithm
    }
  }
  return 'sha256'
}
