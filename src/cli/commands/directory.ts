import { type Command, Option } from 'commander'
import type { ErofsVersion } from '../../erofs/format.ts'
import { makeImage } from '../../erofs/writer.ts'
import { ComposefsError } from '../../errors.ts'
import { fsverityDigest } from '../../fsverity/merkle.ts'
import type { ObjectId } from '../../fsverity/object-id.ts'
import { storeImage } from '../../oci/tree.ts'
import { DigestStore } from '../../repository/digest-store.ts'
import type { Repository } from '../../repository/repository.ts'
import type { MountRule } from '../../sources/mounts.ts'
import { type DirectoryProfile, type DirectoryTreeOptions, directoryTree } from '../../sources/tree.ts'
import { dumpfileChunks, homeItems } from '../../streams/dumpfile-writer.ts'
import type { FileSystem } from '../../tree/filesystem.ts'
import type { RootRule, XattrFilter } from '../../tree/transform.ts'
import { erofsVersion, globals, hashWithoutRepository, withRepository } from '../context.ts'
import { interruptible, interruption } from '../interrupt.ts'
import { swapped } from '../options.ts'
import { printAll, printJson, printLine } from '../output.ts'
import { isDirectory } from '../read-tree.ts'

interface DirectoryFlags {
  readonly bootable?: true
  readonly propagateUsrToRoot: boolean
  readonly xattrs?: XattrFilter
  readonly rootMetadata?: RootRule
  readonly profile?: DirectoryProfile
  readonly oneFileSystem?: MountRule
  readonly json?: true
}

const pathArgument = 'the directory, which becomes / of the image'

/** Commands that make an image of a directory on disk. */
export function addDirectoryCommands(program: Command): void {
  addOptions(
    program
      .command('create-image')
      .description('store the contents of a directory, make its image, and print the image id')
      .argument('<path>', pathArgument)
      .argument('[name]', 'names the image: refs/NAME'),
    'create-image --bootable /mnt/root my/image',
  )
    .addOption(bootable())
    .option('--json', 'print what was done as JSON')
    .action((path: string, name: string | undefined, flags: DirectoryFlags, command: Command) => {
      if (name !== undefined && !isDirectory(path) && isDirectory(name)) {
        throw swapped(`create-image ${name} ${path}`, 'directory')
      }
      return withRepository(command, async (repository) => {
        repository.assertWritable()
        const signal = interruptible('the repository is sound')
        const fileSystem = await directoryTree(path, repository.objects, { ...optionsOf(flags), signal })
        const images = await publish(repository, fileSystem, name)
        const imageId = images.get(repository.formats.default)!
        if (!flags.json) return printLine(imageId.toString())
        const byVersion = Object.fromEntries([...images].map(([version, { hex }]) => [`v${version}`, hex]))
        return printJson({ imageId: imageId.hex, images: byVersion, name: name ?? null, objects: repository.stats })
      })
    })

  addOptions(
    program
      .command('compute-id')
      .description('print the image id of a directory; stores nothing')
      .argument('<path>', pathArgument),
    'compute-id --hash sha256 /mnt/root',
  )
    .addOption(bootable())
    .option('--json', 'print it with its hash and image format as JSON')
    .action(async (path: string, flags: DirectoryFlags, command: Command) => {
      const { id, version } = await imageId(path, optionsOf(flags), command)
      if (!flags.json) return printLine(id.hex)
      return printJson({ imageId: id.hex, algorithm: id.algorithm, erofsVersion: version })
    })

  addOptions(
    program
      .command('compute-karg')
      .description('print the kernel argument that boots the bootable image of a directory; stores nothing')
      .argument('<path>', pathArgument),
    'compute-karg /mnt/base > /etc/kernel/cmdline',
  )
    .option('--json', 'print it with the image id as JSON')
    .action(async (path: string, flags: DirectoryFlags, command: Command) => {
      const { id, version } = await imageId(path, { ...optionsOf(flags), bootable: true }, command)
      // Version 0 images are found the same way as those of version 1.
      const karg = version === 2 ? `composefs=${id.hex}` : `composefs.digest=v1-${id.algorithm}-12:${id.hex}`
      return flags.json ? printJson({ karg, imageId: id.hex }) : printLine(karg)
    })

  addOptions(
    program
      .command('create-dumpfile')
      .description('write the dumpfile of a directory; stores nothing')
      .argument('<path>', pathArgument),
    'create-dumpfile /mnt/root | composefs mkfs --from-file - image.cfs',
  )
    .addOption(bootable())
    .action(async (path: string, flags: DirectoryFlags, command: Command) => {
      const store = new DigestStore(hashWithoutRepository(globals(command)))
      const fileSystem = await directoryTree(path, store, { ...optionsOf(flags), signal: interruption })
      await printAll(dumpfileChunks(homeItems(fileSystem)))
    })
}

