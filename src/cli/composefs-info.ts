#!/usr/bin/env node
/**
 * The `composefs-info` command, for scripts that call the C tool of that name: the same arguments, the same results.
 *
 * @packageDocumentation
 */
import { statSync } from 'node:fs'
import type { ByteString } from '../bytes.ts'
import { readImageSteps } from '../erofs/reader.ts'
import { ComposefsError } from '../errors.ts'
import type { FileSystem } from '../tree/filesystem.ts'
import { inTurns } from '../turns.ts'
import { backingPaths, isBelow, listing } from './describe-paths.ts'
import { describeError, isUsageError } from './failure.ts'
import { getoptLong } from './getopt.ts'
import { interruption } from './interrupt.ts'
import { measureFile } from './measure.ts'
import { note, print, printAll, printLine } from './output.ts'
import { run } from './run.ts'
import { storedText } from './stored-lines.ts'
import { filterTopLevel, topLevelFilter } from './top-level.ts'
import { readImageInput } from './tree-input.ts'

const usage =
  'Usage: composefs-info [--basedir=DIR] [--filter=NAME]... ls|dump|objects|missing-objects IMAGES...\n' +
  '       composefs-info measure-file FILES...\n' +
  '  --basedir=DIR   the object store in which missing-objects looks\n' +
  '  --filter=NAME   only this entry of the root directory'

type Command = 'ls' | 'dump' | 'objects' | 'missing-objects' | 'measure-file'

const commands: readonly string[] = ['ls', 'dump', 'objects', 'missing-objects', 'measure-file'] satisfies Command[]

async function composefsInfo(args: readonly string[]): Promise<void> {
  const { options, operands } = getoptLong(args, { basedir: true, filter: true })
  const basedir = options.findLast(({ name }) => name === 'basedir')?.value
  const keeps = topLevelFilter(options.flatMap(({ name, value }) => (name === 'filter' ? [value!] : [])))
  const [command, ...files] = operands
  if (command === undefined) throw wrong('say which command')
  if (!commands.includes(command)) throw wrong(`there is no command ${command}`)
  if (files.length === 0) throw wrong(command === 'measure-file' ? 'say which files' : 'say which images')
  if (basedir !== undefined && !statSync(basedir).isDirectory()) {
    throw new ComposefsError('ERR_NOT_DIRECTORY', 'the object store is no directory', { path: basedir })
  }
  await inform(command as Command, files, keeps, basedir)
}

type Filter = (name: ByteString) => boolean

async function inform(command: Command, files: readonly string[], keeps: Filter, basedir?: string): Promise<void> {
  switch (command) {
    case 'ls':
      for (const file of files) await printAll(listing(await treeOf(file, keeps), true))
      return
    case 'dump':
      for (const file of files) await printAll(storedText((await checkedImage(file)).bytes, keeps))
      return
    case 'objects':
      return printPaths(await pathsOf(files, keeps))
    case 'missing-objects':
      return printPaths(
        (await pathsOf(files, keeps)).filter((path) => basedir === undefined || !isBelow(basedir, path)),
      )
    case 'measure-file':
      for (const file of files) await printLine((await measureFile(inFile(file), 'sha256')).hex)
  }
}

/** A lone dash is a name like any other. */
const inFile = (name: string): string => (name === '-' ? './-' : name)

async function checkedImage(file: string): Promise<{ readonly bytes: Buffer; readonly fileSystem: FileSystem }> {
  try {
    const bytes = await readImageInput(inFile(file))
    return { bytes, fileSystem: (await inTurns(readImageSteps(bytes), interruption)).fileSystem }
  } catch (error) {
    throw error instanceof ComposefsError ? error.within(file) : error
  }
}

async function treeOf(file: string, keeps: Filter): Promise<FileSystem> {
  const { fileSystem } = await checkedImage(file)
  filterTopLevel(fileSystem, keeps)
  return fileSystem
}

async function pathsOf(files: readonly string[], keeps: Filter): Promise<ByteString[]> {
  const trees: FileSystem[] = []
  for (const file of files) trees.push(await treeOf(file, keeps))
  return backingPaths(trees)
}

const printPaths = (paths: readonly ByteString[]): Promise<void> =>
  print(Buffer.from(paths.map((path) => `${path}\n`).join(''), 'latin1'))

const wrong = (what: string): ComposefsError => new ComposefsError('ERR_ARGUMENT', what)

function report(error: unknown): void {
  note(`composefs-info: ${describeError(error).message}`)
  if (isUsageError(error)) for (const line of usage.split('\n')) note(line)
  process.exitCode = 1
}

await run(() => composefsInfo(process.argv.slice(2)), report)
