import type { Command } from 'commander'
import { imageObjects, readImage } from '../../erofs/index.ts'
import { believableStream, catStream } from '../../oci/cat.ts'
import { globals, withRepository } from '../context.ts'
import { describePaths } from '../describe-paths.ts'
import { measureFile } from '../measure.ts'
import { pipeToStdout, print, printJson, printLine, table } from '../output.ts'

/** Commands on what is in a repository. */
export function addRepositoryCommands(program: Command): void {
  program
    .command('cat')
    .description('write the contents of a stream, bit for bit as they were imported')
    .argument('<name>', 'the id of a stream (oci-layer-sha256:…) or a ref (refs/NAME)')
    .addHelpText('after', '\nExample:\n  composefs cat oci-layer-sha256:5f70… | sha256sum')
    .action((name: string, _flags, command: Command) =>
      withRepository(command, async (repository) =>
        // Nothing of it comes out before all of it was looked at: whoever reads it may act on every byte.
        pipeToStdout(catStream(repository, await believableStream(repository, name)), 'a stream'),
      ),
    )

  program
    .command('images')
    .alias('list-images')
    .description('list the images that have a name')
    .option('--json', 'as JSON')
    .option('--no-trunc', 'whole ids')
    .addHelpText('after', '\nExample:\n  composefs images --json')
    .action((flags: { json?: true; trunc: boolean }, command: Command) =>
      withRepository(command, async (repository) => {
        const images = repository.listImages()
        if (flags.json) return printJson({ images: images.map(({ name, id }) => ({ name, digest: id.hex })) })
        if (images.length === 0) return printLine('No images found')
        const shown = (hex: string): string => (flags.trunc ? hex.slice(0, 12) : hex)
        return print(
          table(
            ['NAME', 'DIGEST'],
            images.map(({ name, id }) => [name, shown(id.hex)]),
          ),
        )
      }),
    )

  program
    .command('image-objects')
    .description('list the objects that an image of the repository needs')
    .argument('<image>', 'its id, or its name')
    .addHelpText('after', '\nExample:\n  composefs image-objects refs/mine')
    .action((name: string, _flags, command: Command) =>
      withRepository(command, async (repository) => {
        const image = repository.readObject(repository.resolveImage(name))
        await print(
          imageObjects(image)
            .map((id) => `${id}\n`)
            .join(''),
        )
      }),
    )

  program
    .command('dump-files')
    .description('describe paths of an image of the repository as dumpfile lines')
    .argument('<image>', 'its id, or its name')
    .argument('[paths...]', 'absolute paths; a directory comes with all below it')
    .option('--backing-path-only', 'print only where the contents are: PATH XX/REST, or PATH inline')
    .addHelpText('after', '\nExample:\n  composefs dump-files refs/mine /etc/passwd')
    .action((name: string, paths: string[], flags: { backingPathOnly?: true }, command: Command) =>
      withRepository(command, async (repository) => {
        const { fileSystem } = readImage(repository.readObject(repository.resolveImage(name)))
        await print(Buffer.from(describePaths(fileSystem, paths, flags.backingPathOnly === true), 'latin1'))
      }),
    )

  program
    .command('measure-file')
    .description('print the fs-verity digest of files, computed unless the kernel has it')
    .argument('<files...>', 'the files, - for stdin')
    .addHelpText('after', '\nExample:\n  composefs measure-file --hash sha256 /usr/bin/true')
    .action(async (files: string[], _flags, command: Command) => {
      const algorithm = globals(command).hash ?? 'sha256'
      for (const file of files) await printLine((await measureFile(file, algorithm)).hex)
    })
}
