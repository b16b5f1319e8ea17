import type { Command } from 'commander'
import { openImage } from '../../oci/image.ts'
import { configStream, manifestStream } from '../../oci/names.ts'
import { copyAny } from '../../oci/repository-source.ts'
import type { Repository } from '../../repository/repository.ts'
import { globals, openOptions, withNewRepository } from '../context.ts'
import { interruptible } from '../interrupt.ts'
import { freeAfterLayers } from '../memory.ts'
import { printLine } from '../output.ts'
import { storedImage } from '../stored-tree.ts'

interface CopyFlags {
  readonly from: string
  readonly name?: string
}

/** `composefs oci copy`: an image from one repository to another. */
export function addOciCopyCommand(oci: Command): void {
  oci
    .command('copy')
    .description('copy an image from another repository, whatever its hash; makes the repository')
    .argument('<image>', `there: ${storedImage}`)
    .requiredOption('--from <repository>', 'the repository that has it')
    .option('--name <name>', 'tag of the image here; default: none')
    .addHelpText(
      'after',
      '\nExample:\n  composefs --repo ./repo oci copy fedora --from /sysroot/composefs --name fedora',
    )
    .action(async (image: string, flags: CopyFlags, command: Command) => {
      const signal = interruptible('the repository is sound')
      const { Repository } = await import('../../repository/repository.ts')
      const { algorithm: _, erofsVersion: __, ...options } = openOptions(globals(command))
      const from = await Repository.open(flags.from, options)
      try {
        // What is not there makes no repository.
        openImage(from, image)
        await withNewRepository(command, async (open) => copyOne(from, image, await open(), flags, signal))
      } finally {
        await from.close()
      }
    })
}

async function copyOne(
  from: Repository,
  image: string,
  to: Repository,
  { from: path, name }: CopyFlags,
  signal: AbortSignal,
): Promise<void> {
  const options = { ...(name !== undefined && { name }), signal, onEvent: freeAfterLayers }
  const { manifestDigest, configDigest } = await copyAny(from, image, to, options)
  const tagged = name === undefined ? '' : `, tagged as ${name}`
  await printLine(`Copied image ${image} from ${path} to destination repo${tagged}`)
  await printLine(`Manifest digest: ${manifestDigest}`)
  await printLine(`Manifest verity: ${to.hasStream(manifestStream(manifestDigest))?.hex}`)
  await printLine(`Config digest:   ${configDigest}`)
  await printLine(`Config verity:   ${to.hasStream(configStream(configDigest))?.hex}`)
}
