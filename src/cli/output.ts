/**
 * What goes to the terminal: results to stdout, everything else to stderr.
 *
 * @packageDocumentation
 */
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { ComposefsError } from '../errors.ts'

/** What the process ends with if it fails for another reason than wrong usage; a command may say otherwise. */
export const exitStatus: { failure: number } = { failure: 1 }

/** Writes a result, and waits until it is taken: a slow reader must not make us keep it all. */
export async function print(text: string | Buffer): Promise<void> {
  if (!process.stdout.write(text)) await new Promise((resolve) => process.stdout.once('drain', resolve))
}

/** Writes one line. */
export const printLine = (line: string): Promise<void> => print(`${line}\n`)

/** Pretty JSON with two spaces, as the reference tools print it. */
export const printJson = (value: unknown): Promise<void> => print(`${JSON.stringify(value, undefined, 2)}\n`)

/** How {@link note} writes: with `--progress=json` all of stderr is lines of JSON. */
export const notes: { json: boolean } = { json: false }

/** For people who watch; scripts read stdout. */
export const note = (line: string): void => {
  if (notes.json) noteJson({ type: 'note', text: line })
  else process.stderr.write(`${line}\n`)
}

/** The same for programs that watch. */
export const noteJson = (value: object): void => {
  process.stderr.write(`${JSON.stringify(value)}\n`)
}

/**
 * Streams bytes to stdout.
 *
 * @throws {@link ComposefsError} `ERR_ARGUMENT` where stdout is a terminal, which binary data would upset
 */
export async function pipeToStdout(source: Readable, what: string): Promise<void> {
  assertNoTerminal(what)
  await pipeline(source, process.stdout, { end: false })
}

/** @throws {@link ComposefsError} `ERR_ARGUMENT` where stdout is a terminal */
export function assertNoTerminal(what: string): void {
  if (!process.stdout.isTTY) return
  throw new ComposefsError('ERR_ARGUMENT', `${what} is binary and stdout is a terminal`, {
    hint: 'redirect it: > FILE, or pipe it into the next program',
  })
}

/** A table as cfsctl draws it. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]!.length)) + 2)
  const rule = ([left, line, cross, right]: string): string =>
    `${left}${widths.map((width) => line!.repeat(width)).join(cross)}${right}\n`
  const cells = (row: readonly string[]): string =>
    `│${row.map((cell, i) => ` ${cell.padEnd(widths[i]! - 1)}`).join('┆')}│\n`
  return `${rule('┌─┬┐')}${cells(head)}${rule('╞═╪╡')}${rows.map(cells).join(rule('├╌┼┤'))}${rule('└─┴┘')}`
}

/** `14.71 KiB`: binary units, two decimals. */
export function binarySize(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']
  let value = bytes
  let unit = 0
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024
  return unit === 0 ? `${bytes} B` : `${value.toFixed(2)} ${units[unit]}`
}
