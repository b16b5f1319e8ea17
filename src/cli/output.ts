/**
 * What goes to the terminal: results to stdout, everything else to stderr.
 *
 * @packageDocumentation
 */
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { ComposefsError } from '../errors.ts'
import { escapeControls } from '../escape.ts'
import { Turns } from '../turns.ts'
import { interruption } from './interrupt.ts'

/** What the process ends with if it fails for another reason than wrong usage; a command may say otherwise. */
export const exitStatus: { failure: number } = { failure: 1 }

/** Writes a result, and waits until it is taken: a slow reader must not make us keep it all. */
export async function print(text: string | Buffer): Promise<void> {
  if (!process.stdout.write(text)) await new Promise((resolve) => process.stdout.once('drain', resolve))
}

/** Writes one line of text; names in it cannot make it two, nor control the terminal. */
export const printLine = (line: string): Promise<void> => print(`${escapeControls(line)}\n`)

/** JSON in which no string can control the terminal: what JSON itself leaves as it is becomes `\uNNNN`. */
export function json(value: unknown, indent?: number): string {
  const code = (unit: string): string => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
  return JSON.stringify(value, undefined, indent).replaceAll(/[\x7f-\x9f\p{Cf}\p{Zl}\p{Zp}]/gu, (c) =>
    c.split('').map(code).join(''),
  )
}

/** Pretty JSON with two spaces, as the reference tools print it. */
export const printJson = (value: unknown): Promise<void> => print(`${json(value, 2)}\n`)

/** How {@link note} writes: with `--progress=json` all of stderr is lines of JSON. */
export const notes: { json: boolean } = { json: false }

/** One line for people who watch; scripts read stdout. */
export const note = (line: string): void => {
  if (notes.json) noteJson({ type: 'note', text: line })
  else process.stderr.write(`${escapeControls(line)}\n`)
}

/** The same for programs that watch. */
export const noteJson = (value: object): void => {
  process.stderr.write(`${json(value)}\n`)
}

/** Writes one piece after the other to stdout, no faster than they are read. Ctrl-C ends it. */
export async function printAll(pieces: Iterable<string | Buffer>): Promise<void> {
  const turns = new Turns(interruption)
  for (const piece of pieces) {
    await print(piece)
    if (turns.over) await turns.next()
  }
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

/** The first of several ways to say something that fits into one line of a terminal; the last one is cut. */
export function fitting(columns: number | undefined, ...ways: readonly string[]): string {
  // A terminal that was told no size has 0 columns. The last column stays free: some terminals begin a line behind it.
  const width = Math.max(1, (columns || 80) - 1)
  return ways.find((way) => way.length <= width) ?? ways.at(-1)!.slice(0, width)
}

/** A table as cfsctl draws it. */
export function table(head: readonly string[], cellsOfRows: readonly (readonly string[])[]): string {
  const rows = cellsOfRows.map((row) => row.map(escapeControls))
  const widths = head.map((title, i) => rows.reduce((width, row) => Math.max(width, row[i]!.length), title.length) + 2)
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
