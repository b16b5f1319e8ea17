/**
 * What every program of this package does around its work.
 *
 * @packageDocumentation
 */
import { note } from './output.ts'

/**
 * Runs the work of a program and hands to `report` what goes wrong; it sets the exit status.
 */
export async function run(work: () => Promise<void>, report: (error: unknown) => void): Promise<void> {
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

  // The same for what only tells how it goes.
  process.stderr.on('error', () => {})

  try {
    await work()
  } catch (error) {
    if ((error as NodeJS.ErrnoException | undefined)?.code !== 'EPIPE') report(error)
  } finally {
    settled = true
  }
}
