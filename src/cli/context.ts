/**
 * What the options in front of a command decide: which repository, which hash, which image format.
 *
 * @packageDocumentation
 */
import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import type { Command } from 'commander'
import type { ErofsVersion } from '../erofs/format.ts'
import { ComposefsError } from '../errors.ts'
import type { Algorithm } from '../fsverity/object-id.ts'
import type { LockEvent } from '../repository/lock.ts'
import { readMetadata } from '../repository/metadata-file.ts'
import type { OpenOptions } from '../repository/open.ts'
import type { Repository } from '../repository/repository.ts'
import { interruption } from './interrupt.ts'
import { withFreedMemory } from './memory.ts'
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

const userPlace = '.var/lib/composefs'
const systemPlace = '/sysroot/composefs'

/** Where repositories are that nobody names, as `--help` says it. */
export const defaultPlaces: Readonly<Record<'user' | 'system' | 'text', string>> = {
  user: `~/${userPlace}`,
  system: systemPlace,
  text: `${systemPlace} for root, ~/${userPlace} for others`,
}

/** Where the repository is, and whether that was said or is the default. */
export interface RepositoryPlace {
  readonly path: string
  readonly named: boolean
}

/** Where the repository is: `--repo`, `--user`, `--system`, `COMPOSEFS_REPO`; else by user, as cfsctl has it. */
export function repositoryPlace({ repo, user, system }: GlobalOptions): RepositoryPlace {
  if ([repo, user, system].filter((option) => option !== undefined).length > 1) {
    throw new ComposefsError('ERR_ARGUMENT', '--repo, --user and --system exclude each other')
  }
  if (repo === false) {
    throw new ComposefsError('ERR_ARGUMENT', 'this command needs a repository; --no-repo is not for it')
  }
  // It comes from a variable that is not set, and would be the current directory.
  if (repo === '') throw new ComposefsError('ERR_ARGUMENT', 'the path of the repository is empty')
  const own = `${homedir()}/${userPlace}`
  const said = repo ?? (system ? systemPlace : user ? own : process.env['COMPOSEFS_REPO'] || undefined)
  return { path: said ?? (process.getuid?.() === 0 ? systemPlace : own), named: said !== undefined }
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
  return (repo === false ? undefined : readMetadata(repositoryPlace(options).path)?.algorithm) ?? 'sha512'
}

/** Opens the repository for one command and closes it afterwards. */
export async function withRepository<T>(command: Command, use: (repository: Repository) => Promise<T>): Promise<T> {
  const options = globals(command)
  return closeAfter(await openRepository(repositoryPlace(options), options), use)
}

/**
 * The same, but makes the repository where it was named and there is none: with fs-verity if the file system has it. A
 * default place is somewhere else than people who forget `--repo` believe, and nobody would look for it there.
 *
 * The repository is opened, or made, when `open` is called for the first time: what fails before that leaves none behind.
 */
export async function withNewRepository<T>(
  command: Command,
  use: (open: () => Promise<Repository>) => Promise<T>,
): Promise<T> {
  const options = globals(command)
  const place = repositoryPlace(options)
  // Nobody wants to wait for what can only fail.
  openOptions(options)
  if (!place.named && readMetadata(place.path) === undefined) await (await openRepository(place, options)).close()
  let opened: Promise<Repository> | undefined
  try {
    return await withFreedMemory(() =>
      use(() => {
        opened ??= openOrMake(place, options)
        return opened
      }),
    )
  } finally {
    const repository = await opened?.catch(() => undefined)
    await repository?.close()
  }
}

async function openOrMake(place: RepositoryPlace, options: GlobalOptions): Promise<Repository> {
  const { path, named } = place
  try {
    return await openRepository(place, options)
  } catch (error) {
    if (!isMissing(error) || !named) throw error
  }
  const Repository = await loadRepository()
  const { hash } = options
  const version = erofsVersion(options)
  const repository = await Repository.init(path, {
    insecure: insecureOf(options, 'auto'),
    ...(hash !== undefined && { algorithm: hash }),
    ...(version !== undefined && { erofsVersion: version }),
    ...opening,
  })
  const lacking = options.insecure ? '' : ', which this file system lacks'
  const verity = repository.verityRequired ? 'with fs-verity' : `without fs-verity${lacking}`
  note(`made a repository ${verity}: ${path}`)
  return repository
}

async function openRepository({ path, named }: RepositoryPlace, options: GlobalOptions): Promise<Repository> {
  const Repository = await loadRepository()
  try {
    return await checkVerity(await Repository.open(path, openOptions(options)), options)
  } catch (error) {
    if (named || !isMissing(error)) throw error
    const near = ['.', './repo'].find((place) => existsSync(`${place}/meta.json`))
    throw new ComposefsError('ERR_REPOSITORY_MISSING', 'no repository was named, and the default one does not exist', {
      path,
      hint: near === undefined ? 'name one with --repo PATH or COMPOSEFS_REPO' : `there is one here: --repo ${near}`,
      cause: error,
    })
  }
}

const isMissing = (error: unknown): error is ComposefsError =>
  error instanceof ComposefsError && error.code === 'ERR_REPOSITORY_MISSING'

/** What every command says of locks, and how it waits for them. */
export const opening: Pick<OpenOptions, 'signal' | 'onLock'> = { signal: interruption, onLock: noteLock }
let toldOfNone = false

function noteLock(event: LockEvent): void {
  if (event.type === 'lock-wait') {
    note(`waiting for another program that has locked ${event.path} (a garbage collection?); Ctrl-C ends the wait`)
  } else if (!toldOfNone) {
    toldOfNone = true
    note(`warning: nothing keeps a garbage collection away from ${event.path}: ${event.reason}`)
  }
}

/** How a command opens a repository that is there. */
export function openOptions(options: GlobalOptions): OpenOptions {
  const version = erofsVersion(options)
  return {
    ...opening,
    upgrade: options.upgrade,
    ...(options.hash !== undefined && { algorithm: options.hash }),
    insecure: insecureOf(options, false) === true,
    ...(options.verifyObjects && { verifyObjects: true }),
    ...(version !== undefined && { erofsVersion: version }),
  }
}

/**
 * Whether a new repository does without fs-verity, and an old one is used without.
 *
 * @param otherwise where no option says it
 * @throws {@link ComposefsError} `ERR_ARGUMENT`
 */
export function insecureOf<T>({ insecure, requireVerity }: GlobalOptions, otherwise: T): boolean | T {
  if (insecure && requireVerity) {
    throw new ComposefsError('ERR_ARGUMENT', '--insecure and --require-verity exclude each other')
  }
  return insecure ?? (requireVerity ? false : otherwise)
}

/** Hands on a repository that is as `--require-verity` wants it, and closes any other. */
export async function checkVerity(repository: Repository, { requireVerity }: GlobalOptions): Promise<Repository> {
  if (!requireVerity || repository.verityRequired) return repository
  await repository.close()
  throw new ComposefsError('ERR_REPOSITORY_VERITY', 'the repository does not require fs-verity', {
    path: repository.path,
    hint: 'leave out --require-verity, or make a repository on a file system that has it',
  })
}

async function closeAfter<T>(repository: Repository, use: (repository: Repository) => Promise<T>): Promise<T> {
  try {
    return await withFreedMemory(() => use(repository))
  } finally {
    await repository.close()
  }
}
