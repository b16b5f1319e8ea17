import type { Readable } from 'node:stream'
import { type Command, Option } from 'commander'
import { ComposefsError } from '../../errors.ts'
import { importArchive } from '../../oci/import.ts'
import { importLayer } from '../../oci/layer.ts'
import { checkDigest, layerStream } from '../../oci/names.ts'
import { parsePlatform } from '../../oci/platform.ts'
import type { PublishedImage } from '../../oci/publish.ts'
import type { Repository } from '../../repository/repository.ts'
import { Progress } from '../../streams/progress.ts'
import { withNewRepository } from '../context.ts'
import { firstBytes, openInput } from '../input.ts'
import { interruptible } from '../interrupt.ts'
import { type TreeFlags, treeOptions, treeOptionsOf } from '../options.ts'
import { printJson, printLine } from '../output.ts'
import { ImportReport } from '../report.ts'

interface ImportFlags extends TreeFlags {
  readonly name?: string
  readonly layer?: string
  readonly platform?: string
  readonly json?: true
  readonly quiet?: true
  readonly maxRatio?: string
  readonly maxOutput?: string
}

/** `composefs import`: an image archive, or one layer, from a pipe or file. */
export function addImportCommand(program: Command): void {
  program
    .command('import')
    .description('import a docker-archive or oci-archive, or with --layer the tar of one layer; makes the repository')
    .argument('[file]', 'file or FIFO; default: stdin', '-')
    .option('--name <name>', 'tag of the image; default: the names in the archive')
    .option('--layer <diffid>', 'the input is one layer, plain or compressed, with this diffID')
    .option('--platform <os/arch>', 'which image of a multi-platform archive; default: that of this machine')
    .addOption(treeOptions.xattrs())
    .addOption(treeOptions.root())
    .addOption(treeOptions.implicitParents())
    .addOption(new Option('--max-ratio <n>', 'refuse data that decompresses to more than n times its size'))
    .addOption(new Option('--max-output <bytes>', 'refuse data that decompresses to more than this'))
    .option('--json', 'print what was done as JSON')
    .option('-q, --quiet', 'no progress')
    .addHelpText(
      'after',
      '\nExample:\n  skopeo copy -q docker://REGISTRY/IMAGE docker-archive:/dev/stdout |\n    composefs import --repo ./repo --name IMAGE',
    )
    .action(async (file: string, flags: ImportFlags, command: Command) => {
      const signal = interruptible('the repository is sound')
      const source = openInput(file, flags.layer === undefined ? 'an image archive' : 'the tar of a layer')
      try {
        // Until then no repository is locked, and none is made.
        await firstBytes(source)
        await withNewRepository(command, (repository) =>
          flags.layer === undefined
            ? importImages(repository, source, flags, signal)
            : importOneLayer(repository, source, flags.layer, flags, signal),
        )
      } finally {
        source.destroy()
      }
    })
}

async function importImages(repository: Repository, source: Readable, flags: ImportFlags, signal: AbortSignal) {
  const report = new ImportReport(flags.quiet === true)
  const { name, platform } = flags
  const images = await importArchive(repository, source, {
    ...treeOptionsOf(flags),
    decompressor: limits(flags),
    onEvent: (event) => report.event(event),
    signal,
    ...(name !== undefined && { name }),
    ...(platform !== undefined && { platform: parsePlatform(platform) }),
  }).finally(() => report.clear())
  report.finish(images, repository)
  if (flags.json) await printJson({ images: images.map(asJson), objects: repository.stats })
  else for (const { imageId } of images) await printLine(imageId.hex)
}

async function importOneLayer(
  repository: Repository,
  source: Readable,
  diffId: string,
  flags: ImportFlags,
  signal: AbortSignal,
) {
  const report = new ImportReport(flags.quiet === true)
  const progress = new Progress({ onProgress: (event) => report.event({ type: 'progress', ...event }) })
  const counted = source.pipe(progress)
  source.once('error', (error) => progress.destroy(error))
  const options = { diffId: checkDigest(diffId), decompressor: limits(flags), signal }
  const layer = await importLayer(repository, counted, options).finally(() => report.clear())
  await repository.linkStream(layerStream(layer.diffId), layer.id)
  if (flags.json) await printJson({ ...layer, id: layer.id.hex, objects: repository.stats })
  else await printLine(layer.id.toString())
}

function asJson({ manifestDigest, configDigest, diffIds, imageId, images, tags }: PublishedImage) {
  const byVersion = Object.fromEntries([...images].map(([version, id]) => [`v${version}`, id.hex]))
  return { imageId: imageId.hex, images: byVersion, manifestDigest, configDigest, diffIds, tags }
}

function limits({ maxRatio, maxOutput }: ImportFlags): { maxRatio?: number; maxOutput?: number } {
  return {
    ...(maxRatio !== undefined && { maxRatio: positive('--max-ratio', maxRatio) }),
    ...(maxOutput !== undefined && { maxOutput: positive('--max-output', maxOutput) }),
  }
}

function positive(option: string, text: string): number {
  const value = Number(text)
  if (value > 0) return value
  throw new ComposefsError('ERR_ARGUMENT', `${option} takes a number above zero, not ${text}`)
}
