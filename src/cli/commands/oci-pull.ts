import type { Command } from 'commander'
import { ComposefsError } from '../../errors.ts'
import type { PublishedArtifact } from '../../oci/artifact.ts'
import { openImage } from '../../oci/image.ts'
import type { ImportEvent } from '../../oci/import.ts'
import { manifestStream } from '../../oci/names.ts'
import { parsePlatform } from '../../oci/platform.ts'
import type { PublishedImage } from '../../oci/publish.ts'
import type { PullEvent } from '../../oci/pull.ts'
import type { RetryNotice } from '../../oci/registry/retry.ts'
import { pull } from '../../oci/transports.ts'
import type { Repository } from '../../repository/repository.ts'
import { withNewRepository } from '../context.ts'
import { interruptible } from '../interrupt.ts'
import { LayerSums } from '../layer-sums.ts'
import { addLimitOptions, type LimitFlags, limitsOf } from '../limit-options.ts'
import { freeAfterLayers } from '../memory.ts'
import { isPlace, swapped, type TreeFlags, treeOptions, treeOptionsOf } from '../options.ts'
import { binarySize, note, printJson, printLine } from '../output.ts'
import { makePullReport } from '../pull-report.ts'
import { addRegistryOptions, type RegistryFlags, registryOptionsOf } from '../registry-options.ts'

interface PullFlags extends TreeFlags, RegistryFlags, LimitFlags {
  readonly platform?: string
  readonly expectedDigest?: string
  readonly json?: true
}

/** `composefs oci pull`: an image by the name that skopeo gives it. */
export function addOciPullCommand(oci: Command): void {
  const pullCommand = oci
    .command('pull')
    .description('pull an image, layer by layer from the socket; makes the repository')
    .argument('<image>', 'docker://REF, oci:DIR[:TAG], oci-archive:FILE, docker-archive:FILE, dir:DIR, or a short name')
    .argument('[name]', 'tag of the image; default: the image as typed')
  addLimitOptions(addRegistryOptions(pullCommand))
    .option('--platform <os/arch>', 'which image of several; default: that of this machine')
    .option('--bootable', 'make a boot image as well')
    .option('--expected-digest <hex>', 'with --bootable: find the way to make the boot image that has this id')
    .addOption(treeOptions.xattrs())
    .addOption(treeOptions.root())
    .addOption(treeOptions.implicitParents())
    .option('--json', 'print what was done as JSON')
    .addHelpText('after', '\nExample:\n  composefs oci pull docker://REGISTRY/IMAGE:TAG IMAGE')
    .action(async (image: string, name: string | undefined, flags: PullFlags, command: Command) => {
      if (name !== undefined && isPlace(name) && !isPlace(image)) throw swapped(`oci pull ${name} ${image}`)
      await pullOne(image, name ?? image, flags, command, interruptible('the repository is sound'))
    })
}

async function pullOne(image: string, name: string, flags: PullFlags, command: Command, signal: AbortSignal) {
  const { expectedDigest } = flags
  if (expectedDigest !== undefined && !flags.bootable) {
    throw new ComposefsError('ERR_ARGUMENT', '--expected-digest takes --bootable')
  }
  const tree = { ...treeOptionsOf(flags), ...(expectedDigest !== undefined && { expectedDigest }) }
  const { platform } = flags
  const options = {
    ...tree,
    ...registryOptionsOf(flags),
    ...limitsOf(flags),
    ...(platform !== undefined && { platform: parsePlatform(platform) }),
    name,
    signal,
  }
  await withNewRepository(command, async (open) => {
    const report = makePullReport(flags.progress)
    const sums = new LayerSums()
    const opener = async (): Promise<Repository> => sums.of(await open())
    const onEvent = (event: PullEvent | ImportEvent): void => {
      sums.event(event)
      report.event(event)
      freeAfterLayers(event)
    }
    const onRetry = (notice: RetryNotice): void => report.retry(notice)
    const pulled = await pull(opener, image, { ...options, onEvent, onRetry }).finally(() => report.end())
    const repository = await open()
    const { manifestDigest, configDigest } = pulled
    if (pulled.kind === 'artifact') {
      const { mediaType } = openImage(repository, `@${manifestDigest}`).manifest.config
      note(`this is an artifact, no image (its config is ${mediaType}): its blobs are kept as they are`)
    }
    const { newObjects, presentObjects, newBytes, inlineBytes } = sums
    if (flags.json) {
      checkFound(pulled, expectedDigest)
      const objects = { newObjects, presentObjects, newBytes, inlineBytes }
      const ids = pulled.kind === 'image' ? idsOf(pulled) : {}
      return printJson({ manifestDigest, configDigest, ...ids, tags: [name], objects })
    }
    const verity = repository.hasStream(manifestStream(manifestDigest))
    await printLine(`manifest ${manifestDigest}`)
    await printLine(`config   ${configDigest}`)
    await printLine(`verity   ${verity?.hex}`)
    await printLine(`tagged   ${name}`)
    const counts = `${newObjects} new + ${presentObjects} already present objects`
    await printLine(`objects  ${counts}; ${binarySize(newBytes)} stored, ${binarySize(inlineBytes)} inlined`)
    checkFound(pulled, expectedDigest)
    const boot = pulled.kind === 'image' ? pulled.boot : undefined
    if (boot === undefined) return
    const made = expectedDigest === undefined ? '' : ` (xattr-mode=${boot.xattrs}, format-version=V${boot.version})`
    await printLine(`Boot image: ${boot.id.hex}${made}`)
  })
}

function idsOf({ imageId, images, boot }: PublishedImage) {
  const byVersion = Object.fromEntries([...images].map(([version, id]) => [`v${version}`, id.hex]))
  return { imageId: imageId.hex, images: byVersion, bootImageId: boot?.id.hex ?? null }
}

/** The pull is done all the same. */
function checkFound(pulled: PublishedImage | PublishedArtifact, expectedDigest: string | undefined): void {
  if (expectedDigest === undefined || (pulled.kind === 'image' && pulled.boot !== undefined)) return
  throw new ComposefsError('ERR_NOT_FOUND', 'no boot image has the expected digest', {
    path: expectedDigest,
    hint: 'tried 4 combinations: xattr modes allowlist-only and keep-user-xattrs, formats 1 and 2',
  })
}
