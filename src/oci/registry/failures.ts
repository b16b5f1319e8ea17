/**
 * What can go wrong between us and a registry, told apart.
 *
 * @packageDocumentation
 */
import { ComposefsError, type ErrorCode, type ErrorDetails } from '../../errors.ts'

/** What a request is about, for messages. */
export interface Subject {
  /** `the manifest`, `layer 2 of 5` */
  readonly what: string
  /** The reference of the image. */
  readonly reference: string
  readonly digest?: string | undefined
}

/** A failure that may pass: the same request may work a moment later. Never leaves this folder. */
export class Retryable extends Error {
  readonly failure: ComposefsError
  /** Milliseconds that the server wants us to wait. */
  readonly after: number | undefined

  constructor(failure: ComposefsError, after?: number) {
    super(failure.message)
    this.failure = failure
    this.after = after
  }
}

/** An error about a subject. */
export function failure(
  code: ErrorCode,
  { what, reference, digest }: Subject,
  problem: string,
  details: ErrorDetails = {},
): ComposefsError {
  const name = digest === undefined || reference.includes(digest) ? what : `${what} (${digest})`
  return new ComposefsError(code, `${name} of ${reference}: ${problem}`, details)
}

/** The same error with another hint. */
export function withHint(error: ComposefsError, hint: string): ComposefsError {
  const { code, message, stage, path, offset, expected, actual, hint: before } = error
  const bare = before === undefined ? message : message.slice(0, -` — ${before}`.length)
  const details = { stage, path, offset, expected, actual }
  // The message says them already.
  return Object.assign(new ComposefsError(code, bare, { hint, cause: error }), defined(details))
}

function defined<T extends object>(details: T): Partial<T> {
  return Object.fromEntries(Object.entries(details).filter(([, value]) => value !== undefined)) as Partial<T>
}

/** Longest excerpt of what a server says that goes into a message. */
const maxText = 300

/**
 * The error behind an answer that is none of 2xx and 3xx.
 *
 * @param body the first bytes of the answer
 * @param credentials which credentials were used, never themselves: `those of FILE`
 * @param redact takes secrets out of what the server says, which may be what it was told
 */
export function statusFailure(
  status: number,
  headers: Readonly<Record<string, string | string[] | undefined>>,
  body: string,
  subject: Subject,
  credentials: string,
  redact: (text: string) => string,
): ComposefsError | Retryable {
  const { codes, text } = readErrorBody(body)
  const says = text === '' ? '' : `; it says: ${printable(redact(text))}`
  if (status === 429 || codes.has('TOOMANYREQUESTS')) {
    const after = retryAfter(headers['retry-after'])
    const wait = after === undefined ? '' : `, try again in ${seconds(after)}`
    const problem = `too many requests for the registry${wait}${says}`
    const hint = 'wait, or log in: registries allow more to known users'
    return new Retryable(failure('ERR_REGISTRY_RATE_LIMITED', subject, problem, { hint }), after)
  }
  if (status === 401) {
    return failure('ERR_REGISTRY_UNAUTHORIZED', subject, `the registry refuses ${credentials}${says}`, {
      hint: 'log in with podman login or docker login, or pass --creds; also check the name: some registries say this of names that do not exist',
    })
  }
  if (status === 403) {
    return failure('ERR_REGISTRY_FORBIDDEN', subject, `the registry does not allow it with ${credentials}${says}`, {
      hint: 'ask the owner of the repository for access, or use other credentials',
    })
  }
  if (status === 404) {
    return failure('ERR_REGISTRY_NOT_FOUND', subject, `the registry does not have it${says}`, {
      hint: 'check the name and the tag; skopeo list-tags shows those that are there',
    })
  }
  if (status >= 500 || status === 408) {
    const problem = `the registry answers with the status ${status}${says}`
    return new Retryable(
      failure('ERR_REGISTRY_UNREACHABLE', subject, problem, { hint: 'it has a problem of its own; try again later' }),
      retryAfter(headers['retry-after']),
    )
  }
  const problem = `the registry answers with the status ${status}${says}`
  const hint = status === 405 || status === 501 ? 'it does not do this: perhaps it can only be read from' : undefined
  return failure('ERR_REGISTRY_PROTOCOL', subject, problem, hint === undefined ? {} : { hint })
}

/** Codes of our own for what ends a connection. */
export const codes = {
  stalled: 'ERR_CONNECTION_STALLED',
  proxy: 'ERR_CONNECTION_PROXY',
  inside: 'ERR_CONNECTION_PRIVATE',
} as const

