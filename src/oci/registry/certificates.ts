/**
 * Which certificates to trust and to show: what containers-certs.d(5) says.
 *
 * @packageDocumentation
 */
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { rootCertificates } from 'node:tls'
import { ComposefsError } from '../../errors.ts'
import { readRegular } from '../../native/regular-file.ts'
import { isLoopback } from './hosts.ts'

/** What TLS needs to know, as `tls.connect` takes it. */
export interface Certificates {
  /** All that are trusted; undefined where nothing was added to Node's own. */
  readonly ca: readonly string[] | undefined
  /** Certificates and keys that name us. */
  readonly client: readonly { readonly cert: string; readonly key: string }[]
}

/** Bytes of a file of certificates. The bundles of systems have a quarter of a megabyte. */
const maxFile = 16 * 1024 * 1024
const defaultDirectories = ['/etc/containers/certs.d', '/etc/docker/certs.d']
const systemBundles = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
  '/etc/ssl/ca-bundle.pem',
  '/etc/ssl/cert.pem',
]

/**
 * Certificates for a host: those of Node and of the system, and `*.crt`, `*.cert` with `*.key` in a directory.
 *
 * @param directory default: that of the host in `/etc/containers/certs.d`, else in `/etc/docker/certs.d`
 * @throws {@link ComposefsError} `ERR_REGISTRY_CERTIFICATE` where a directory that was asked for cannot be read
 */
export function certificatesFor(host: string, directory?: string): Certificates {
  const found = directory === undefined ? standard(host) : readDirectory(directory)
  // No public authority vouches for this machine, and reading all of them takes its time.
  const system = isLoopback(host) ? [] : systemFiles().flatMap((file) => readable(file))
  const extra = [...system, ...(found?.ca ?? [])]
  return { ca: extra.length === 0 ? undefined : [...rootCertificates, ...extra], client: found?.client ?? [] }
}

interface Found {
  readonly ca: string[]
  readonly client: { cert: string; key: string }[]
}

function standard(host: string): Found | undefined {
  for (const directory of defaultDirectories) {
    try {
      return readDirectory(join(directory, host))
    } catch {
      // Most hosts have none, and what an administrator keeps to himself is not for us.
    }
  }
  return undefined
}

function readDirectory(directory: string): Found {
  try {
    const names = readdirSync(directory).sort()
    const read = (name: string): string => readRegular(join(directory, name), maxFile).toString('utf8')
    const client = names
      .filter((name) => name.endsWith('.cert'))
      .map((name) => ({ cert: read(name), key: read(name.replace(/cert$/, 'key')) }))
    return { ca: names.filter((name) => name.endsWith('.crt')).map(read), client }
  } catch (cause) {
    throw new ComposefsError('ERR_REGISTRY_CERTIFICATE', 'the directory of certificates cannot be read', {
      path: directory,
      hint: 'it holds *.crt to trust, and *.cert with its *.key to show',
      cause,
    })
  }
}

/** The first bundle that there is, and what the environment names. */
function systemFiles(): string[] {
  const { SSL_CERT_FILE, NODE_EXTRA_CA_CERTS } = process.env
  const bundle = SSL_CERT_FILE ?? systemBundles.find((file) => existsSync(file))
  return [bundle, NODE_EXTRA_CA_CERTS].filter((file) => file !== undefined && file !== '') as string[]
}

function readable(file: string): string[] {
  try {
    return [readRegular(file, maxFile).toString('utf8')]
  } catch {
    return []
  }
}
