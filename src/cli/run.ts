/**
 * What every program of this package does around its work.
 *
 * @packageDocumentation
 */
import { closeSync, openSync } from 'node:fs'
import { ComposefsError } from '../errors.ts'
import { unlessInterrupted } from './interrupt.ts'
import { note } from './output.ts'

/** As a shell says it of a program that Ctrl-C has ended. */
const interruptedStatus = 130

/**
 * Runs the work of a program and hands to `report` what goes wrong; it sets the exit status. At Ctrl-C the program ends
 * with `ERR_INTERRUPTED` and the status 130, whatever is still going on.
 */
export async function run(work: () => Promise<void>, report: (error: unknown) => void): Promise<void> {
  // A promise that is never settled would end the process with success in the middle of its work.
  let settled = false
  process.on('exit', () => {
    if (!settled && process.exitCode === undefined) {
      note('Error: the work stopped before its end [ERR_STREAM_ORDER]')
      process.exitCode = 1
    }
    keepOutputFromSync()
  })

  // The reader of a pipe may leave (`| head`): nobody is left to tell.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') report(error)
    settled = true
    process.exit()
  })

  // The same for what only tells how it goes.
  process.stderr.on('error', () => {})

  try {
    await unlessInterrupted(work)
  } catch (error) {
    if ((error as NodeJS.ErrnoException | undefined)?.code !== 'EPIPE') report(error)
    settled = true
    if (error instanceof ComposefsError && error.code === 'ERR_INTERRUPTED') process.exit(interruptedStatus)
  } finally {
    settled = true
  }
}

/**
 * At the very end koffi syncs stdout and stderr to disk: that takes long for large files, and where it fails the process
 * hangs for ever. A null device has nothing to sync.
 */
function keepOutputFromSync(): void {
  const openNull = (): number => openSync('/dev/null', 'r+')
  try {
    closeSync(openNull())
    for (const fd of [1, 2]) closeSync(fd)
    // The lowest numbers that are free, and that may be the one of stdin as well.
    while (openNull() < 2);
  } catch {
    // There is no such device here.
  }
}
