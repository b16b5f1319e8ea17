import { Argument, type Command } from 'commander'
import { makeImage } from '../../erofs/writer.ts'
import { ComposefsError } from '../../errors.ts'
import { fsverityDigest } from '../../fsverity/merkle.ts'
import { ObjectId } from '../../fsverity/object-id.ts'
import {
  imageTree,
  linkedImage,
  listImages,
  listReferrers,
  openImage,
  resolveConfig,
  tagImage,
  untagImage,
} from '../../oci/image.ts'
import { bootRef } from '../../oci/names.ts'
import { dumpfileText } from '../../streams/dumpfile-writer.ts'
import { withRepository } from '../context.ts'
import { interruption } from '../interrupt.ts'
import { type TreeFlags, treeOptions, treeOptionsOf } from '../options.ts'
import { note, print, printJson, printLine, table } from '../output.ts'
import { addOciCopyCommand } from './oci-copy.ts'
import { addOciLayerCommands } from './oci-layer.ts'
import { addOciPullCommand } from './oci-pull.ts'
import { addOciPushCommand } from './oci-push.ts'

const imageArgument = 'a tag, or @ and the digest of a config'
const verityArgument = 'the fs-verity digest that the stream of the config must have'
const verityOf = (text: string | undefined) => (text === undefined ? undefined : ObjectId.parse(text))

/** `composefs oci`: commands on OCI images of the repository, and on their layers. */
export function addOciCommand(program: Command): void {
  const oci = program.command('oci').description('OCI images of the repository')
  addImageCommands(oci)
  addOciLayerCommands(oci)
  addOciPullCommand(oci)
  addOciPushCommand(oci)
  addOciCopyCommand(oci)
}

function addImageCommands(oci: Command): void {
  oci
    .command('images')
    .description('list the tagged images')
    .option('--json', 'as JSON')
    .addHelpText('after', '\nExample:\n  composefs oci images --json')
    .action((flags: { json?: true }, command: Command) =>
      withRepository(command, async (repository) => {
        const found = [...listImages(repository)]
        for (const image of found) if ('error' in image) note(`warning: ${image.name}: ${image.error.message}`)
        const images = found.flatMap((image) => ('error' in image ? [] : image))
        if (flags.json) {
          return printJson({
            images: images.map((image) => ({
              name: image.name,
              manifest_digest: image.manifestDigest,
              is_container: image.isContainer,
              architecture: image.architecture,
              os: image.os,
              created: image.created,
              layer_count: image.layerCount,
              referrer_count: image.referrerCount,
            })),
          })
        }
        if (images.length === 0) return printLine('No images found')
        const rows = images.map(({ name, manifestDigest, isContainer, architecture, layerCount, referrerCount }) => [
          name,
          manifestDigest.slice('sha256:'.length).slice(0, 12),
          isContainer ? architecture : 'artifact',
          `${layerCount}`,
          `${referrerCount}`,
        ])
        return print(table(['NAME', 'DIGEST', 'ARCH', 'LAYERS', 'REFS'], rows))
      }),
    )

  oci
    .command('inspect')
    .description('print manifest, config, referrers and image ids of an image as JSON')
    .argument('<image>', 'a tag, or @ and the digest of a manifest')
    .option('--manifest', 'only the manifest, its exact bytes')
    .option('--config', 'only the config, its exact bytes')
    .addHelpText('after', '\nExample:\n  composefs oci inspect fedora')
    .action((name: string, flags: { manifest?: true; config?: true }, command: Command) =>
      withRepository(command, async (repository) => {
        if (flags.manifest && flags.config) {
          throw new ComposefsError('ERR_ARGUMENT', '--manifest and --config exclude each other')
        }
        const { manifestDigest, manifestBytes, configBytes, config } = openImage(repository, name)
        if (flags.manifest) return print(Buffer.concat([manifestBytes, Buffer.from('\n')]))
        if (flags.config) return print(Buffer.concat([configBytes, Buffer.from('\n')]))
        const version = repository.formats.default
        const boot = bootRef(version, 'allowlist-only')
        return printJson({
          manifest: manifestBytes.toString(),
          config: configBytes.toString(),
          referrers: listReferrers(repository, manifestDigest),
          composefs_erofs: (config && linkedImage(config, version)?.hex) ?? null,
          composefs_boot_erofs: config?.document.namedRefs.get(boot)?.hex ?? null,
        })
      }),
    )

  oci
    .command('dump')
    .description('write the dumpfile of an image: its layers merged')
    .argument('<image>', imageArgument)
    .argument('[verity]', verityArgument)
    .addOption(treeOptions.bootable())
    .addOption(treeOptions.xattrs())
    .addOption(treeOptions.root())
    .addOption(treeOptions.implicitParents())
    .addHelpText('after', '\nExample:\n  composefs oci dump fedora | composefs mkfs --from-file - image.cfs')
    .action((name: string, verity: string | undefined, flags: TreeFlags, command: Command) =>
      withRepository(command, async (repository) => {
        const config = await resolveConfig(repository, name, verityOf(verity))
        await print(dumpfileText(await imageTree(repository, config, treeOptionsOf(flags))))
      }),
    )

  oci
    .command('compute-id')
    .description('print the image id of an image, computed from its layers')
    .argument('<image>', imageArgument)
    .argument('[verity]', verityArgument)
    .addOption(treeOptions.bootable())
    .addOption(treeOptions.xattrs())
    .addOption(treeOptions.root())
    .addOption(treeOptions.implicitParents())
    .addHelpText('after', '\nExample:\n  composefs oci compute-id fedora')
    .action((name: string, verity: string | undefined, flags: TreeFlags, command: Command) =>
      withRepository(command, async (repository) => {
        const config = await resolveConfig(repository, name, verityOf(verity))
        const tree = await imageTree(repository, config, treeOptionsOf(flags))
        const image = await makeImage(tree, { version: repository.formats.default, signal: interruption })
        await printLine(fsverityDigest(repository.algorithm, image).hex)
      }),
    )

  oci
    .command('tag')
    .description('give a manifest of the repository a name')
    .addArgument(new Argument('<digest>', 'sha256:… of the manifest'))
    .argument('<name>')
    .addHelpText('after', '\nExample:\n  composefs oci tag sha256:1f3a… fedora:latest')
    .action((digest: string, name: string, _flags, command: Command) =>
      withRepository(command, async (repository) => {
        await tagImage(repository, digest, name)
        await printLine(`Tagged ${digest} as ${name}`)
      }),
    )

  oci
    .command('untag')
    .description('take a name away')
    .argument('<name>')
    .addHelpText('after', '\nExample:\n  composefs oci untag fedora:latest')
    .action((name: string, _flags, command: Command) =>
      withRepository(command, async (repository) => {
        untagImage(repository, name)
        await printLine(`Removed tag ${name}`)
      }),
    )
}
