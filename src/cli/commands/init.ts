import { type Command, Option } from 'commander'
import { ComposefsError } from '../../errors.ts'
import type { Algorithm } from '../../fsverity/object-id.ts'
import type { InitOptions } from '../../repository/init.ts'
import { Repository } from '../../repository/repository.ts'
import { resetRepository } from '../../repository/reset.ts'
import {
  checkVerity,
  erofsVersion,
  type GlobalOptions,
  globals,
  insecureOf,
  opening,
  repositoryPlace,
} from '../context.ts'
import { printLine } from '../output.ts'

/** `composefs init`: makes a repository. */
export function addInitCommand(program: Command): void {
  program
    .command('init')
    .description('make a repository')
    .argument('[path]', 'where; otherwise what --repo, --user, --system or COMPOSEFS_REPO say')
    .addOption(new Option('--algorithm <name>', 'fsverity-sha256-12 or fsverity-sha512-12 (default)'))
    .option('--ensure', 'open what is there, whatever its configuration')
    .option('--reset-metadata', 'drop all streams and images of a repository that nobody else uses; objects stay')
    .addHelpText('after', '\nExample:\n  composefs init --insecure --erofs-version 1 ./repo')
    .action(async (path: string | undefined, flags: InitFlags, command: Command) => {
      const options = globals(command)
      const where = path ?? namedPlace(options)
      const wanted = initOptions(flags, options)
      if (flags.resetMetadata) await resetRepository(where, { ...wanted, ...opening })
      const repository = await checkVerity(await open(where, flags, wanted), options)
      const { metadata, verityRequired, isNew } = repository
      await repository.close()
      if (!isNew && !flags.resetMetadata) {
        const kept = flags.ensure ? ' (existing configuration preserved)' : ''
        await printLine(`Repository already initialized at ${where}${kept}`)
        return
      }
      await printLine(`Initialized composefs repository at ${where}`)
      await printLine(`  algorithm: fsverity-${metadata.algorithm}-12`)
      await printLine(`  verity:    ${verityRequired ? 'required' : 'not required (insecure)'}`)
    })
}

function namedPlace(options: GlobalOptions): string {
  const { path, named } = repositoryPlace(options)
  if (named) return path
  throw new ComposefsError('ERR_ARGUMENT', 'say where the repository goes', {
    hint: `init PATH, or --system or --user for the default place (here ${path})`,
  })
}

interface InitFlags {
  readonly algorithm?: string
  readonly ensure?: true
  readonly resetMetadata?: true
}

async function open(path: string, flags: InitFlags, wanted: InitOptions): Promise<Repository> {
  if (flags.ensure) {
    try {
      return await Repository.open(path, opening)
    } catch (error) {
      if (!(error instanceof ComposefsError) || error.code !== 'ERR_REPOSITORY_MISSING') throw error
    }
  }
  return Repository.init(path, { ...wanted, ...opening })
}

function initOptions(flags: InitFlags, options: GlobalOptions): InitOptions {
  const version = erofsVersion(options)
  return {
    algorithm: algorithmOf(flags.algorithm) ?? options.hash ?? 'sha512',
    insecure: insecureOf(options, false),
    ...(version !== undefined && { erofsVersion: version }),
  }
}

function algorithmOf(name: string | undefined): Algorithm | undefined {
  if (name === undefined) return undefined
  const algorithm = /^fsverity-(sha256|sha512)-12$/.exec(name)?.[1]
  if (algorithm !== undefined) return algorithm as Algorithm
  throw new ComposefsError('ERR_ARGUMENT', `there is no algorithm ${name}`, {
    hint: 'choose fsverity-sha256-12 or fsverity-sha512-12',
  })
}
