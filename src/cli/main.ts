#!/usr/bin/env node
/**
 * The `composefs` command.
 *
 * @packageDocumentation
 */
import { readFileSync } from 'node:fs'
import { describeError, isUsageError } from './failure.ts'
import { exitStatus, json, note, noteJson, notes } from './output.ts'
import { runProgram } from './program.ts'
import { run } from './run.ts'

/**
 * Reports an error once and sets the exit status: 2 for wrong usage, for everything else 1 or what the command says.
 */
function report(error: unknown): void {
  const { code, message } = describeError(error)
  process.exitCode = isUsageError(error) ? 2 : exitStatus.failure
  if (notes.json) noteJson({ type: 'error', code, message })
  else note(`Error: ${message} [${code}]`)
  if (process.argv.includes('--json')) process.stdout.write(`${json({ error: { code, message } })}\n`)
  if (process.env['NODE_DEBUG']?.includes('composefs')) console.error(error)
}

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string
}

await run(() => runProgram(version, process.argv.slice(2)), report)
