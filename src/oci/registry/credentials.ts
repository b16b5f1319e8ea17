/**
 * Stored credentials, where podman, skopeo and docker keep them (containers-auth.json(5)).
 *
 * @packageDocumentation
 */
import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
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

/**
 * The credentials for a repository: the most specific entry (`quay.io/team/app`, `quay.io/team`, `quay.io`) of the first
 * file that has one.
 *
 * @throws {@link ComposefsError} `ERR_REGISTRY_CREDENTIALS` for a file or helper that does not work, `ERR_ARGUMENT`
 */
export async function findCredentials(
  reference: Pick<Reference, 'registry' | 'repository'>,
  { creds, authFile }: CredentialOptions = {},
  signal?: AbortSignal,
): Promise<Credentials | undefined> {
  if (creds !== undefined) return parseCreds(creds)
  const explicit = authFile ?? process.env['REGISTRY_AUTH_FILE']
  if (explicit !== undefined && explicit !== '') {
    const file = readAuthFile(explicit)
    if (file !== undefined) return fromFile(file, explicit, reference, signal)
    if (authFile === undefined) return undefined
    throw new ComposefsError('ERR_REGISTRY_CREDENTIALS', 'there is no such file of credentials', { path: authFile })
  }
  for (const path of standardFiles()) {
    const file = readAuthFile(path)
    const found = file === undefined ? undefined : await fromFile(file, path, reference, signal)
    if (found !== undefined) return found
  }
  return undefined
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

type Entry = Readonly<Record<string, unknown>>

interface AuthFile {
  readonly auths: Readonly<Record<string, Entry>>
  readonly credHelpers: Readonly<Record<string, unknown>>
  readonly credsStore: unknown
}

function readAuthFile(path: string): AuthFile | undefined {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    if (isErrno(error, 'ENOENT') || isErrno(error, 'ENOTDIR') || isErrno(error, 'EACCES')) return undefined
    throw unusable(path, 'it cannot be read', error)
  }
  if (text.trim() === '') return undefined
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

async function fromFile(
  { auths, credHelpers, credsStore }: AuthFile,
  path: string,
  { registry, repository }: Pick<Reference, 'registry' | 'repository'>,
  signal: AbortSignal | undefined,
): Promise<Credentials | undefined> {
  const helper = credHelpers[registry]
  if (typeof helper === 'string') return askHelper(helper, registry, path, signal)
  const entries = new Map(Object.entries(auths).map(([key, entry]) => [normalKey(key), entry]))
  for (let key = `${registry}/${repository}`; ; key = key.slice(0, key.lastIndexOf('/'))) {
    const entry = entries.get(key)
    const found = entry == null ? undefined : fromEntry(entry, `${path} (${printable(key)})`, path)
    if (found !== undefined) return found
    if (!key.includes('/')) break
  }
  if (typeof credsStore !== 'string' || credsStore === '') return undefined
  const server = registry === 'docker.io' ? 'https://index.docker.io/v1/' : registry
  return askHelper(credsStore, server, path, signal)
}

/** Docker once wrote URLs. Only there does a path not name a namespace. */
function normalKey(key: string): string {
  const url = /^https?:\/\/([^/]+)/.exec(key)
  const name = url === null ? key.replace(/\/+$/, '') : url[1]!
  return /^(?:index|registry-1)\.docker\.io(?:\/v1)?$/.test(name) ? 'docker.io' : name
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
