import { addAbortSignal, type Readable } from 'node:stream'
import type { Command } from 'commander'
import { importArchive } from '../../oci/import.ts'
import { importLayer } from '../../oci/layer.ts'
import { checkDigest, layerStream } from '../../oci/names.ts'
import { parsePlatform } from '../../oci/platform.ts'
import type { PublishedImage } from '../../oci/publish.ts'
import type { RepositoryOpener } from '../../oci/repository-opener.ts'
import { openArchiveFile } from '../../oci/transport-hints.ts'
import { Progress } from '../../streams/progress.ts'
import { withNewRepository } from '../context.ts'
import { openInput } from '../input.ts'
import { interruptible } from '../interrupt.ts'
import { withFirstHeader } from '../layer-input.ts'
import { addLimitOptions, type LimitFlags, limitsOf, positive } from '../limit-options.ts'
import { type TreeFlags, treeOptions, treeOptionsOf } from '../options.ts'
import { printJson, printLine } from '../output.ts'
import { ImportReport } from '../report.ts'

interface ImportFlags extends TreeFlags, LimitFlags {
  readonly name?: string
  readonly layer?: string
  readonly platform?: string
  readonly json?: true
  readonly quiet?: true
  readonly maxMembers?: string
  readonly maxKept?: string
}

/** `composefs import`: an image archive, or one layer, from a pipe or file. */
export function addImportCommand(program: Command): void {
  const command = program
    .command('import')
    .description('import a docker-archive or oci-archive, or with --layer the tar of one layer; makes the repository')
    .argument('[file]', 'file or FIFO; default: stdin', '-')
    .option('--name <name>', 'tag of the image; default: the names in the archive')
    .option('--layer <diffid>', 'the input is one layer, plain or compressed, with this diffID')
    .option('--platform <os/arch>', 'which image of a multi-platform archive; default: that of this machine')
    .addOption(treeOptions.xattrs())
    .addOption(treeOptions.root())
    .addOption(treeOptions.implicitParents())
  addLimitOptions(command)
    .option('--max-members <n>', 'refuse an archive with more members; default: 32768')
    .option('--max-kept <bytes>', 'keep no more of the names and documents of an archive; default: 64 MiB')
    .option('--json', 'print what was done as JSON')
    .option('-q, --quiet', 'no progress')
    .addHelpText(
      'after',
      '\nExample:\n  skopeo copy -q docker://REGISTRY/IMAGE docker-archive:/dev/stdout |\n    composefs import --repo ./repo --name IMAGE',
    )
    .action(async (file: string, flags: ImportFlags, command: Command) => {
      const signal = interruptible('the repository is sound')
      const what = flags.layer === undefined ? 'an image archive' : 'the tar of a layer'
      const source = file === '-' ? openInput(file, what) : addAbortSignal(signal, openArchiveFile(file))
      try {
        // Until there is something to store no repository is locked, and none is made.
        await withNewRepository(command, (open) =>
          flags.layer === undefined
            ? importImages(open, source, flags, signal)
            : importOneLayer(open, source, checkDigest(flags.layer), flags, signal),
        )
      } finally {
        source.destroy()
      }
    })
}

async function importImages(open: RepositoryOpener, source: Readable, flags: ImportFlags, signal: AbortSignal) {
  const report = new ImportReport(flags.quiet === true)
  const { name, platform, maxMembers, maxKept } = flags
  const images = await importArchive(open, source, {
    ...treeOptionsOf(flags),
    ...limitsOf(flags),
    ...(maxMembers !== undefined && { maxMembers: positive('--max-members', maxMembers) }),
    ...(maxKept !== undefined && { maxKept: positive('--max-kept', maxKept) }),
    onEvent: (event) => report.event(event),
    signal,
    ...(name !== undefined && { name }),
    ...(platform !== undefined && { platform: parsePlatform(platform) }),
  }).finally(() => report.clear())
  const repository = await open()
  report.finish(images, repository)
  if (flags.json) await printJson({ images: images.map(asJson), objects: repository.stats })
  else for (const { imageId } of images) await printLine(imageId.hex)
}

async function importOneLayer(
  open: RepositoryOpener,
  input: Readable,
  diffId: string,
  flags: ImportFlags,
  signal: AbortSignal,
) {
  const { maxOutput, decompressor } = limitsOf(flags)
  const report = new ImportReport(flags.quiet === true)
  const progress = new Progress({ onProgress: (event) => report.event({ type: 'progress', ...event }) })
  const source = await withFirstHeader(input, diffId)
  const repository = await open()
  const counted = source.pipe(progress)
  source.once('error', (error) => progress.destroy(error))
  const options = { diffId, decompressor: { ...(maxOutput !== undefined && { maxOutput }), ...decompressor }, signal }
  const layer = await importLayer(repository, counted, options).finally(() => report.clear())
  await repository.linkStream(layerStream(layer.diffId), layer.id)
  if (flags.json) await printJson({ ...layer, id: layer.id.hex, objects: repository.stats })
  else await printLine(layer.id.toString())
}

function asJson({ manifestDigest, configDigest, diffIds, imageId, images, tags }: PublishedImage) {
  const byVersion = Object.fromEntries([...images].map(([version, id]) => [`v${version}`, id.hex]))
  return { imageId: imageId.hex, images: byVersion, manifestDigest, configDigest, diffIds, tags }
}
