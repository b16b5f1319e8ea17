/**
 * From the operating system's refusals to our errors.
 *
 * @packageDocumentation
 */
import type { constants } from 'node:os'
import { getSystemErrorName } from 'node:util'
import { ComposefsError, type ErrorCode } from '../errors.ts'

/** The name of an errno (`ENOSPC`), or `errno N` where Node knows none. */
export function errnoName(errno: number): string {
  const name = getSystemErrorName(-errno)
  return name.startsWith('Unknown') ? `errno ${errno}` : name
}

/** The errno name that an error of Node carries, if it does. */
export function errnoOf(error: unknown): string | undefined {
  const code = (error as NodeJS.ErrnoException | undefined)?.code
  return typeof code === 'string' ? code : undefined
}

/** Whether an error of Node has one of these errno names. */
export function isErrno(error: unknown, ...names: (keyof typeof constants.errno)[]): boolean {
  const code = errnoOf(error)
  return code !== undefined && (names as string[]).includes(code)
}

/** An error like those of Node's `fs`, for calls made past it. */
export function errnoException(errno: number, call: string): NodeJS.ErrnoException {
  const code = errnoName(errno)
  return Object.assign(new Error(`${code}, ${call}`), { code, errno: -errno, syscall: call })
}

/**
 * An error of Node's `fs`, or a bare errno, as one of ours: `ERR_NO_SPACE`, `ERR_REPOSITORY_READONLY` (when writing
 * was not allowed), `ERR_NOT_FOUND` (when reading), otherwise `ERR_IO`. Our own errors pass through.
 *
 * @param what what failed, `cannot store an object`
 */
export function systemError(error: unknown, intent: 'read' | 'write', what: string, path: string): ComposefsError {
  if (error instanceof ComposefsError) return error
  const name = typeof error === 'number' ? errnoName(error) : errnoOf(error)
  const text =
    name === undefined ? `${what} (${error instanceof Error ? error.message : String(error)})` : `${what} (${name})`
  const [code, hint] = classify(name, intent)
  return new ComposefsError(code, text, {
    path,
    ...(hint !== undefined && { hint }),
    ...(typeof error !== 'number' && { cause: error }),
  })
}

function classify(name: string | undefined, intent: 'read' | 'write'): [ErrorCode, string?] {
  switch (name) {
    case 'ENOSPC':
    case 'EDQUOT':
      return ['ERR_NO_SPACE', 'free space (or quota) on the file system that holds this path']
    case 'EROFS':
      return ['ERR_REPOSITORY_READONLY', 'the file system is mounted read-only']
    case 'EACCES':
    case 'EPERM':
      if (intent === 'write') return ['ERR_REPOSITORY_READONLY', 'run as a user who may write there']
      return ['ERR_IO', 'run as a user who may read it']
    case 'ENOENT':
      return intent === 'read' ? ['ERR_NOT_FOUND'] : ['ERR_IO']
    case 'EMFILE':
    case 'ENFILE':
      return ['ERR_IO', 'raise the limit of open files (ulimit -n)']
    default:
      return ['ERR_IO']
  }
}
