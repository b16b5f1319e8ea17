import { type ChildProcess, spawn } from 'node:child_process'
import { createSign } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer as createHttpServer, type Server } from 'node:http'
import { type AddressInfo, connect, createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { run } from './cfsctl.ts'

/** Who may read. */
export const login: { readonly username: string; readonly password: string; readonly creds: string } = {
  username: 'someone',
  password: 'correct:horse',
  creds: 'someone:correct:horse',
}
/** The same, hashed with bcrypt. */
const htpasswd = 'someone:$2y$05$azxkvkASqbuU5ES45JiapOEUO9Dai8PkS01A0ui2nGIefOSR7VpmO\n'

/** Certificates of a private CA for 127.0.0.1. */
export interface PrivateCa {
  /** Holds `ca.crt` alone, as `--cert-dir` wants it. */
  readonly directory: string
  readonly cert: string
  readonly key: string
}

export async function makeCa(directory: string): Promise<PrivateCa> {
  const trust = join(directory, 'trust')
  mkdirSync(trust, { recursive: true })
  const path = (name: string) => join(directory, name)
  const subject = (name: string) => ['-subj', `/CN=${name}`, '-days', '2', '-newkey', 'rsa:2048', '-nodes']
  const caKey = path('ca.key')
  const ca = join(trust, 'ca.crt')
  await run('openssl', ['req', '-x509', ...subject('Private CA'), '-keyout', caKey, '-out', ca])
  writeFileSync(path('names'), 'subjectAltName=IP:127.0.0.1\n')
  const [key, request, cert] = [path('server.key'), path('server.csr'), path('server.crt')]
  await run('openssl', [
    'req',
    ...subject('registry').filter((word) => word !== '-days' && word !== '2'),
    '-keyout',
    key,
    '-out',
    request,
  ])
  const sign = ['x509', '-req', '-in', request, '-CA', ca, '-CAkey', caKey, '-CAcreateserial', '-days', '2']
  await run('openssl', [...sign, '-extfile', path('names'), '-out', cert])
  return { directory: trust, cert, key }
}

/** What a registry asks of its clients. */
export interface DockerRegistryOptions {
  readonly htpasswd?: boolean
  /** A token server, and the certificate that its tokens are signed with. */
  readonly tokens?: { readonly realm: string; readonly cert: string }
  readonly tls?: PrivateCa
}

/** The real docker-registry on loopback. Several may share one storage. */
export class DockerRegistry {
  readonly host: string
  readonly #child: ChildProcess

  private constructor(host: string, child: ChildProcess) {
    this.host = host
    this.#child = child
  }

  static async start(directory: string, storage: string, options: DockerRegistryOptions = {}): Promise<DockerRegistry> {
    mkdirSync(directory, { recursive: true })
    const port = await freePort()
    const passwords = join(directory, 'htpasswd')
    writeFileSync(passwords, htpasswd)
    const { tls, tokens } = options
    const config = {
      version: 0.1,
      log: { level: 'error', accesslog: { disabled: true } },
      storage: { filesystem: { rootdirectory: storage } },
      http: {
        addr: `127.0.0.1:${port}`,
        ...(tls !== undefined && { tls: { certificate: tls.cert, key: tls.key } }),
      },
      ...(options.htpasswd && { auth: { htpasswd: { realm: 'registry', path: passwords } } }),
      ...(tokens !== undefined && {
        auth: { token: { realm: tokens.realm, service: 'registry', issuer: 'issuer', rootcertbundle: tokens.cert } },
      }),
    }
    const file = join(directory, 'config.yml')
    // JSON is YAML.
    writeFileSync(file, JSON.stringify(config))
    const child = spawn('docker-registry', ['serve', file], { stdio: 'ignore' })
    const registry = new DockerRegistry(`127.0.0.1:${port}`, child)
    while (!(await answers(port))) {
      if (child.exitCode !== null) throw new Error(`docker-registry ended with ${child.exitCode}`)
      await sleep(50)
    }
    return registry
  }

  async stop(): Promise<void> {
    this.#child.kill()
    if (this.#child.exitCode === null && this.#child.signalCode === null) await once(this.#child, 'exit')
  }
}

/** A token server whose tokens docker-registry believes. Counts what it gave out. */
export class TokenServer {
  issued = 0
  readonly #server: Server

  private constructor(server: Server) {
    this.#server = server
  }

  get realm(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/token`
  }

  static async start({ cert, key }: Pick<PrivateCa, 'cert' | 'key'>): Promise<TokenServer> {
    const privateKey = readFileSync(key)
    const x5c = [readFileSync(cert, 'utf8').replace(/-----[^-]+-----|\s/g, '')]
    const right = `Basic ${Buffer.from(login.creds).toString('base64')}`
    const server = createHttpServer((request, response) => {
      if (request.headers.authorization !== right) return response.writeHead(401).end()
      tokens.issued++
      const { searchParams } = new URL(request.url!, 'http://localhost')
      const access = searchParams.getAll('scope').map((scope) => {
        const [type, name, actions] = scope.split(':')
        return { type, name, actions: actions!.split(',') }
      })
      const now = Math.floor(Date.now() / 1000)
      const claims = { iss: 'issuer', sub: login.username, aud: searchParams.get('service'), jti: `${tokens.issued}` }
      const times = { iat: now, nbf: now - 10, exp: now + 300 }
      const body = [
        { typ: 'JWT', alg: 'RS256', x5c },
        { ...claims, ...times, access },
      ].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
      const signature = createSign('sha256').update(body.join('.')).sign(privateKey, 'base64url')
      return response.end(JSON.stringify({ token: [...body, signature].join('.'), expires_in: 300 }))
    })
    const tokens = new TokenServer(server)
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return tokens
  }

  stop(): void {
    this.#server.close()
    this.#server.closeAllConnections()
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => resolve(true))
    socket.on('connect', () => socket.destroy()).on('error', () => resolve(false))
  })
}
