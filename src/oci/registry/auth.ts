/**
 * Logging in to one registry: anonymous, Basic, or with tokens (spec: distribution, token authentication).
 *
 * @packageDocumentation
 */
import { unlessAborted } from '../parallel.ts'
import { readBounded } from './body.ts'
import { parseChallenges } from './challenge.ts'
import type { Credentials } from './credentials.ts'
import { failure, printable, type Subject, statusFailure } from './failures.ts'
import { isLoopback, isSameSite } from './hosts.ts'
import type { Transport } from './transport.ts'

/** What an {@link Authorizer} acts for. */
export interface AuthorizerContext {
  readonly transport: Transport
  /** Host and port of the registry. */
  readonly host: string
  /** `repository:library/fedora:pull` */
  readonly scopes: readonly string[]
  readonly credentials: Credentials | undefined
  /** Hosts of token servers that may have the credentials although they look foreign. */
  readonly trustedRealms: readonly string[]
  /** Ends logging in, for which several requests may wait. */
  readonly signal: AbortSignal
}

interface Login {
  readonly header: string
  /** `performance.now()` from which on a new token is fetched without asking. */
  readonly renewAt: number
}

/** Largest answer of a token server, in bytes. */
const maxTokenAnswer = 1024 * 1024
/** Seconds that a token is good for where nobody says. */
const defaultLifetime = 60

/** Keeps what shows a registry who we are, and renews it. Requests that run side by side share it. */
export class Authorizer {
  readonly #context: AuthorizerContext
  #login: Login | undefined
  #pending: Promise<Login> | undefined
  #challenge: string | string[] | undefined

  constructor(context: AuthorizerContext) {
    this.#context = context
  }

  /** Which credentials are used, for messages; never themselves. */
  get description(): string {
    const { credentials } = this.#context
    return credentials === undefined ? 'anonymous access' : `the credentials of ${credentials.source}`
  }

