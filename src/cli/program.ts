/**
 * All commands and their options.
 *
 * @packageDocumentation
 */
import { Command, CommanderError, Option } from 'commander'
import { ComposefsError } from '../errors.ts'
import { defaultPlaces } from './context.ts'
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
  { names: ['gc'], load: async () => (await import('./commands/gc.ts')).addGcCommand },
  {
    names: ['oci'],
    load: async () => {
      // In parts: of what is loaded at once Node has every file open, and some systems do not allow so many.
      await import('../streams/index.ts')
      await import('../repository/repository.ts')
      return (await import('./commands/oci.ts')).addOciCommand
    },
  },
]

/** The program, ready to parse these arguments: with the commands that they name, or with all where they name none. */
export async function makeProgram(version: string, args: readonly string[]): Promise<Command> {
  const program = new Command('composefs')
    .description('Verified, deduplicated container and OS images from streams')
    .version(version)
    .exitOverride()
    // Errors are thrown, and reported like all others.
    .configureOutput({ outputError: () => {} })
    .configureHelp({ sortSubcommands: true })
    .addOption(new Option('--repo <path>', `the repository; also COMPOSEFS_REPO; default: ${defaultPlaces.text}`))
    .addOption(new Option('--no-repo', 'use no repository, not even to learn its hash'))
    .addOption(new Option('--user', `the repository of this user: ${defaultPlaces.user}`))
    .addOption(new Option('--system', `the repository of the system: ${defaultPlaces.system}`))
    .addOption(new Option('--hash <algorithm>', 'the hash, where no repository decides').choices(['sha256', 'sha512']))
    .addOption(new Option('--require-verity', 'fail unless the repository requires fs-verity, also a new one'))
    .addOption(
      new Option(
        '--insecure',
        'do without fs-verity, also in a new repository; otherwise init requires it, and import, pull and copy do where there is any',
      ),
    )
    .addOption(
      new Option('--verify-objects', 'compare what is in the repository with what is stored, and replace damage'),
    )
    .addOption(new Option('--no-upgrade', 'do not upgrade a repository without meta.json'))
    .addOption(new Option('--erofs-version <n>', 'image format 0, 1 or 2 for this call'))
    .addHelpText(
      'after',
      '\nOnly a repository that was named is made; the default one is used where it exists.' +
        '\n\nExample:\n  skopeo copy -q docker://REGISTRY/IMAGE docker-archive:/dev/stdout |\n    composefs --repo ./repo import --name IMAGE',
    )
  const name = firstOperand(args)
  const named = files.filter(({ names }) => name !== undefined && names.includes(name))
  for (const add of await Promise.all((named.length > 0 ? named : files).map(({ load }) => load()))) add(program)
  return program
}

/** Undefined where it stands behind an option that the program does not have. */
function firstOperand(args: readonly string[]): string | undefined {
  const valued = new Set(['--repo', '--hash', '--erofs-version'])
  const bare = new Set(['--no-repo', '--user', '--system', '--require-verity', '--insecure', '--no-upgrade'])
  for (let i = 0; i < args.length; i++) {
    const arg = args[i]!
    if (!arg.startsWith('-')) return arg
    if (valued.has(arg)) i++
    else if (!bare.has(arg) && !valued.has(arg.split('=')[0]!)) return undefined
  }
  return undefined
}

/**
 * Does what a command line says.
 *
 * @throws {@link ComposefsError} `ERR_ARGUMENT` for wrong usage, and what the commands throw
 */
export async function runProgram(version: string, args: readonly string[]): Promise<void> {
  // Usage errors are known before any option is.
  notes.json = args.some((arg, i) => arg === '--progress=json' || (arg === '--progress' && args[i + 1] === 'json'))
  const program = await makeProgram(version, args)
  try {
    await program.parseAsync(args, { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    // Help and version were asked for, and were printed.
    if (error.exitCode !== 0) throw usageError(error, await makeProgram(version, []), args)
  }
}

/** What commander says, which may have a second line: `(Did you mean import?)`. The program has all commands. */
function usageError(cause: CommanderError, program: Command, args: readonly string[]): ComposefsError {
  if (cause.code === 'commander.help') return new ComposefsError('ERR_ARGUMENT', 'say which command', { cause })
  const [, what = '', similar] = /^(?:error: )?(.*?)(?:\n\(Did you mean (.*)\?\))?$/s.exec(cause.message) ?? []
  const unknown = /^unknown command '(.*)'$/s.exec(what)?.[1]
  const elsewhere = unknown === undefined ? [] : pathsOf(unknown, program)
  const meant = elsewhere.length > 0 ? elsewhere.join(' or ') : similar
  const before = unknown === undefined ? args : args.slice(0, args.indexOf(unknown))
  const usage = `see: ${pathOf(commandOf(program, before))} --help`
  const hint = meant === undefined ? usage : `did you mean ${meant}? ${usage}`
  return new ComposefsError('ERR_ARGUMENT', what, { hint, cause })
}

/** Where there is a command of this name: `composefs oci pull`. */
const pathsOf = (name: string, command: Command): string[] =>
  command.commands.flatMap((child) => (child.name() === name ? [pathOf(child)] : pathsOf(name, child)))

const pathOf = (command: Command): string =>
  command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`

/** The innermost command that arguments name. */
function commandOf(program: Command, args: readonly string[]): Command {
  return args.reduce((at, arg) => at.commands.find((child) => child.name() === arg) ?? at, program)
}
