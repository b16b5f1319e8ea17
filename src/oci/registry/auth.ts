/**
 * Logging in to one registry: anonymous, Basic, or with tokens (spec: distribution, token authentication).
 *
 * @packageDocumentation
 */
import { ComposefsError } from '../../errors.ts'
import { unlessAborted } from '../parallel.ts'
import { readBounded } from './body.ts'
import { parseChallenges } from './challenge.ts'
import type { Credentials } from './credentials.ts'
import { failure, printable, type Subject, statusFailure, withHint } from './failures.ts'
import { isLoopback, isPrivate, isSameHost, isSameSite } from './hosts.ts'
import type { Transport } from './transport.ts'

/** What an {@link Authorizer} acts for. */
export interface AuthorizerContext {
  readonly transport: Transport
  /** Host and port of the registry. */
  readonly host: string
  /** How it is reached: `https://HOST`. */
  readonly origin: () => string
  /** `repository:library/fedora:pull` */
  readonly scopes: readonly string[]
  readonly credentials: Credentials | undefined
  /** Why there are none, where a program that may have some does not work. */
  readonly problem: ComposefsError | undefined
  /** Hosts of token servers that may have the credentials although they look foreign. */
  readonly trustedRealms: readonly string[]
  /** Ends logging in, for which several requests may wait. */
  readonly signal: AbortSignal
}

/** What may come of having nothing to show. */
const refusals: ReadonlySet<string> = new Set([
  'ERR_REGISTRY_UNAUTHORIZED',
  'ERR_REGISTRY_FORBIDDEN',
  'ERR_REGISTRY_NOT_FOUND',
])

interface Login {
  readonly header: string
  /** `performance.now()` from which on a new token is fetched without asking. */
  readonly renewAt: number
}

/** Largest answer of a token server, in bytes. */
const maxTokenAnswer = 1024 * 1024
/** Seconds that a token is good for where nobody says. */
const defaultLifetime = 60
/** Seconds after which a new one is fetched whatever the server says. */
const longestLifetime = 24 * 3600

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

  /** Whether there is something to show that was not shown yet. */
  get holdsBack(): boolean {
    return this.#context.credentials !== undefined && this.#login === undefined
  }

  /** Whether a challenge can be met with what we have. */
  canMeet(challenge: string | string[]): boolean {
    const offered = parseChallenges(challenge).map(({ scheme }) => scheme)
    return offered.includes('bearer') || (offered.includes('basic') && this.#context.credentials?.kind === 'password')
  }

  /** A refusal, with the reason why nothing else could be shown. */
  explain(error: unknown): unknown {
    const { problem } = this.#context
    if (problem === undefined || !(error instanceof ComposefsError) || !refusals.has(error.code)) return error
    return withHint(error, problem.message)
  }

  /** What a request with this header showed, for messages. */
  shown(header: string | undefined): string {
    if (header !== undefined || this.#context.credentials === undefined) return this.description
    return `anonymous access (it does not ask for ${this.description})`
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
    const publicOnly = this.#isForeign(url) && !this.#isInside()
    const response = await transport.send(url, { ...request, publicOnly, signal, subject: about })
    const body = await readBounded(response, maxTokenAnswer, transport.patience, about, url.host, signal)
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

  /** @throws {@link ComposefsError} where a token server is not fit for what it would be told, or to be asked at all */
  #realm(text: string | undefined, subject: Subject): URL {
    const { host, origin, credentials, trustedRealms } = this.#context
    if (text === undefined || !URL.canParse(text)) {
      throw failure('ERR_REGISTRY_PROTOCOL', subject, 'the registry names no token server')
    }
    const url = new URL(text)
    const named = trustedRealms.includes(url.host) || trustedRealms.includes(url.hostname)
    const near = isSameHost(url.host, host)
    const hint = `the registry, or somebody on the way, may be after your password or your network; if it is right, pass --auth-realm ${url.host}`
    // Who came by https is not led away from it, not even on the same host.
    const plain = origin().startsWith('http:') && (near || named || (isLoopback(url.host) && isLoopback(host)))
    if (url.protocol !== 'https:' && !(url.protocol === 'http:' && plain)) {
      const problem = `the token server ${url.host} is not on https`
      const hint = 'plain HTTP is for the host of a registry that speaks it itself'
      throw failure('ERR_REGISTRY_PROTOCOL', subject, problem, { hint })
    }
    if (url.username !== '' || url.password !== '') {
      throw failure('ERR_REGISTRY_PROTOCOL', subject, `the address of the token server ${url.host} has a user in it`)
    }
    if (this.#isForeign(url) && isPrivate(url.host) && !this.#isInside()) {
      const problem = `the registry sends us to a token server inside a private network: ${url.host}`
      throw failure('ERR_REGISTRY_PROTOCOL', subject, problem, { hint })
    }
    if (credentials !== undefined && !named && !isSameSite(url.host, host)) {
      const problem = `the registry wants ${this.description} to be sent to another site: ${url.host}`
      throw failure('ERR_REGISTRY_UNAUTHORIZED', subject, problem, { hint })
    }
    return url
  }

  /** Whether nobody but the registry speaks for a host. */
  #isForeign(url: URL): boolean {
    const { host, trustedRealms } = this.#context
    return !isSameHost(url.host, host) && !trustedRealms.includes(url.host) && !trustedRealms.includes(url.hostname)
  }

  /** Whether the registry itself is in a private network, as far as we know. */
  #isInside(): boolean {
    const { host, transport } = this.#context
    return isPrivate(host) || (transport.peer !== undefined && isPrivate(transport.peer))
  }
}

function login(body: Buffer, subject: Subject): Login {
  let answer: Record<string, unknown> | undefined
  try {
    answer = JSON.parse(body.toString()) as Record<string, unknown>
  } catch {
    // Said below.
  }
  // Both names are in use, and some servers send both, one of them empty.
  const token = [answer?.['token'], answer?.['access_token']].find((text) => text != null && text !== '')
  if (typeof token !== 'string' || !/^[\x21-\x7e]+$/.test(token)) {
    const hint = 'something else than a token server answers, or it wants another login'
    throw failure('ERR_REGISTRY_PROTOCOL', subject, 'the token server sends no token', { hint })
  }
  const lifetime = Number(answer?.['expires_in'])
  const lasts = lifetime > 0 ? Math.min(lifetime, longestLifetime) : defaultLifetime
  // Before its end, for the way to the registry takes time as well.
  return { header: `Bearer ${token}`, renewAt: performance.now() + lasts * 900 }
}

function basic({ username, password }: Credentials & { kind: 'password' }): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
}
