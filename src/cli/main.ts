#!/usr/bin/env node
/**
 * The `composefs` command.
 *
 * @packageDocumentation
 */
import { readFileSync } from 'node:fs'
import { CommanderError } from 'commander'
import { ComposefsError } from '../errors.ts'
import { exitStatus, note } from './output.ts'
import { makeProgram } from './program.ts'

const usageErrors: ReadonlySet<string> = new Set(['ERR_ARGUMENT', 'ERR_DIGEST_SYNTAX'])

/**
 * Reports an error once and sets the exit status: 2 for wrong usage, 130 after Ctrl-C, for everything else 1 or what the
 * command says.
 */
function report(error: unknown): void {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : 2
    return
  }
  const { code, message } = describe(error)
  process.exitCode = usageErrors.has(code) ? 2 : code === 'ERR_INTERRUPTED' ? 130 : exitStatus.failure
  note(`Error: ${message} [${code}]`)
  if (process.argv.includes('--json')) process.stdout.write(`${JSON.stringify({ error: { code, message } })}\n`)
  if (process.env['NODE_DEBUG']?.includes('composefs')) console.error(error)
}

function describe(error: unknown): { code: string; message: string } {
  if (error instanceof ComposefsError) return error
  const { name, message, code } = error as NodeJS.ErrnoException
  return { code: typeof code === 'string' ? code : name, message: message.split('\n')[0]! }
}

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string
}

// A promise that is never settled would end the process with success in the middle of its work.
let settled = false
process.on('exit', () => {
  if (settled || process.exitCode !== undefined) return
  note('Error: the work stopped before its end [ERR_STREAM_ORDER]')
  process.exitCode = 1
})

// The reader of a pipe may leave (`| head`): nobody is left to tell.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') report(error)
  settled = true
  process.exit()
})

try {
  const program = await makeProgram(version, process.argv.slice(2))
  await program.parseAsync()
} catch (error) {
  if ((error as NodeJS.ErrnoException | undefined)?.code !== 'EPIPE') report(error)
} finally {
  settled = true
}
