import { type Command, Option } from 'commander'
import { push } from '../../oci/destinations.ts'
import type { PushCompression } from '../../oci/push-manifest.ts'
import { withRepository } from '../context.ts'
import { interruptible } from '../interrupt.ts'
import { isPlace, several, swapped } from '../options.ts'
import { assertNoTerminal, note, printJson, printLine } from '../output.ts'
import { makePullReport } from '../pull-report.ts'
import { addRegistryOptions, type RegistryFlags, registryOptionsOf } from '../registry-options.ts'
import { storedImage } from '../stored-tree.ts'

interface PushFlags extends RegistryFlags {
  readonly compression?: PushCompression
  readonly mountFrom?: string[]
  readonly json?: true
}

/** `composefs oci push`: an image to where skopeo would copy it. */
export function addOciPushCommand(oci: Command): void {
  const command = oci
    .command('push')
    .description('push an image, its layers bit for bit, to a registry, a layout or an archive')
    .argument('<image>', storedImage)
    .argument('<destination>', 'docker://REF, oci:DIR[:TAG], or oci-archive:FILE[:TAG], with - for stdout')
  addRegistryOptions(command)
    .addOption(
      new Option(
        '--compression <how>',
        'of layers that have to be sent; default: gzip, but what was a plain tar stays one',
      ).choices(['gzip', 'zstd', 'none']),
    )
    .option(
      '--mount-from <repository>',
      'other repositories of the registry that may have the layers; may be given again',
      several,
    )
    .option('--json', 'print what was done as JSON')
    .addHelpText('after', '\nExample:\n  composefs oci push fedora docker://quay.io/team/fedora:41')
    .action(async (image: string, destination: string, flags: PushFlags, command: Command) => {
      await pushOne(image, destination, flags, command, interruptible('the repository is sound'))
    })
}

async function pushOne(image: string, name: string, flags: PushFlags, command: Command, signal: AbortSignal) {
  if (isPlace(image) && !isPlace(name)) throw swapped(`oci push ${name} ${image}`)
  const { compression, mountFrom } = flags
  const toStdout = /^oci-archive:-(?::|$)/.test(name)
  if (toStdout) assertNoTerminal('an archive')
  const options = {
    ...registryOptionsOf(flags),
    ...(compression !== undefined && { compression }),
    ...(mountFrom !== undefined && { mountFrom }),
    signal,
  }
  await withRepository(command, async (repository) => {
    const report = makePullReport(flags.progress)
    const pushed = await push(repository, image, name, {
      ...options,
      onEvent: (event) => report.event(event),
      onRetry: (notice) => report.retry(notice),
    }).finally(() => report.end())
    const { kind, manifestDigest, configDigest, original, layers } = pushed
    if (!original) note('the manifest is a new one: not all of the image could be kept as it came')
    else if (kind === 'image' && layers.some(({ compression, how }) => compression === 'none' && how === 'sent')) {
      note('layers were sent as the plain tars that they came as; --compression gzip makes them smaller')
    }
    if (toStdout) return
    if (flags.json) return printJson({ manifestDigest, configDigest, original, layers })
    await printLine(`manifest ${manifestDigest}`)
    await printLine(`config   ${configDigest}`)
    await printLine(`pushed   ${name}`)
  })
}
