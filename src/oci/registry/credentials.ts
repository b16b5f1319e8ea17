/**
 * Stored credentials, where podman, skopeo and docker keep them (containers-auth.json(5)).
 *
 * @packageDocumentation
 */
import { closeSync, constants, openSync, readSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ComposefsError } from '../../errors.ts'
import { isErrno } from '../../native/errno.ts'
import { askHelper } from './credential-helper.ts'
import { printable } from './failures.ts'
import type { Reference } from './reference.ts'

/** What shows a registry who we are. */
export type Credentials = {
  /** Where they come from, for messages. */
  readonly source: string
} & (
  | { readonly kind: 'password'; readonly username: string; readonly password: string }
  | { readonly kind: 'identity-token'; readonly token: string }
)

/** Where to look for credentials. */
export interface CredentialOptions {
  /** `USER:PASSWORD`; nothing else is looked at then. */
  readonly creds?: string
  /** The only file to look into. Default: `REGISTRY_AUTH_FILE`, else those of podman and docker, one after the other. */
  readonly authFile?: string
}

/** What was found, and what did not work on the way. */
export interface FoundCredentials {
  readonly credentials: Credentials | undefined
  /** A helper that is not there or fails; without credentials public images can be had all the same. */
  readonly problem: ComposefsError | undefined
}

/**
 * The credentials for a repository: the most specific entry (`quay.io/team/app`, `quay.io/team`, `quay.io`) of the first
 * file that has one. Keys that are URLs, as Docker once wrote them, count where no other is there.
 *
 * @throws {@link ComposefsError} `ERR_REGISTRY_CREDENTIALS` for a file that does not work, and for a helper where
 * nothing else was found; `ERR_ARGUMENT`
 */
export async function findCredentials(
  reference: Pick<Reference, 'registry' | 'repository'>,
  options: CredentialOptions = {},
  signal?: AbortSignal,
): Promise<Credentials | undefined> {
  const { credentials, problem } = await lookUpCredentials(reference, options, { signal })
  if (credentials === undefined && problem !== undefined) throw problem
  return credentials
}

/** How long helpers may take. */
export interface HelperPatience {
  readonly timeout?: number | undefined
  readonly signal?: AbortSignal | undefined
}

/** As {@link findCredentials}, but a helper that does not work is told and no failure. */
export async function lookUpCredentials(
  reference: Pick<Reference, 'registry' | 'repository'>,
  { creds, authFile }: CredentialOptions,
  patience: HelperPatience,
): Promise<FoundCredentials> {
  if (creds !== undefined) return { credentials: parseCreds(creds), problem: undefined }
  const explicit = authFile ?? process.env['REGISTRY_AUTH_FILE']
  const only = explicit === undefined || explicit === '' ? undefined : explicit
  let problem: ComposefsError | undefined
  for (const path of only === undefined ? standardFiles() : [only]) {
    const file = await readAuthFile(path, path === authFile, patience.signal)
    const found = file === undefined ? undefined : await fromFile(file, path, reference, patience)
    problem ??= found?.problem
    if (found?.credentials !== undefined) return { ...found, problem }
  }
  return { credentials: undefined, problem }
}

function parseCreds(creds: string): Credentials {
  const colon = creds.indexOf(':')
  if (colon > 0) {
    return { kind: 'password', username: creds.slice(0, colon), password: creds.slice(colon + 1), source: '--creds' }
  }
  throw new ComposefsError('ERR_ARGUMENT', 'credentials are given as USER:PASSWORD')
}

function standardFiles(): string[] {
  const { XDG_RUNTIME_DIR, XDG_CONFIG_HOME, DOCKER_CONFIG } = process.env
  const home = homedir()
  const runtime = XDG_RUNTIME_DIR ?? (process.getuid === undefined ? undefined : `/run/user/${process.getuid()}`)
  return [
    ...(runtime === undefined ? [] : [join(runtime, 'containers/auth.json')]),
    `/run/containers/${process.getuid?.() ?? 0}/auth.json`,
    join(XDG_CONFIG_HOME ?? join(home, '.config'), 'containers/auth.json'),
    join(DOCKER_CONFIG ?? join(home, '.docker'), 'config.json'),
    join(home, '.dockercfg'),
  ]
}

/** Bytes; it is a list of a few names. */
const maxAuthFile = 1024 * 1024

type Entry = Readonly<Record<string, unknown>>

interface AuthFile {
  readonly auths: Readonly<Record<string, Entry>>
  readonly credHelpers: Readonly<Record<string, unknown>>
  readonly credsStore: unknown
}

/** Undefined where there is none. */
async function readAuthFile(path: string, required: boolean, signal?: AbortSignal): Promise<AuthFile | undefined> {
  const text = await readSmall(path, required, signal)
  if (text === undefined) return undefined
  // Like /dev/null, which is there to say that nobody logs in.
  if (text.trim() === '') return { auths: {}, credHelpers: {}, credsStore: undefined }
  try {
    const json = JSON.parse(text) as Record<string, unknown>
    const object = (value: unknown) =>
      typeof value === 'object' && value !== null ? (value as Record<string, never>) : {}
    // The old .dockercfg is the map of entries itself.
    const auths = path.endsWith('.dockercfg') ? object(json) : object(json['auths'])
    return { auths, credHelpers: object(json['credHelpers']), credsStore: json['credsStore'] }
  } catch {
    // The parser's own message may quote what the file says.
    throw unusable(path, 'it is not JSON')
  }
}