  /** Text of the registry without the secrets that it was told. */
  redact(text: string): string {
    const { credentials } = this.#context
    const secrets = [this.#login?.header.replace(/^[A-Za-z]+ /, '')]
    if (credentials?.kind === 'identity-token') secrets.push(credentials.token)
    if (credentials?.kind === 'password') secrets.push(basic(credentials).slice('Basic '.length), credentials.password)
    return secrets.reduce<string>((rest, secret) => (secret ? rest.replaceAll(secret, '***') : rest), text)
  }

  /** The Authorization header for the next request to the registry, renewed where its time is over. */
  async header(signal: AbortSignal, subject: Subject): Promise<string | undefined> {
    if (this.#login !== undefined && performance.now() >= this.#login.renewAt) {
      await this.#logIn(this.#challenge, signal, subject)
    }
    return this.#login?.header
  }

  /**
   * The registry refused a request: logs in as it wants.
   *
   * @param used the header of the refused request
   * @returns whether there is a new header to try
   * @throws {@link ComposefsError} `ERR_REGISTRY_UNAUTHORIZED`, `ERR_REGISTRY_FORBIDDEN`, `ERR_REGISTRY_PROTOCOL`;
   * `Retryable`
   */
  async challenged(
    challenge: string | string[] | undefined,
    used: string | undefined,
    signal: AbortSignal,
    subject: Subject,
  ): Promise<boolean> {
    // Another request may have renewed it in the meantime.
    if (this.#login === undefined || this.#login.header === used) await this.#logIn(challenge, signal, subject)
    return this.#login?.header !== undefined && this.#login.header !== used
  }

  async #logIn(challenge: string | string[] | undefined, signal: AbortSignal, subject: Subject): Promise<void> {
    this.#challenge = challenge
    this.#pending ??= this.#answer(challenge, this.#context.signal, subject).finally(() => {
      this.#pending = undefined
    })
    this.#login = await unlessAborted(signal, this.#pending)
  }

  async #answer(header: string | string[] | undefined, signal: AbortSignal, subject: Subject): Promise<Login> {
    const challenges = parseChallenges(header)
    const bearer = challenges.find(({ scheme }) => scheme === 'bearer')
    if (bearer !== undefined) return this.#token(bearer.parameters, signal, subject)
    const { credentials } = this.#context
    if (!challenges.some(({ scheme }) => scheme === 'basic')) {
      throw failure('ERR_REGISTRY_PROTOCOL', subject, 'the registry wants a login and offers no known way to do so', {
        actual: printable(this.redact([header ?? 'nothing'].flat().join(', '))),
        expected: 'Bearer or Basic',
      })
    }
    if (credentials?.kind === 'password') return { header: basic(credentials), renewAt: Number.POSITIVE_INFINITY }
    const problem = `the registry wants a name and a password, and refuses ${this.description}`
    throw failure('ERR_REGISTRY_UNAUTHORIZED', subject, problem, {
      hint: 'log in with podman login or docker login, or pass --creds',
    })
  }

  async #token(parameters: ReadonlyMap<string, string>, signal: AbortSignal, subject: Subject): Promise<Login> {
    const { transport } = this.#context
    const about: Subject = { ...subject, what: `the token for ${subject.what}` }
    const { url, ...request } = this.#tokenRequest(parameters, subject)
    const response = await transport.send(url, { ...request, signal, subject: about })
    const body = await readBounded(response, maxTokenAnswer, transport.idleTimeout, about, url.host, signal)
    const { statusCode, headers } = response
    if (statusCode === 200) return login(body, about)
    const redact = (text: string) => this.redact(text)
    throw statusFailure(statusCode, headers, body.toString(), about, this.description, redact)
  }

  /** An identity token goes into a form, a password into a header. */
  #tokenRequest(parameters: ReadonlyMap<string, string>, subject: Subject) {
    const { credentials, scopes: own } = this.#context
    const url = this.#realm(parameters.get('realm'), subject)
    const scopes = [...new Set([...own, ...(parameters.get('scope') ?? '').split(' ').filter((text) => text !== '')])]
    const service = parameters.get('service')
    const accept = 'application/json'
    if (credentials?.kind === 'identity-token') {
      const form = new URLSearchParams({
        grant_type: 'refresh_token',
        client_id: 'composefs-streams',
        ...(service !== undefined && { service }),
        scope: scopes.join(' '),
        refresh_token: credentials.token,
      })
      const headers = { accept, 'content-type': 'application/x-www-form-urlencoded' }
      return { url, method: 'POST', headers, body: form.toString() } as const
    }
    for (const text of scopes) url.searchParams.append('scope', text)
    if (service !== undefined) url.searchParams.set('service', service)
    if (credentials === undefined) return { url, method: 'GET', headers: { accept } } as const
    url.searchParams.set('account', credentials.username)
    return { url, method: 'GET', headers: { accept, authorization: basic(credentials) } } as const
  }

  /** @throws {@link ComposefsError} where a token server is not fit for what it would be told */
  #realm(text: string | undefined, subject: Subject): URL {
    const { host, credentials, trustedRealms, transport } = this.#context
    if (text === undefined || !URL.canParse(text)) {
      throw failure('ERR_REGISTRY_PROTOCOL', subject, 'the registry names no token server')
    }
    const url = new URL(text)
    const trusted = isSameSite(url.host, host) || trustedRealms.includes(url.host)
    const plain = url.protocol === 'http:' && (isLoopback(url.host) || (!transport.tlsVerify && trusted))
    const hint = 'the registry, or somebody on the way, may be after your password'
    if (url.protocol !== 'https:' && !plain) {
      throw failure('ERR_REGISTRY_PROTOCOL', subject, `the token server ${url.host} is not on https`, { hint })
    }
    if (url.username !== '' || url.password !== '') {
      throw failure('ERR_REGISTRY_PROTOCOL', subject, `the address of the token server ${url.host} has a user in it`)
    }
    if (credentials !== undefined && !trusted) {
      const problem = `the registry wants ${this.description} to be sent to another site: ${url.host}`
      throw failure('ERR_REGISTRY_UNAUTHORIZED', subject, problem, {
        hint: `${hint}; if it is right, pass --auth-realm ${url.host}`,
      })
    }
    return url
  }
}

function login(body: Buffer, subject: Subject): Login {
  let answer: Record<string, unknown> | undefined
  try {
    answer = JSON.parse(body.toString()) as Record<string, unknown>
  } catch {
    // Said below.
  }
  const token = answer?.['token'] ?? answer?.['access_token']
  if (typeof token !== 'string' || !/^[\x21-\x7e]+$/.test(token)) {
    throw failure('ERR_REGISTRY_PROTOCOL', subject, 'the token server sends no token')
  }
  const lifetime = answer?.['expires_in']
  const lasts = typeof lifetime === 'number' && lifetime > 0 ? lifetime : defaultLifetime
  // Before its end, for the way to the registry takes time as well.
  return { header: `Bearer ${token}`, renewAt: performance.now() + lasts * 900 }
}

function basic({ username, password }: Credentials & { kind: 'password' }): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
}
