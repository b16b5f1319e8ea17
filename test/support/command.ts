import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll } from 'vitest'
import { compileInto } from './compiled.ts'

/** What a command did. Text is latin1: it may hold any byte. */
export interface Outcome {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

/** The `composefs` command, compiled once for the tests of a file. */
export function composefsCommand(): (...args: string[]) => Outcome {
  let directory = ''
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'composefs-test-'))
    compileInto(directory)
  })
  afterAll(() => rmSync(directory, { recursive: true, force: true }))
  return (...args) => {
    const { COMPOSEFS_REPO: _, ...env } = process.env
    const command = [join(directory, 'src/cli/main.js'), ...args]
    const { status, stdout, stderr } = spawnSync(process.execPath, command, {
      env,
      encoding: 'latin1',
      maxBuffer: 2 ** 28,
    })
    return { status, stdout, stderr }
  }
}
