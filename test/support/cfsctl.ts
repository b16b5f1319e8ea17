import { execFile } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { ErofsVersion } from '../../src/erofs/index.ts'
import type { Algorithm } from '../../src/fsverity/index.ts'
import { Repository } from '../../src/repository/index.ts'

const execute = promisify(execFile)
const maxBuffer = 2 ** 30

/** Without the stack traces that some environments ask for. */
export const quietRust: NodeJS.ProcessEnv = { ...process.env, RUST_BACKTRACE: '0' }

/** A program that must succeed: the bytes of its standard output. */
export async function run(command: string, args: readonly string[], cwd?: string): Promise<Buffer> {
  const options = { env: quietRust, encoding: 'buffer', maxBuffer, ...(cwd !== undefined && { cwd }) } as const
  return (await execute(command, args, options)).stdout
}

/** cfsctl on one repository. */
export class Cfsctl {
  readonly path: string

  constructor(path: string) {
    this.path = path
  }

  /** Has cfsctl make the repository. */
  static async init(path: string, algorithm: Algorithm, version: ErofsVersion): Promise<Cfsctl> {
    const cfsctl = new Cfsctl(path)
    await cfsctl.run('init', '--insecure', '--algorithm', `fsverity-${algorithm}-12`, '--erofs-version', `${version}`)
    return cfsctl
  }

  bytes(...args: string[]): Promise<Buffer> {
    return run('cfsctl', ['--repo', this.path, ...args])
  }

  /** Pulls from a registry on loopback that speaks plain http. */
  pullPlain(host: string, image: string, ...args: string[]): Promise<Buffer> {
    const home = `${this.path}-home`
    const containers = join(home, '.config/containers')
    mkdirSync(containers, { recursive: true })
    writeFileSync(join(containers, 'registries.conf'), `[[registry]]\nlocation = "${host}"\ninsecure = true\n`)
    const script = 'HOME=$1; XDG_CONFIG_HOME=$1/.config; export HOME XDG_CONFIG_HOME; shift; exec "$@"'
    const command = ['cfsctl', '--repo', this.path, 'oci', 'pull', `docker://${host}/${image}`, ...args]
    return run('sh', ['-c', script, 'sh', home, ...command])
  }

  /** Text is latin1 here: it may hold any byte. */
  async run(...args: string[]): Promise<string> {
    return (await this.bytes(...args)).toString('latin1')
  }
}

/** Makes a repository of ours. */
export async function initOurs(path: string, algorithm: Algorithm, version: ErofsVersion): Promise<Repository> {
  return Repository.init(path, { algorithm, erofsVersion: version, insecure: true })
}

/** From now on images of version 1 and 2 are made: no command of cfsctl says so, only the file. */
export function wantBothFormats(repository: string): void {
  const path = join(repository, 'meta.json')
  const metadata = JSON.parse(readFileSync(path, 'utf8'))
  writeFileSync(path, `${JSON.stringify({ ...metadata, erofs_formats: { default: 1, extra: [2] } }, null, 2)}\n`)
}
