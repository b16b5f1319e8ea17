import { existsSync } from 'node:fs'
import type { Command } from 'commander'
import { fromLatin1 } from '../../bytes.ts'
import { imageObjects, readImage } from '../../erofs/index.ts'
import type { ObjectId } from '../../fsverity/object-id.ts'
import { dumpfileText } from '../../streams/dumpfile-writer.ts'
import { withRepository } from '../context.ts'
import { isBelow, listing } from '../describe-paths.ts'
import { several } from '../options.ts'
import { print, printJson } from '../output.ts'
import { filterTopLevel, topLevelFilter } from '../top-level.ts'
import { readImageInput } from '../tree-input.ts'

const imageArgument = 'an image file, - for stdin, or the id or name of an image of the repository'

/** Commands on one image, in a file or in the repository. */
export function addImageCommands(program: Command): void {
  program
    .command('ls')
    .description('list the paths of an image')
    .argument('<image>', imageArgument)
    .option('--filter <name>', 'only this entry of the root directory; may be given again', several)
    .addHelpText('after', '\nExample:\n  composefs ls image.cfs')
    .action(async (name: string, flags: { filter?: string[] }, command: Command) => {
      const fileSystem = await filteredTree(name, flags, command)
      await print(Buffer.from(listing(fileSystem), 'latin1'))
    })

  program
    .command('dump')
    .description('write the dumpfile of an image')
    .argument('<image>', imageArgument)
    .option('--filter <name>', 'only this entry of the root directory; may be given again', several)
    .addHelpText('after', '\nExample:\n  composefs dump image.cfs > image.dump')
    .action(async (name: string, flags: { filter?: string[] }, command: Command) => {
      await print(dumpfileText(await filteredTree(name, flags, command)))
    })

  program
    .command('objects')
    .description('list the objects that an image needs')
    .argument('<image>', imageArgument)
    .option('--json', 'as JSON')
    .addHelpText('after', '\nExample:\n  composefs objects image.cfs')
    .action(async (name: string, flags: { json?: true }, command: Command) => {
      await printObjects(imageObjects(await imageBytes(name, command)), flags)
    })

  program
    .command('missing-objects')
    .description('list the objects that an image needs and the store does not have')
    .argument('<image>', imageArgument)
    .option('--basedir <dir>', 'an object store; default: that of the repository')
    .option('--json', 'as JSON')
    .addHelpText('after', '\nExample:\n  composefs missing-objects --basedir ./repo/objects image.cfs')
    .action(async (name: string, flags: { basedir?: string; json?: true }, command: Command) => {
      const needed = imageObjects(await imageBytes(name, command))
      const { basedir } = flags
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
  const { fileSystem } = readImage(await imageBytes(name, command))
  filterTopLevel(fileSystem, keeps)
  return fileSystem
}

/** A file comes first; what is none is looked up in the repository. */
async function imageBytes(name: string, command: Command): Promise<Buffer> {
  if (name === '-' || existsSync(name)) return readImageInput(name)
  return withRepository(command, async (repository) => repository.readObject(repository.resolveImage(name)))
}
