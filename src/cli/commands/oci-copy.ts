import type { Command } from 'commander'
import { configStream, manifestStream } from '../../oci/names.ts'
import { copyAny } from '../../oci/repository-source.ts'
import type { Repository } from '../../repository/repository.ts'
import { opening, withRepository } from '../context.ts'
import { interruptible } from '../interrupt.ts'
import { freeAfterLayers } from '../memory.ts'
import { printLine } from '../output.ts'
import { storedImage } from '../stored-tree.ts'

/** `composefs oci copy`: an image from one repository to another. */
export function addOciCopyCommand(oci: Command): void {
  oci
    .command('copy')
    .description('copy an image from another repository, whatever its hash')
    .argument('<image>', `there: ${storedImage}`)
    .requiredOption('--from <repository>', 'the repository that has it')
    .option('--name <name>', 'tag of the image here; default: none')
    .addHelpText(
      'after',
      '\nExample:\n  composefs --repo ./repo oci copy fedora --from /sysroot/composefs --name fedora',
    )
    .action(async (image: string, flags: { from: string; name?: string }, command: Command) => {
      const signal = interruptible('the repository is sound')
      await withRepository(command, (to) => copyOne(image, flags, to, signal))
    })
}

async function copyOne(image: string, flags: { from: string; name?: string }, to: Repository, signal: AbortSignal) {
  const { from: path, name } = flags
  const { Repository } = await import('../../repository/repository.ts')
  const from = await Repository.open(path, opening)
  try {
    const options = { ...(name !== undefined && { name }), signal, onEvent: freeAfterLayers }
    const { manifestDigest, configDigest } = await copyAny(from, image, to, options)
    const tagged = name === undefined ? '' : `, tagged as ${name}`
    await printLine(`Copied image ${image} from ${path} to destination repo${tagged}`)
    await printLine(`Manifest digest: ${manifestDigest}`)
    await printLine(`Manifest verity: ${to.hasStream(manifestStream(manifestDigest))?.hex}`)
    await printLine(`Config digest:   ${configDigest}`)
    await printLine(`Config verity:   ${to.hasStream(configStream(configDigest))?.hex}`)
  } finally {
    await from.close()
  }
}