/** The error behind a request that got no answer. */
export function networkFailure(error: unknown, url: URL, subject: Subject): ComposefsError | Retryable {
  const { code, message } = rootOf(error)
  const host = url.host
  if (/^(?:UNABLE_TO|SELF_SIGNED|DEPTH_ZERO|CERT_|ERR_TLS_CERT|INVALID_CA|HOSTNAME_MISMATCH)/.test(code)) {
    return failure('ERR_REGISTRY_CERTIFICATE', subject, `the certificate of ${host} is not trusted (${code})`, {
      hint: 'put its CA into a directory and pass --cert-dir, or, where nobody can interfere, --tls-verify=false',
      cause: error,
    })
  }
  if (code === codes.stalled) return stalled(host, subject)
  if (code === codes.inside) {
    const hint = 'the registry, or somebody on the way, may be after your network; if it is right, pass --auth-realm'
    return failure('ERR_REGISTRY_PROTOCOL', subject, message, { hint })
  }
  if (code === codes.proxy) {
    const hint = 'check the proxy of the environment, and its user and password'
    return failure('ERR_REGISTRY_UNREACHABLE', subject, `${host} cannot be reached: ${printable(message)}`, { hint })
  }
  const problem = `${host} cannot be reached (${code === '' ? printable(message) : code})`
  let hint = 'check the name, the network and the proxy'
  if (/^ERR_SSL.*(?:ALERT|PROTOCOL|VERSION_TOO)/.test(code)) {
    hint = 'it refuses our TLS: it is too old or too new, or wants a certificate (--cert-dir)'
  } else if (/^ERR_SSL|EPROTO/.test(code)) {
    hint = 'it does not speak TLS; for plain HTTP pass --tls-verify=false'
  }
  const unreachable = failure('ERR_REGISTRY_UNREACHABLE', subject, problem, { hint, cause: error })
  // A name that does not exist will not do so a second later.
  return code === 'ENOTFOUND' ? unreachable : new Retryable(unreachable)
}

/** Nothing comes although we wait. */
export function stalled(host: string, subject: Subject, offset?: number): Retryable {
  return new Retryable(
    failure('ERR_REGISTRY_STALLED', subject, `${host} sends nothing any more, or next to nothing`, {
      hint: 'try again later',
      ...(offset !== undefined && { offset }),
    }),
  )
}

/** Milliseconds of a Retry-After header: seconds, or a date. */
export function retryAfter(value: string | string[] | undefined, now: number = Date.now()): number | undefined {
  const text = (Array.isArray(value) ? value[0] : value)?.trim()
  if (text === undefined || text === '') return undefined
  if (/^[0-9]{1,9}(?:\.[0-9]+)?$/.test(text)) return Number(text) * 1000
  const date = Date.parse(text)
  return Number.isNaN(date) ? undefined : Math.max(0, date - now)
}

/** `90 s` as `1.5 min` where that reads better. */
export function seconds(milliseconds: number): string {
  const value = Math.ceil(milliseconds / 1000)
  return value < 120 ? `${value} s` : value < 7200 ? `${Math.ceil(value / 60)} min` : `${Math.ceil(value / 3600)} h`
}

/** Text of others for a message: one line, printable, short. */
export function printable(text: string): string {
  const line = text.replace(/[^\x20-\x7e]+/g, ' ').trim()
  return line.length > maxText ? `${line.slice(0, maxText)}…` : line
}

function readErrorBody(body: string): { codes: ReadonlySet<string>; text: string } {
  try {
    const { errors, details } = JSON.parse(body) as { errors?: unknown; details?: unknown }
    if (Array.isArray(errors)) {
      const items = errors.filter((item): item is Record<string, unknown> => typeof item === 'object' && item !== null)
      const codes = items.flatMap(({ code }) => (typeof code === 'string' ? [code.toUpperCase()] : []))
      const texts = items.map(({ code, message }) => (typeof message === 'string' ? message : String(code)))
      return { codes: new Set(codes), text: texts.join('; ') }
    }
    return { codes: new Set(), text: typeof details === 'string' ? details : '' }
  } catch {
    return { codes: new Set(), text: /^\s*</.test(body) ? '' : body.trim() }
  }
}

/** The innermost error that has a code. */
function rootOf(error: unknown): { code: string; message: string } {
  let found = { code: '', message: error instanceof Error ? error.message : String(error) }
  let at = error
  for (let depth = 0; depth < 5 && at instanceof Error; depth++) {
    const { code, message } = at as NodeJS.ErrnoException
    if (typeof code === 'string') found = { code, message }
    at = at instanceof AggregateError ? at.errors[0] : at.cause
  }
  return found
}
