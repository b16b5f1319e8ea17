import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll } from 'vitest'
import { compileInto } from './compiled.ts'

/** What a process did. Its output is latin1: it may be any bytes. */
export interface Ended {
  readonly status: number | null
  readonly out: string
  readonly error: string
}

/** The package, compiled into a directory of its own, and its command as a process. */
export class Installed {
  readonly directory: string = mkdtempSync(join(tmpdir(), 'composefs-installed-'))

  constructor() {
    compileInto(this.directory)
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true })
  }

  file(name: string): string {
    return join(this.directory, name)
  }

  /** `composefs ARGS…`, in the directory. */
  composefs(args: readonly string[], input: Buffer | string = ''): Ended {
    return this.node('src/cli/main.js', args, input)
  }

  node(script: string, args: readonly string[] = [], input: Buffer | string = ''): Ended {
    return this.#run(process.execPath, [this.file(script), ...args], input)
  }

  /** A shell script in which `$composefs` is the command. */
  shell(script: string, input: Buffer | string = ''): Ended {
    return this.#run('bash', ['-o', 'pipefail', '-c', script], input)
  }

  #run(command: string, args: readonly string[], input: Buffer | string): Ended {
    const { status, stdout, stderr } = spawnSync(command, args, {
      cwd: this.directory,
      input,
      encoding: 'latin1',
      maxBuffer: 2 ** 30,
      env: {
        ...process.env,
        COMPOSEFS_REPO: this.file('repo'),
        composefs: `${process.execPath} ${this.file('src/cli/main.js')}`,
      },
    })
    return { status, out: stdout, error: stderr }
  }
}

/** The command alone, installed for the tests of a file. */
export function composefsCommand(): (...args: string[]) => Ended {
  let installed: Installed | undefined
  beforeAll(() => {
    installed = new Installed()
  })
  afterAll(() => installed?.remove())
  return (...args) => installed!.composefs(args)
}
