/**
 * What the options in front of a command decide: which repository, which hash, which image format.
 *
 * @packageDocumentation
 */
import { homedir } from 'node:os'
import type { Command } from 'commander'
import type { ErofsVersion } from '../erofs/format.ts'
import { ComposefsError } from '../errors.ts'
import type { Algorithm } from '../fsverity/object-id.ts'
import { readMetadata } from '../repository/metadata-file.ts'
import type { Repository } from '../repository/repository.ts'
import { note } from './output.ts'

/** The global options, as commander gives them. */
export interface GlobalOptions {
  /** `false` for `--no-repo`. */
  readonly repo?: string | false
  readonly user?: true
  readonly system?: true
  readonly hash?: Algorithm
  readonly insecure?: true
  readonly requireVerity?: true
  readonly verifyObjects?: true
  readonly upgrade: boolean
  readonly erofsVersion?: string
}

/** The global options of the program that a command belongs to. */
export const globals = (command: Command): GlobalOptions => command.optsWithGlobals<GlobalOptions>()

/** Where the repository is: `--repo`, `--user`, `--system`, `COMPOSEFS_REPO`; else by user, as cfsctl has it. */
export function repositoryPath({ repo, user, system }: GlobalOptions): string {
  if ([repo, user, system].filter((option) => option !== undefined).length > 1) {
    throw new ComposefsError('ERR_ARGUMENT', '--repo, --user and --system exclude each other')
  }
  if (repo === false) {
    throw new ComposefsError('ERR_ARGUMENT', 'this command needs a repository; --no-repo is not for it')
  }
  const own = `${homedir()}/.var/lib/composefs`
  if (repo !== undefined) return repo
  if (system) return '/sysroot/composefs'
  if (user) return own
  return process.env['COMPOSEFS_REPO'] ?? (process.getuid?.() === 0 ? '/sysroot/composefs' : own)
}

/** `--erofs-version`, undefined where it was not given. */
export function erofsVersion({ erofsVersion: text }: { readonly erofsVersion?: string }): ErofsVersion | undefined {
  if (text === undefined) return undefined
  if (text === '0' || text === '1' || text === '2') return Number(text) as ErofsVersion
  throw new ComposefsError('ERR_ARGUMENT', `there is no EROFS format version ${text}`, { hint: 'choose 0, 1 or 2' })
}

/** Loaded by those commands alone that use a repository. */
const loadRepository = async () => (await import('../repository/repository.ts')).Repository

/**
 * The hash for a command that needs no repository: `--hash`, or that of the repository if there is one, or sha512. The
 * repository is not opened.
 */
export function hashWithoutRepository(options: GlobalOptions): Algorithm {
  const { repo, hash } = options
  if (hash !== undefined) return hash
  return (repo === false ? undefined : readMetadata(repositoryPath(options))?.algorithm) ?? 'sha512'
}

/** Opens the repository for one command and closes it afterwards. */
export async function withRepository<T>(command: Command, use: (repository: Repository) => Promise<T>): Promise<T> {
  const options = globals(command)
  const Repository = await loadRepository()
  const repository = await Repository.open(repositoryPath(options), openOptions(options))
  return closeAfter(checkVerity(repository, options), use)
}

/** The same, but makes the repository where there is none: with fs-verity if the file system has it. */
export async function withNewRepository<T>(command: Command, use: (repository: Repository) => Promise<T>): Promise<T> {
  const options = globals(command)
  const path = repositoryPath(options)
  const Repository = await loadRepository()
  try {
    const repository = await Repository.open(path, openOptions(options))
    return closeAfter(checkVerity(repository, options), use)
  } catch (error) {
    if (!(error instanceof ComposefsError) || error.code !== 'ERR_REPOSITORY_MISSING') throw error
  }
  const { hash, requireVerity, insecure } = options
  const version = erofsVersion(options)
  const repository = await Repository.init(path, {
    insecure: insecure ?? (requireVerity ? false : 'auto'),
    ...(hash !== undefined && { algorithm: hash }),
    ...(version !== undefined && { erofsVersion: version }),
  })
  const verity = repository.verityRequired ? 'with fs-verity' : 'without fs-verity, which this file system lacks'
  note(`made a repository ${verity}: ${path}`)
  return closeAfter(repository, use)
}

function openOptions(options: GlobalOptions) {
  const version = erofsVersion(options)
  return {
    upgrade: options.upgrade,
    ...(options.hash !== undefined && { algorithm: options.hash }),
    ...(options.insecure !== undefined && { insecure: options.insecure }),
    ...(options.verifyObjects && { verifyObjects: true }),
    ...(version !== undefined && { erofsVersion: version }),
  }
}

function checkVerity(repository: Repository, { requireVerity }: GlobalOptions): Repository {
  if (!requireVerity || repository.verityRequired) return repository
  throw new ComposefsError('ERR_REPOSITORY_VERITY', 'the repository does not require fs-verity', {
    path: repository.path,
    hint: 'leave out --require-verity, or make a repository on a file system that has it',
  })
}

async function closeAfter<T>(repository: Repository, use: (repository: Repository) => Promise<T>): Promise<T> {
  try {
    return await use(repository)
  } finally {
    await repository.close()
  }
}
