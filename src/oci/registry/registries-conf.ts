/**
 * `registries.conf`, version 2: mirrors, blocked and insecure registries, short names (containers-registries.conf(5)).
 *
 * @packageDocumentation
 */
import { readdirSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { parse, type TomlTable, type TomlValue } from 'smol-toml'
import { ComposefsError } from '../../errors.ts'
import { isErrno } from '../../native/errno.ts'
import { readRegular } from '../../native/regular-file.ts'
import { printable } from './failures.ts'

/** Bytes of one such file. */
const maxFile = 16 * 1024 * 1024

/** Another place that has the same images. */
export interface Mirror {
  /** Takes the place of the prefix. */
  readonly location: string
  readonly insecure: boolean
  /** For which references it is asked. */
  readonly pulls: 'all' | 'digest-only' | 'tag-only'
}

/** What holds for all images whose name begins with a prefix. */
export interface RegistryRule {
  /** `quay.io`, `quay.io/team`, `*.example.com` */
  readonly prefix: string
  /** Takes the place of the prefix. */
  readonly location: string
  readonly insecure: boolean
  readonly blocked: boolean
  readonly mirrors: readonly Mirror[]
  /** The file that says so. */
  readonly file: string
}

/** All files together. */
export interface RegistriesConfig {
  readonly rules: readonly RegistryRule[]
  /** Where to look for names without a registry. */
  readonly searched: readonly string[]
  /** Full names of short ones. */
  readonly aliases: ReadonlyMap<string, string>
}

/**
 * Reads the configuration of the user, else that of the system, and the `registries.conf.d` of both.
 *
 * @param file the only file to read. Default: `CONTAINERS_REGISTRIES_CONF`, else the usual places
 * @throws {@link ComposefsError} `ERR_REGISTRY_CONFIG` naming the file, also where an explicit one is missing
 */
export function readRegistriesConfig(
  file: string | undefined = process.env['CONTAINERS_REGISTRIES_CONF'],
): RegistriesConfig {
  const rules = new Map<string, RegistryRule>()
  const aliases = new Map<string, string>()
  let searched: readonly string[] = []
  for (const path of file === undefined || file === '' ? standardFiles() : [file]) {
    const found = readFile(path, path === file)
    if (found === undefined) continue
    // Later files win, rule by rule.
    for (const rule of found.rules) rules.set(rule.prefix, rule)
    for (const [name, full] of found.aliases) aliases.set(name, full)
    searched = found.searched ?? searched
  }
  return { rules: [...rules.values()], searched, aliases }
}

function standardFiles(): string[] {
  const user = join(process.env['XDG_CONFIG_HOME'] ?? join(homedir(), '.config'), 'containers')
  const system = '/etc/containers'
  const own = join(user, 'registries.conf')
  return [
    exists(own) ? own : join(system, 'registries.conf'),
    ...dropIns(join(system, 'registries.conf.d')),
    ...dropIns(join(user, 'registries.conf.d')),
  ]
}

function exists(path: string): boolean {
  return read(path) !== undefined
}

function dropIns(directory: string): string[] {
  try {
    const names = readdirSync(directory).filter((name) => name.endsWith('.conf'))
    return names.sort().map((name) => join(directory, name))
  } catch {
    return []
  }
}

function read(path: string): string | undefined {
  try {
    return readRegular(path, maxFile).toString('utf8')
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return undefined
    throw unusable(path, 'it cannot be read', error)
  }
}

function readFile(path: string, required: boolean) {
  const text = read(path)
  if (text === undefined) {
    if (required) throw unusable(path, 'there is no such file')
    return undefined
  }
  let toml: TomlTable
  try {
    toml = parse(text)
  } catch (error) {
    throw unusable(path, printable((error as Error).message.split('\n')[0]!), error)
  }
  if (toml['registries'] !== undefined) throw unusable(path, 'it has the old format, version 1')
  const searched = toml['unqualified-search-registries']
  return {
    rules: tables(path, toml['registry'], 'registry').map((table) => ruleOf(path, table)),
    searched: searched === undefined ? undefined : strings(path, searched, 'unqualified-search-registries'),
    aliases: Object.entries(toml['aliases'] ?? {}).map(
      ([name, full]) => [name, string(path, full, `aliases.${name}`)!] as const,
    ),
  }
}

function ruleOf(file: string, table: TomlTable): RegistryRule {
  const location = string(file, table['location'], 'location')?.replace(/\/+$/, '')
  const prefix = string(file, table['prefix'], 'prefix')?.replace(/\/+$/, '') ?? location
  if (prefix === undefined) throw unusable(file, 'a registry has neither a prefix nor a location')
  const byDigest = flag(file, table['mirror-by-digest-only'], 'mirror-by-digest-only')
  return {
    prefix,
    location: location ?? (prefix.startsWith('*.') ? '' : prefix),
    insecure: flag(file, table['insecure'], 'insecure'),
    blocked: flag(file, table['blocked'], 'blocked'),
    mirrors: tables(file, table['mirror'], 'mirror').map((mirror) => mirrorOf(file, mirror, byDigest)),
    file,
  }
}

function mirrorOf(file: string, table: TomlTable, byDigest: boolean): Mirror {
  const location = string(file, table['location'], 'mirror.location')?.replace(/\/+$/, '')
  if (location === undefined) throw unusable(file, 'a mirror has no location')
  const pulls = string(file, table['pull-from-mirror'], 'pull-from-mirror') ?? (byDigest ? 'digest-only' : 'all')
  if (pulls !== 'all' && pulls !== 'digest-only' && pulls !== 'tag-only') {
    throw unusable(file, 'pull-from-mirror is none of all, digest-only, tag-only')
  }
  return { location, insecure: flag(file, table['insecure'], 'mirror.insecure'), pulls }
}

function tables(file: string, value: TomlValue | undefined, name: string): TomlTable[] {
  if (value === undefined) return []
  const list = Array.isArray(value) ? value : [undefined]
  return list.map((item) => {
    if (typeof item === 'object' && !Array.isArray(item) && !(item instanceof Date)) return item
    throw unusable(file, `${name} is no array of tables`)
  })
}

function string(file: string, value: TomlValue | undefined, name: string): string | undefined {
  if (value === undefined || (typeof value === 'string' && value !== '')) return value
  throw unusable(file, `${name} is no string`)
}

function strings(file: string, value: TomlValue, name: string): string[] {
  if (!Array.isArray(value)) throw unusable(file, `${name} is no array`)
  return value.map((item) => string(file, item, name)!)
}

function flag(file: string, value: TomlValue | undefined, name: string): boolean {
  if (value === undefined || typeof value === 'boolean') return value ?? false
  throw unusable(file, `${name} is neither true nor false`)
}

function unusable(path: string, why: string, cause?: unknown): ComposefsError {
  return new ComposefsError('ERR_REGISTRY_CONFIG', `the configuration of registries cannot be used: ${why}`, {
    path,
    hint: 'see containers-registries.conf(5)',
    ...(cause !== undefined && { cause }),
  })
}
