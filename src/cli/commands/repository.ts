import { Readable } from 'node:stream'
import type { Command } from 'commander'
import { imageObjectsSteps } from '../../erofs/objects.ts'
import { ComposefsError } from '../../errors.ts'
import { catStream } from '../../oci/cat.ts'
import { type FoundImage, findImage, findLayerDigest } from '../../oci/find.ts'
import { configStream, layerStream, manifestStream } from '../../oci/names.ts'
import { verifiedStream } from '../../oci/verify-stream.ts'
import type { Repository } from '../../repository/repository.ts'
import { inTurns } from '../../turns.ts'
import { globals, withRepository } from '../context.ts'
import { describePaths } from '../describe-paths.ts'
import { interruption } from '../interrupt.ts'
import { measureFile } from '../measure.ts'
import { pipeToStdout, print, printJson, printLine, table } from '../output.ts'
import { notStored, readStoredImage, readStoredTree, storedImage } from '../stored-tree.ts'

/** Commands on what is in a repository. */
export function addRepositoryCommands(program: Command): void {
  program
    .command('cat')
    .description('write the contents of a stream, bit for bit as they were imported')
    .argument('<name>', 'a stream (oci-layer-sha256:…), a ref (refs/NAME), a digest or how it begins, or an image')
    .addHelpText('after', '\nExample:\n  composefs cat oci-layer-sha256:5f70… | sha256sum')
    .action((name: string, _flags, command: Command) =>
      withRepository(command, async (repository) => pipeToStdout(await contentsOf(repository, name), 'a stream')),
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
    .argument('<image>', storedImage)
    .addHelpText('after', '\nExample:\n  composefs image-objects refs/mine')
    .action((name: string, _flags, command: Command) =>
      withRepository(command, async (repository) => {
        await print(
          (await inTurns(imageObjectsSteps(await readStoredImage(repository, name).catch(notStored)), interruption))
            .map((id) => `${id}\n`)
            .join(''),
        )
      }),
    )

  program
    .command('dump-files')
    .description('describe paths of an image of the repository as dumpfile lines')
    .argument('<image>', storedImage)
    .argument('[paths...]', 'absolute paths; a directory comes with all below it')
    .option('--backing-path-only', 'print only where the contents are: PATH XX/REST, or PATH inline')
    .addHelpText('after', '\nExample:\n  composefs dump-files refs/mine /etc/passwd')
    .action((name: string, paths: string[], flags: { backingPathOnly?: true }, command: Command) =>
      withRepository(command, async (repository) => {
        const { fileSystem } = await readStoredTree(repository, name, {}, { first: 'erofs' }).catch(notStored)
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

/** What a name leads to: a stream by its own name first, then the layer, the document or the image of that name. */
async function contentsOf(repository: Repository, name: string): Promise<Readable> {
  const contentId = streamOf(repository, name)
  // Nothing of it comes out before all of it was looked at: whoever reads it may act on every byte.
  if (contentId !== undefined)
    return catStream(repository, await verifiedStream(repository, contentId, { signal: interruption }))
  const found = imageOf(repository, name)
  if (found.kind === 'erofs') return Readable.from([repository.readObject(found.id)])
  const stream = found.kind === 'manifest' ? manifestStream : configStream
  return catStream(repository, await verifiedStream(repository, stream(found.digest), { signal: interruption }))
}

function imageOf(repository: Repository, name: string): FoundImage {
  try {
    return findImage(repository, name)
  } catch (error) {
    return notStored(error, 'there is no such stream in the repository, and no such image')
  }
}

function streamOf(repository: Repository, name: string): string | undefined {
  try {
    return repository.resolveStream(name).contentId
  } catch (error) {
    if (!(error instanceof ComposefsError) || !noStream.has(error.code)) throw error
    const digest = findLayerDigest(repository, name)
    return digest && layerStream(digest)
  }
}

/** What is no stream may be something else. */
const noStream: ReadonlySet<string> = new Set(['ERR_NOT_FOUND', 'ERR_OCI_NAME', 'ERR_ARGUMENT'])
