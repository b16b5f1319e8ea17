/**
 * From what somebody typed to the places where the image may be, as `registries.conf` directs.
 *
 * @packageDocumentation
 */
import { ComposefsError } from '../../errors.ts'
import { isUnqualified, parseReference, type Reference, referenceText } from './reference.ts'
import type { RegistriesConfig, RegistryRule } from './registries-conf.ts'

/** A repository to ask. */
export interface Place {
  readonly registry: string
  readonly repository: string
  readonly insecure: boolean
  /** Whether it is what the reference says, and no mirror. */
  readonly own: boolean
}

/**
 * Reads a reference that may be a short name: an alias, or a name in the one registry that is searched. With none
 * configured Docker's default holds.
 *
 * @throws {@link ComposefsError} `ERR_OCI_REFERENCE`, also where several registries are searched: which of them has the
 * right image, only the user knows
 */
export function resolveShortName(text: string, config: RegistriesConfig): Reference {
  const reference = parseReference(text)
  if (!isUnqualified(text)) return reference
  const name = text.replace(/@.*$/, '').replace(/:[^/]*$/, '')
  const alias = config.aliases.get(name)
  if (alias !== undefined) return parseReference(`${alias}${text.slice(name.length)}`)
  const [only, ...others] = config.searched
  if (only === undefined) return reference
  if (others.length === 0) return parseReference(`${only}/${text}`)
  throw new ComposefsError('ERR_OCI_REFERENCE', `the name does not say which registry: ${text}`, {
    hint: `choose one of: ${config.searched.map((registry) => `${registry}/${text}`).join(', ')}`,
  })
}

/**
 * Where to look for an image, mirrors first.
 *
 * @throws {@link ComposefsError} `ERR_REGISTRY_BLOCKED`, `ERR_REGISTRY_CONFIG`
 */
export function placesOf(reference: Reference, config: RegistriesConfig): Place[] {
  const rule = matching(reference, config.rules)
  const { registry, repository } = reference
  if (rule === undefined) return [{ registry, repository, insecure: false, own: true }]
  if (rule.blocked) {
    throw new ComposefsError('ERR_REGISTRY_BLOCKED', `${referenceText(reference)} is blocked on this machine`, {
      path: rule.file,
      hint: `the entry is that of ${rule.prefix}`,
    })
  }
  const kind = reference.digest === undefined ? 'tag-only' : 'digest-only'
  const mirrors = rule.mirrors.filter(({ pulls }) => pulls === 'all' || pulls === kind)
  return [
    ...mirrors.map(({ location, insecure }) => ({ ...moved(reference, rule, location), insecure, own: false })),
    { ...moved(reference, rule, rule.location), insecure: rule.insecure, own: true },
  ]
}

function matching(reference: Reference, rules: readonly RegistryRule[]): RegistryRule | undefined {
  const lengths = rules.map((rule) => ({ rule, length: matchLength(reference, rule.prefix) }))
  const found = lengths.filter(({ length }) => length > 0)
  // The longest prefix is the most specific; a wildcard is less so than what it stands for.
  found.sort((a, b) => b.length - a.length || Number(isWildcard(a.rule)) - Number(isWildcard(b.rule)))
  return found[0]?.rule
}

const isWildcard = ({ prefix }: RegistryRule): boolean => prefix.startsWith('*.')

/** How many characters of a reference a prefix stands for; 0 where it is another. */
function matchLength(reference: Reference, prefix: string): number {
  if (prefix.startsWith('*.')) {
    const host = reference.registry.replace(/:[0-9]+$/, '')
    return host.endsWith(prefix.slice(1)) ? reference.registry.length : 0
  }
  const text = referenceText(reference)
  return text.startsWith(prefix) && ['', '/', ':', '@'].includes(text.charAt(prefix.length)) ? prefix.length : 0
}

function moved(reference: Reference, rule: RegistryRule, location: string): { registry: string; repository: string } {
  const { registry, repository } = reference
  if (location === '') return { registry, repository }
  const rest = `${registry}/${repository}`.slice(matchLength(reference, rule.prefix))
  const text = `${location}${rest}`
  const slash = text.indexOf('/')
  if (slash > 0 && slash < text.length - 1) return { registry: text.slice(0, slash), repository: text.slice(slash + 1) }
  throw new ComposefsError('ERR_REGISTRY_CONFIG', `a location leads nowhere: ${location}`, { path: rule.file })
}
