import type { Command } from 'commander'
import { fromLatin1 } from '../../bytes.ts'
import { imageObjectsSteps } from '../../erofs/objects.ts'
import { makeImage } from '../../erofs/writer.ts'
import { ComposefsError } from '../../errors.ts'
import type { ObjectId } from '../../fsverity/object-id.ts'
import { dumpfileChunks, homeItems } from '../../streams/dumpfile-writer.ts'
import { inTurns } from '../../turns.ts'
import { withRepository } from '../context.ts'
import { isBelow, listing } from '../describe-paths.ts'
import { interruption } from '../interrupt.ts'
import { several } from '../options.ts'
import { print, printAll, printJson } from '../output.ts'
import { checkStore, fromRepository, isDirectory, readTree, statOf, treeArgument } from '../read-tree.ts'
import { readStoredImage } from '../stored-tree.ts'
import { filterTopLevel, topLevelFilter } from '../top-level.ts'
import { readTreeInput } from '../tree-input.ts'

/** Commands on one image, in a file or in the repository. */
export function addImageCommands(program: Command): void {
  program
    .command('ls')
    .description('list the paths of an image')
    .argument('<image>', treeArgument)
    .option('--filter <name>', 'only this entry of the root directory; may be given again', several)
    .addHelpText('after', '\nExample:\n  composefs ls image.cfs')
    .action(async (name: string, flags: { filter?: string[] }, command: Command) => {
      const fileSystem = await filteredTree(name, flags, command)
      await printAll(listing(fileSystem))
    })

  program
    .command('dump')
    .description('write the dumpfile of an image')
    .argument('<image>', treeArgument)
    .option('--filter <name>', 'only this entry of the root directory; may be given again', several)
    .addHelpText('after', '\nExample:\n  composefs dump image.cfs > image.dump')
    .action(async (name: string, flags: { filter?: string[] }, command: Command) => {
      await printAll(dumpfileChunks(homeItems(await filteredTree(name, flags, command))))
    })

  program
    .command('objects')
    .description('list the objects that an image needs')
    .argument('<image>', treeArgument)
    .option('--json', 'as JSON')
    .addHelpText('after', '\nExample:\n  composefs objects image.cfs')
    .action(async (name: string, flags: { json?: true }, command: Command) => {
      await printObjects(await inTurns(imageObjectsSteps(await imageBytes(name, command)), interruption), flags)
    })

  program
    .command('missing-objects')
    .description('list the objects that an image needs and the store does not have')
    .argument('<image>', treeArgument)
    .option('--basedir <dir>', 'an object store; default: that of the repository')
    .option('--json', 'as JSON')
    .addHelpText('after', '\nExample:\n  composefs missing-objects --basedir ./repo/objects image.cfs')
    .action(async (name: string, flags: { basedir?: string; json?: true }, command: Command) => {
      const { basedir } = flags
      if (basedir !== undefined) checkStore(basedir)
      const needed = await inTurns(imageObjectsSteps(await imageBytes(name, command)), interruption)
      const missing = (has: (id: ObjectId) => boolean): ObjectId[] => needed.filter((id) => !has(id))
      const ids =
        basedir === undefined
          ? await withRepository(command, async (repository) => missing((id) => repository.hasObject(id)))
          : missing((id) => isBelow(basedir, fromLatin1(id.path)))
      await printObjects(ids, flags)
    })
}

function printObjects(ids: readonly ObjectId[], flags: { readonly json?: true }): Promise<void> {
  if (flags.json) return printJson({ objects: ids.map(({ hex }) => hex) })
  return print(ids.map(({ path }) => `${path}\n`).join(''))
}

async function filteredTree(name: string, { filter = [] }: { readonly filter?: string[] }, command: Command) {
  const keeps = topLevelFilter(filter)
  refuseDirectory(name)
  const { fileSystem } = await readTree(name, command, {})
  filterTopLevel(fileSystem, keeps)
  return fileSystem
}

/** A file comes first; what is none is looked up in the repository. Of a dumpfile it is the image that it describes. */
async function imageBytes(name: string, command: Command): Promise<Buffer> {
  refuseDirectory(name)
  if (name !== '-' && statOf(name) === undefined) {
    return fromRepository(name, command, (repository) => readStoredImage(repository, name))
  }
  const input = await readTreeInput(name)
  return 'image' in input ? input.image : makeImage(input.fileSystem, { signal: interruption })
}

function refuseDirectory(name: string): void {
  if (!isDirectory(name)) return
  throw new ComposefsError('ERR_ARGUMENT', 'this is a directory, not an image', {
    path: name,
    hint: 'make one of it with mkfs or create-image, or see its files with create-dumpfile',
  })
}
