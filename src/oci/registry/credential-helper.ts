/**
 * Credential helpers: the programs `docker-credential-NAME`, which keep passwords in a key ring.
 *
 * @packageDocumentation
 */
import { execFile } from 'node:child_process'
import { ComposefsError } from '../../errors.ts'
import type { Credentials, HelperPatience } from './credentials.ts'
import { printable } from './failures.ts'

/** Milliseconds; a helper may ask the user to open the key ring. */
const defaultTimeout = 60_000
/** What helpers say, on either output, where they know nothing about a server. */
const unknown =
  /credentials not found|no credentials|not found in (?:the )?(?:native )?key ?(?:chain|ring)|item could not be found/i

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
  patience: HelperPatience = {},
): Promise<Credentials | undefined> {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name)) {
    throw new ComposefsError('ERR_REGISTRY_CREDENTIALS', `not the name of a credential helper: ${printable(name)}`, {
      path: file,
    })
  }
  const program = `docker-credential-${name}`
  const output = await run(program, server, file, patience)
  if (output === undefined) return undefined
  try {
    const { Username: username, Secret: secret } = JSON.parse(output) as Record<string, unknown>
    if (typeof username === 'string' && typeof secret === 'string') {
      if (secret === '') return undefined
      const source = `${program} (${server})`
      if (username === '<token>') return { kind: 'identity-token', token: secret, source }
      return { kind: 'password', username, password: secret, source }
    }
  } catch {
    // The parser's own message may quote the secret.
  }
  throw unusable(program, 'it answers with something else than credentials', file)
}

function run(
  program: string,
  server: string,
  file: string,
  { timeout = defaultTimeout, signal }: HelperPatience,
): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const options = {
      timeout,
      killSignal: 'SIGKILL' as const,
      maxBuffer: 1024 * 1024,
      ...(signal !== undefined && { signal }),
    }
    const child = execFile(program, ['get'], options, (error, stdout, stderr) => {
      if (error === null) return resolve(stdout)
      if (signal?.aborted) return reject(signal.reason)
      // For execFile also what runs but exits has a code: a number.
      if (error.killed !== true && typeof error.code === 'string') {
        return reject(unusable(program, startFailure(error.code), file))
      }
      // It is not a failure.
      if (unknown.test(stdout) || unknown.test(stderr)) return resolve(undefined)
      const says = printable(stdout) || printable(stderr)
      const ended = says === '' ? `it ends with ${error.code ?? error.signal}` : `it says: ${says}`
      reject(unusable(program, error.killed === true ? 'it does not answer' : ended, file))
    })
    child.stdin!.on('error', () => {})
    child.stdin!.end(`${server}\n`)
  })
}

function startFailure(code: string): string {
  if (code === 'ENOENT') return 'not found'
  return code === 'ERR_CHILD_PROCESS_STDIO_MAXBUFFER' ? 'it answers without end' : `it cannot be run (${code})`
}

function unusable(program: string, why: string, path: string): ComposefsError {
  return new ComposefsError('ERR_REGISTRY_CREDENTIALS', `the credential helper ${program} does not work: ${why}`, {
    path,
    hint: 'install or unlock it, or pass --creds or --authfile',
  })
}
