/**
 * Whatever was thrown, as one of our errors: a command ends with no code that the table does not have.
 *
 * @packageDocumentation
 */
import { ComposefsError } from '../errors.ts'
import { systemError } from '../native/errno.ts'

/** Calls that change something; where they are refused, the way out is another one than for those that read. */
const writing: ReadonlySet<string> = new Set(
  ['write', 'mkdir', 'rename', 'link', 'symlink', 'unlink', 'rmdir', 'fsync', 'ftruncate', 'chmod', 'fchmod'].concat([
    'chown',
    'fchown',
    'lchown',
    'utime',
    'futime',
    'lutime',
    'copyfile',
    'mkdtemp',
  ]),
)

/** What V8 and Node say where something is too large for them. */
const tooLarge =
  /^(?:ERR_STRING_TOO_LONG|ERR_FS_FILE_TOO_LARGE|ERR_BUFFER_TOO_LARGE|Invalid (?:string|array|typed array) length|Array buffer allocation failed)/

/** The error to report for something that was thrown. */
export function describeError(error: unknown): ComposefsError {
  if (error instanceof ComposefsError) return error
  if (!(error instanceof Error)) return internal(String(error), error)
  const { name, code = '', syscall, path, dest, cause } = error as NodeJS.ErrnoException & { dest?: string }
  const [message = name] = error.message.split('\n')
  if (name === 'AbortError' || code === 'ABORT_ERR') {
    return cause instanceof ComposefsError
      ? cause
      : new ComposefsError('ERR_INTERRUPTED', 'interrupted', { cause: error })
  }
  if (tooLarge.test(code) || tooLarge.test(message)) {
    return new ComposefsError('ERR_LIMIT', `too large to be held in memory (${message})`, { cause: error })
  }
  if (syscall !== undefined) {
    const refused = systemError(
      error,
      writing.has(syscall) ? 'write' : 'read',
      `${syscall} was refused`,
      `${dest ?? path}`,
    )
    return path === undefined && dest === undefined
      ? new ComposefsError(refused.code, message, { cause: error })
      : refused
  }
  if (code === 'ERR_STREAM_PREMATURE_CLOSE') {
    return new ComposefsError('ERR_IO', 'a stream was closed before its end', { cause: error })
  }
  return internal(`${name}: ${message}`, error)
}

function internal(what: string, cause: unknown): ComposefsError {
  return new ComposefsError('ERR_INTERNAL', what, {
    cause,
    hint: 'this is a fault of composefs-streams: please report it, with what NODE_DEBUG=composefs shows',
  })
}

const usageErrors: ReadonlySet<string> = new Set(['ERR_ARGUMENT', 'ERR_DIGEST_SYNTAX'])

/** Whether the command line is to blame. */
export const isUsageError = (error: unknown): boolean => usageErrors.has(describeError(error).code)
