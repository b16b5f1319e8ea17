/**
 * References to images in registries, as Docker writes them.
 *
 * @packageDocumentation
 */
import { ComposefsError } from '../../errors.ts'

/** An image in a registry, with all defaults filled in. */
export interface Reference {
  /** Host and, where one was given, port: `quay.io`, `localhost:5000`, `[::1]:5000`. */
  readonly registry: string
  /** `library/fedora` */
  readonly repository: string
  /** Undefined where only a digest was given. */
  readonly tag: string | undefined
  /** `sha256:…`; it wins over the tag. */
  readonly digest: string | undefined
}

const dockerHub = 'docker.io'
const label = '[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?'
const hostPattern = new RegExp(`^(?:${label}(?:\\.${label})*|\\[[0-9a-fA-F:.]+\\])(?::[0-9]{1,5})?$`)
const component = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*'
const repositoryPattern = new RegExp(`^${component}(?:/${component})*$`)
const tagPattern = /^[\w][\w.-]{0,127}$/
const digestPattern = /^sha256:[0-9a-f]{64}$/

/**
 * Reads a reference with Docker's defaults: `fedora` is `docker.io/library/fedora:latest`. The first part is a host if
 * it has a dot or a colon, or is `localhost`.
 *
 * @throws {@link ComposefsError} `ERR_OCI_REFERENCE`
 * @example
 * ```ts
 * import { parseReference, referenceText } from 'composefs-streams/oci'
 *
 * referenceText(parseReference('fedora')) // docker.io/library/fedora:latest
 * parseReference('[::1]:5000/os/base@sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef').registry
 * ```
 */
export function parseReference(text: string): Reference {
  const [beforeDigest, digest, ...more] = text.split('@')
  if (more.length > 0) throw invalid(text, 'it has more than one @')
  if (digest !== undefined && !digestPattern.test(digest)) {
    throw invalid(text, 'what follows the @ is no digest', 'a digest is sha256: and 64 lower-case hex digits')
  }
  const [registry, path] = splitHost(beforeDigest!)
  const [repository, tag, ...rest] = path.split(':')
  if (rest.length > 0 || (tag !== undefined && !tagPattern.test(tag))) {
    throw invalid(text, 'the tag is not allowed', 'a tag has at most 128 letters, digits, dots, dashes and underscores')
  }
  if (!hostPattern.test(registry) || Number(/:([0-9]+)$/.exec(registry)?.[1] ?? 0) > 65_535) {
    throw invalid(text, 'the registry is no host name, or has no possible port')
  }
  const full = registry === dockerHub && !repository!.includes('/') ? `library/${repository}` : repository!
  if (!repositoryPattern.test(full) || full.length > 255) {
    const hint = 'write it like quay.io/fedora/fedora:latest, in lower case'
    throw invalid(text, 'the name of the repository is not allowed', hint)
  }
  return { registry, repository: full, tag: tag ?? (digest === undefined ? 'latest' : undefined), digest }
}

/** Whether a reference as typed names no registry, so that Docker's default applies. */
export function isUnqualified(text: string): boolean {
  return hostOf(text.split('@')[0]!) === undefined
}

/** The whole reference, defaults included. */
export function referenceText({ registry, repository, tag, digest }: Reference): string {
  return `${registry}/${repository}${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`
}

/** Where the registry answers: Docker's own does so under another name. */
export function registryHost({ registry }: Pick<Reference, 'registry'>): string {
  return registry === dockerHub ? 'registry-1.docker.io' : registry
}

function splitHost(text: string): [registry: string, path: string] {
  const host = hostOf(text)
  if (host === undefined) return [dockerHub, text]
  const path = text.slice(host.length + 1)
  return [host === 'index.docker.io' || host === 'registry-1.docker.io' ? dockerHub : host, path]
}

function hostOf(text: string): string | undefined {
  const slash = text.indexOf('/')
  const first = text.slice(0, Math.max(0, slash))
  return /[.:[]/.test(first) || first === 'localhost' || first !== first.toLowerCase() ? first : undefined
}

function invalid(text: string, why: string, hint = 'write it like quay.io/fedora/fedora:latest'): ComposefsError {
  // Some put a password in front of the host, as in a URL.
  const safe = text.replace(/^[^/]*:[^/]*@(?!sha256:)/, '…@')
  const shown = JSON.stringify(safe.length > 300 ? `${safe.slice(0, 300)}…` : safe)
  return new ComposefsError('ERR_OCI_REFERENCE', `not a reference to an image: ${shown}: ${why}`, { hint })
}
