/**
 * All commands and their options.
 *
 * @packageDocumentation
 */
import { Command, Option } from 'commander'
import { notes } from './output.ts'

type Add = (program: Command) => void

/** Which file knows which commands. Only what a call needs is loaded: the rest would take longer than most calls. */
const files: readonly { readonly names: readonly string[]; readonly load: () => Promise<Add> }[] = [
  { names: ['init'], load: async () => (await import('./commands/init.ts')).addInitCommand },
  { names: ['import'], load: async () => (await import('./commands/import.ts')).addImportCommand },
  {
    names: ['create-image', 'compute-id', 'compute-karg', 'create-dumpfile'],
    load: async () => (await import('./commands/directory.ts')).addDirectoryCommands,
  },
  { names: ['checkout'], load: async () => (await import('./commands/checkout.ts')).addCheckoutCommand },
  { names: ['diff'], load: async () => (await import('./commands/diff.ts')).addDiffCommand },
  { names: ['mkfs'], load: async () => (await import('./commands/mkfs.ts')).addMkfsCommand },
  {
    names: ['ls', 'dump', 'objects', 'missing-objects'],
    load: async () => (await import('./commands/image.ts')).addImageCommands,
  },
  {
    names: ['cat', 'images', 'list-images', 'image-objects', 'dump-files', 'measure-file'],
    load: async () => (await import('./commands/repository.ts')).addRepositoryCommands,
  },
  { names: ['oci'], load: async () => (await import('./commands/oci.ts')).addOciCommand },
]

/** The program, ready to parse these arguments: with the commands that they name, or with all where they name none. */
export async function makeProgram(version: string, args: readonly string[]): Promise<Command> {
  const program = new Command('composefs')
    .description('Verified, deduplicated container and OS images from streams')
    .version(version)
    .exitOverride()
    .configureHelp({ sortSubcommands: true })
    .addOption(new Option('--repo <path>', 'the repository; also COMPOSEFS_REPO'))
    .addOption(new Option('--no-repo', 'use no repository, not even to learn its hash'))
    .addOption(new Option('--user', 'the repository of this user: ~/.var/lib/composefs'))
    .addOption(new Option('--system', 'the repository of the system: /sysroot/composefs'))
    .addOption(new Option('--hash <algorithm>', 'the hash, where no repository decides').choices(['sha256', 'sha512']))
    .addOption(new Option('--require-verity', 'fail unless the repository requires fs-verity'))
    .addOption(new Option('--insecure', 'do not require fs-verity').hideHelp())
    .addOption(
      new Option('--verify-objects', 'compare what is in the repository with what is stored, and replace damage'),
    )
    .addOption(new Option('--no-upgrade', 'do not upgrade a repository without meta.json'))
    .addOption(new Option('--erofs-version <n>', 'image format 0, 1 or 2 for this call'))
    .addHelpText(
      'after',
      '\nExample:\n  skopeo copy -q docker://REGISTRY/IMAGE docker-archive:/dev/stdout |\n    composefs --repo ./repo import --name IMAGE',
    )
  program.hook('preAction', (_program, command) => {
    notes.json = command.opts()['progress'] === 'json'
  })
  const named = files.filter(({ names }) => names.some((name) => args.includes(name)))
  for (const add of await Promise.all((named.length > 0 ? named : files).map(({ load }) => load()))) add(program)
  return program
}
