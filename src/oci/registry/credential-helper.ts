/**
 * Credential helpers: the programs `docker-credential-NAME`, which keep passwords in a key ring.
 *
 * @packageDocumentation
 */
import { execFile } from 'node:child_process'
import { ComposefsError } from '../../errors.ts'
import type { Credentials } from './credentials.ts'
import { printable } from './failures.ts'

/** Milliseconds; a helper may ask the user to open the key ring. */
const patience = 60_000

/**
 * Asks a helper.
 *
 * @param file where the helper is named, for messages
 * @returns undefined where it knows nothing about the server
 * @throws {@link ComposefsError} `ERR_REGISTRY_CREDENTIALS`
 */
export async function askHelper(
  name: string,
  server: string,
  file: string,
  signal?: AbortSignal,
): Promise<Credentials | undefined> {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name)) {
    throw new ComposefsError('ERR_REGISTRY_CREDENTIALS', `not the name of a credential helper: ${printable(name)}`, {
      path: file,
    })
  }
  const program = `docker-credential-${name}`
  const output = await run(program, server, file, signal)
  if (output === undefined) return undefined
  try {
    const { Username: username, Secret: secret } = JSON.parse(output) as Record<string, unknown>
    if (typeof username === 'string' && typeof secret === 'string') {
      const source = `${program} (${server})`
      if (username === '<token>') return { kind: 'identity-token', token: secret, source }
      return { kind: 'password', username, password: secret, source }
    }
  } catch {
    // The parser's own message may quote the secret.
  }
  throw unusable(program, 'it answers with something else than credentials', file)
}

function run(program: string, server: string, file: string, signal?: AbortSignal): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const options = {
      timeout: patience,
      killSignal: 'SIGKILL' as const,
      maxBuffer: 1024 * 1024,
      ...(signal !== undefined && { signal }),
    }
    const child = execFile(program, ['get'], options, (error, stdout) => {
      if (error === null) return resolve(stdout)
      if (signal?.aborted) return reject(signal.reason)
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return reject(unusable(program, 'not found', file))
      // Helpers say this on stdout; it is not a failure.
      if (/not found/i.test(stdout)) return resolve(undefined)
      reject(unusable(program, error.killed === true ? 'it does not answer' : printable(stdout), file))
    })
    child.stdin!.on('error', () => {})
    child.stdin!.end(`${server}\n`)
  })
}

function unusable(program: string, why: string, path: string): ComposefsError {
  return new ComposefsError('ERR_REGISTRY_CREDENTIALS', `the credential helper ${program} does not work: ${why}`, {
    path,
    hint: 'install or unlock it, or pass --creds or --authfile',
  })
}