const bootable = (): Option => new Option('--bootable', 'as a bootable image: /boot and /sysroot empty, SELinux labels')

function addOptions(command: Command, example: string): Command {
  return command
    .addOption(
      new Option('--profile <name>', 'bundle of rules: cfsctl of today, everything as it is, or the rules of 2024')
        .choices(['container-root', 'raw', 'pr36'])
        .default('container-root'),
    )
    .addOption(
      new Option('--no-propagate-usr-to-root', 'everything as it is on disk: root, /run and xattrs; as --profile raw'),
    )
    .addOption(
      new Option(
        '--root-metadata <rule>',
        'root metadata: that of /usr, newest time and 0555, newest time, as it is',
      ).choices(['usr', 'newest', 'newest-time', 'keep']),
    )
    .addOption(
      new Option('--xattrs <filter>', 'extended attributes that stay').choices([
        'allowlist-only',
        'keep-user-xattrs',
        'all',
      ]),
    )
    .addOption(
      new Option('--one-file-system <rule>', 'file systems mounted below: an error, left out empty, or scanned too')
        .choices(['refuse', 'skip', 'cross'])
        .default('refuse'),
    )
    .addHelpText('after', `\nExample:\n  composefs ${example}`)
}

/** From flags to the library's options. */
function optionsOf(flags: DirectoryFlags): DirectoryTreeOptions {
  const { propagateUsrToRoot, profile, rootMetadata, xattrs, oneFileSystem, bootable } = flags
  if (!propagateUsrToRoot && rootMetadata !== undefined) {
    throw new ComposefsError('ERR_ARGUMENT', '--no-propagate-usr-to-root and --root-metadata exclude each other')
  }
  return {
    // As cfsctl has it, this goes for all xattrs too, whatever --xattrs says.
    ...(propagateUsrToRoot ? profile !== undefined && { profile } : { profile: 'raw' }),
    ...(propagateUsrToRoot && xattrs !== undefined && { xattrs }),
    ...(rootMetadata !== undefined && { root: rootMetadata }),
    ...(oneFileSystem !== undefined && { oneFileSystem }),
    ...(bootable !== undefined && { bootable }),
  }
}

async function imageId(path: string, options: DirectoryTreeOptions, command: Command) {
  const algorithm = hashWithoutRepository(globals(command))
  const version = erofsVersion(globals(command)) ?? 1
  const fileSystem = await directoryTree(path, new DigestStore(algorithm), { ...options, signal: interruption })
  const image = await makeImage(fileSystem, { version, signal: interruption })
  return { id: fsverityDigest(algorithm, image), version }
}

/** Stores and links the image in every format of the repository; the name is that of the default one. */
async function publish(repository: Repository, fileSystem: FileSystem, name: string | undefined) {
  const { default: first, extra } = repository.formats
  const images = new Map<ErofsVersion, ObjectId>()
  for (const version of [first, ...extra]) images.set(version, await storeImage(repository, fileSystem, version))
  await repository.transaction((transaction) => {
    for (const id of images.values()) transaction.linkImage(id)
    if (name !== undefined) transaction.setRef('images', name, images.get(first) as ObjectId)
  })
  return images
}
