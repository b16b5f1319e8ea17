/**
 * All commands and their options.
 *
 * @packageDocumentation
 */
import { Command, Option } from 'commander'
import { addImageCommands } from './commands/image.ts'
import { addImportCommand } from './commands/import.ts'
import { addInitCommand } from './commands/init.ts'
import { addMkfsCommand } from './commands/mkfs.ts'
import { addOciCommands } from './commands/oci.ts'
import { addOciLayerCommands } from './commands/oci-layer.ts'
import { addOciPullCommand } from './commands/oci-pull.ts'
import { addRepositoryCommands } from './commands/repository.ts'

/** The program, ready to parse `process.argv`. */
export function makeProgram(version: string): Command {
  const program = new Command('composefs')
    .description('Verified, deduplicated container and OS images from streams')
    .version(version)
    .exitOverride()
    .configureHelp({ sortSubcommands: true })
    .addOption(new Option('--repo <path>', 'the repository; also COMPOSEFS_REPO'))
    .addOption(new Option('--user', 'the repository of this user: ~/.var/lib/composefs'))
    .addOption(new Option('--system', 'the repository of the system: /sysroot/composefs'))
    .addOption(new Option('--hash <algorithm>', 'the hash, where no repository decides').choices(['sha256', 'sha512']))
    .addOption(new Option('--require-verity', 'fail unless the repository requires fs-verity'))
    .addOption(new Option('--insecure', 'do not require fs-verity').hideHelp())
    .addOption(new Option('--no-upgrade', 'do not upgrade a repository without meta.json'))
    .addOption(new Option('--erofs-version <n>', 'image format 0, 1 or 2 for this call'))
    .addHelpText(
      'after',
      '\nExample:\n  skopeo copy -q docker://quay.io/fedora/fedora docker-archive:/dev/stdout |\n    composefs --repo ./repo import --name fedora',
    )
  addInitCommand(program)
  addImportCommand(program)
  addMkfsCommand(program)
  addImageCommands(program)
  addRepositoryCommands(program)
  const oci = program.command('oci').description('OCI images of the repository')
  addOciCommands(oci)
  addOciLayerCommands(oci)
  addOciPullCommand(oci)
  return program
}
