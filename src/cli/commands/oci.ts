import type { Command } from 'commander'
import { makeImage } from '../../erofs/writer.ts'
import { ComposefsError } from '../../errors.ts'
import { fsverityDigest } from '../../fsverity/merkle.ts'
import { ObjectId } from '../../fsverity/object-id.ts'
import { findImage, listTags } from '../../oci/find.ts'
import {
  linkedImage,
  listImages,
  listReferrers,
  type OpenedConfig,
  openFound,
  openImage,
  tagImage,
  untagImage,
  verifyLayers,
} from '../../oci/image.ts'
import { bootRef, manifestStream } from '../../oci/names.ts'
import { decodeTag } from '../../repository/names.ts'
import type { Repository } from '../../repository/repository.ts'
import { dumpfileChunks, homeItems } from '../../streams/dumpfile-writer.ts'
import { withRepository } from '../context.ts'
import { interruption } from '../interrupt.ts'
import { swapped, type TreeFlags, treeOptions } from '../options.ts'
import { note, print, printAll, printJson, printLine, table } from '../output.ts'
import { readStoredTree, storedImage } from '../stored-tree.ts'
import { addOciCopyCommand } from './oci-copy.ts'
import { addOciLayerCommands } from './oci-layer.ts'
import { addOciPullCommand } from './oci-pull.ts'
import { addOciPushCommand } from './oci-push.ts'

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
    .argument('<image>', storedImage)
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
        // Whoever made these images may have believed in layers that are others.
        const verified = config && (await verifiedOrNone(repository, config))
        const version = repository.formats.default
        const boot = bootRef(version, 'allowlist-only')
        return printJson({
          manifest: manifestBytes.toString(),
          config: configBytes.toString(),
          referrers: listReferrers(repository, manifestDigest),
          composefs_erofs: (verified && linkedImage(verified, version)?.hex) ?? null,
          composefs_boot_erofs: verified?.document.namedRefs.get(boot)?.hex ?? null,
        })
      }),
    )

  oci
    .command('dump')
    .description('write the dumpfile of an image: its layers merged')
    .argument('<image>', storedImage)
    .argument('[verity]', verityArgument)
    .addOption(treeOptions.bootable())
    .addOption(treeOptions.xattrs())
    .addOption(treeOptions.root())
    .addOption(treeOptions.implicitParents())
    .addHelpText('after', '\nExample:\n  composefs oci dump fedora | composefs mkfs --from-file - image.cfs')
    .action((name: string, verity: string | undefined, flags: TreeFlags, command: Command) =>
      withRepository(command, async (repository) => {
        const { fileSystem } = await readStoredTree(repository, name, flags, { verity: verityOf(verity) })
        await printAll(dumpfileChunks(homeItems(fileSystem)))
      }),
    )

  oci
    .command('compute-id')
    .description('print the image id of an image, computed from its layers')
    .argument('<image>', storedImage)
    .argument('[verity]', verityArgument)
    .addOption(treeOptions.bootable())
    .addOption(treeOptions.xattrs())
    .addOption(treeOptions.root())
    .addOption(treeOptions.implicitParents())
    .addHelpText('after', '\nExample:\n  composefs oci compute-id fedora')
    .action((name: string, verity: string | undefined, flags: TreeFlags, command: Command) =>
      withRepository(command, async (repository) => {
        const { fileSystem } = await readStoredTree(repository, name, flags, { verity: verityOf(verity) })
        const image = await makeImage(fileSystem, { version: repository.formats.default, signal: interruption })
        await printLine(fsverityDigest(repository.algorithm, image).hex)
      }),
    )

  oci
    .command('tag')
    .description('give an image of the repository another tag')
    .argument('<image>', storedImage)
    .argument('<name>', 'the new tag')
    .addHelpText(
      'after',
      '\nExample:\n  composefs oci tag quay.io/fedora/fedora:42 fedora\n  composefs oci tag 1f3a5b0c fedora',
    )
    .action((image: string, name: string, _flags, command: Command) =>
      withRepository(command, async (repository) => {
        if (isTag(repository, name) && !isKnown(repository, image)) throw swapped(`oci tag ${name} ${image}`)
        const { manifestDigest } = openImage(repository, image)
        await tagImage(repository, manifestDigest, name)
        await printLine(`Tagged ${manifestDigest} as ${name}`)
      }),
    )

  oci
    .command('untag')
    .description('take a tag away; the image stays until garbage collection')
    .argument('<image>', `the tag, or an image that has one tag: ${storedImage}`)
    .addHelpText('after', '\nExample:\n  composefs oci untag fedora:latest')
    .action((name: string, _flags, command: Command) =>
      withRepository(command, async (repository) => {
        const tag = tagOf(repository, name)
        untagImage(repository, tag)
        await printLine(`Removed tag ${tag}`)
      }),
    )
}

const isTag = (repository: Repository, name: string): boolean => listTags(repository).includes(name)

function isKnown(repository: Repository, name: string): boolean {
  try {
    return findImage(repository, name) !== undefined
  } catch {
    return false
  }
}

/** The tag itself, or the only one that the image has. */
function tagOf(repository: Repository, name: string): string {
  if (isTag(repository, name)) return name
  const refs = repository.listRefs('streams', 'oci').map(({ name, target }) => ({ tag: decodeTag(name), target }))
  const image = openFound(repository, findImage(repository, name))
  const tags = refs.filter(({ target }) => image !== undefined && target === manifestStream(image.manifestDigest))
  const [first] = tags
  if (first !== undefined && tags.length === 1) return first.tag
  const hint =
    first === undefined ? 'see: composefs oci images' : `name one of ${tags.map(({ tag }) => tag).join(', ')}`
  throw new ComposefsError('ERR_ARGUMENT', `this image has ${tags.length === 0 ? 'no tag' : `${tags.length} tags`}`, {
    path: name,
    hint,
  })
}

/** The config, if its layers are what it says; otherwise a warning tells why there is nothing to say of its images. */
async function verifiedOrNone(repository: Repository, config: OpenedConfig): Promise<OpenedConfig | undefined> {
  try {
    return await verifyLayers(repository, config, interruption)
  } catch (error) {
    if (!(error instanceof ComposefsError) || interruption.aborted) throw error
    note(`warning: its images are not told: ${error.message}`)
    return undefined
  }
}