/** A file or a pipe that somebody writes to; neither a device without end nor a pipe without writer is waited for. */
async function readSmall(path: string, required: boolean, signal?: AbortSignal): Promise<string | undefined> {
  let fd: number | undefined
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
    const bytes = Buffer.alloc(maxAuthFile + 1)
    for (let length = 0; length <= maxAuthFile; ) {
      let count: number
      try {
        count = readSync(fd, bytes, length, bytes.length - length, null)
      } catch (error) {
        if (!isErrno(error, 'EAGAIN')) throw error
        await sleep(10, undefined, { signal })
        continue
      }
      if (count === 0) return bytes.toString('utf8', 0, length)
      length += count
    }
  } catch (error) {
    signal?.throwIfAborted()
    const gone = isErrno(error, 'ENOENT') || isErrno(error, 'ENOTDIR')
    if (!required && (gone || isErrno(error, 'EACCES'))) return undefined
    if (!gone) throw unusable(path, 'it cannot be read', error)
    const hint = 'to use none pass /dev/null'
    throw new ComposefsError('ERR_REGISTRY_CREDENTIALS', 'there is no such file of credentials', { path, hint })
  } finally {
    if (fd !== undefined) closeSync(fd)
  }
  throw unusable(path, `it is larger than ${maxAuthFile} bytes`)
}

async function fromFile(
  { auths, credHelpers, credsStore }: AuthFile,
  path: string,
  { registry, repository }: Pick<Reference, 'registry' | 'repository'>,
  patience: HelperPatience,
): Promise<FoundCredentials> {
  let problem: ComposefsError | undefined
  const ask = async (helper: unknown, server: string): Promise<Credentials | undefined> => {
    if (typeof helper !== 'string' || helper === '') return undefined
    try {
      return await askHelper(helper, server, path, patience)
    } catch (error) {
      patience.signal?.throwIfAborted()
      if (!(error instanceof ComposefsError)) throw error
      problem ??= error
      return undefined
    }
  }
  const [named] = keysFor(Object.keys(credHelpers), registry)
  let credentials = named === undefined ? undefined : await ask(credHelpers[named], named)
  for (const key of keysFor(Object.keys(auths), registry, repository)) {
    const entry = auths[key]
    credentials ??= entry == null ? undefined : fromEntry(entry, `${path} (${printable(key)})`, path)
  }
  const server = registry === 'docker.io' ? 'https://index.docker.io/v1/' : registry
  // The helper of a host stands in for the common one.
  if (named === undefined) credentials ??= await ask(credsStore, server)
  return { credentials, problem }
}

/** The keys that are for a repository, the best first. */
function keysFor(keys: readonly string[], registry: string, repository?: string): string[] {
  const ranked = keys.map((key) => ({ key, rank: rankOf(key, registry, repository) }))
  return ranked
    .filter(({ rank }) => rank > 0)
    .sort((a, b) => b.rank - a.rank)
    .map(({ key }) => key)
}

/**
 * How well a key fits: exact ones before all others, those of a namespace before those of their host, as in
 * containers-auth.json(5); then those that `docker login` writes or once wrote. 0 where it is for something else.
 */
function rankOf(key: string, registry: string, repository?: string): number {
  const exact = key.replace(/\/+$/, '')
  if (repository !== undefined && `${registry}/${repository}/`.startsWith(`${exact}/`)) return 100 + exact.length
  if (exact === registry) return 100
  const [, scheme, host, path] = /^(https?:\/\/)?([^/]+)(.*)$/.exec(key) ?? []
  // The port of https need not be named.
  if (host === undefined || (dockerName(host) !== registry && host !== `${registry}:443`)) return 0
  // What docker login keeps beside the password when it logs in by browser; neither is one.
  if (/(?:access|refresh)-token\/*$/.test(path!)) return 0
  const plain = /^\/*(?:v[12]\/*)?$/.test(path!)
  // A path is a namespace where there is no scheme.
  if (scheme === undefined && !plain) return 0
  return (
    (plain ? 20 : 10) + (host === registry ? 4 : 0) + (scheme === 'http://' ? 0 : 2) + (scheme === undefined ? 1 : 0)
  )
}

/** Docker's own registry goes by several names. */
function dockerName(host: string): string {
  return host === 'index.docker.io' || host === 'registry-1.docker.io' ? 'docker.io' : host
}

function fromEntry(entry: Entry, source: string, path: string): Credentials | undefined {
  const text = (name: string): string | undefined => {
    const value = entry[name]
    return typeof value === 'string' && value !== '' ? value : undefined
  }
  const token = text('identitytoken')
  if (token !== undefined) return { kind: 'identity-token', token, source }
  const auth = text('auth')
  if (auth !== undefined) {
    const decoded = Buffer.from(auth, 'base64').toString('utf8').replace(/\0+$/, '')
    const colon = decoded.indexOf(':')
    if (colon <= 0) throw unusable(path, `the auth of an entry is not USER:PASSWORD in base64: ${source}`)
    return { kind: 'password', username: decoded.slice(0, colon), password: decoded.slice(colon + 1), source }
  }
  const username = text('username')
  const password = text('password')
  return username === undefined || password === undefined ? undefined : { kind: 'password', username, password, source }
}

function unusable(path: string, why: string, cause?: unknown): ComposefsError {
  return new ComposefsError('ERR_REGISTRY_CREDENTIALS', `the file of credentials cannot be used: ${why}`, {
    path,
    hint: 'log in again, or name another file with --authfile',
    ...(cause !== undefined && { cause }),
  })
}
