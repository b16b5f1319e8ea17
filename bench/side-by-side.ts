/** Programs side by side: each round runs every one of them, so that what else the machine does meets all alike. */
import { spawnSync } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'

/** One of those compared. `prepare` is not timed. */
export interface Contender {
  readonly name: string
  readonly prepare?: () => void
  readonly run: () => void | Promise<void>
}

/** Prints the median time of each, its ratio to the first, and the peak memory of the last child it ran. */
export async function compare(title: string, contenders: readonly Contender[], rounds = 5): Promise<void> {
  const times = new Map<string, number[]>(contenders.map(({ name }) => [name, []]))
  const memory = new Map<string, number>()
  for (let round = 0; round < rounds; round++) {
    for (const { name, prepare, run } of contenders) {
      prepare?.()
      peak = 0
      const start = performance.now()
      await run()
      times.get(name)!.push((performance.now() - start) / 1000)
      memory.set(name, Math.max(peak, memory.get(name) ?? 0))
    }
  }
  console.log(`\n${title} (medians of ${rounds}, interleaved)`)
  const first = median(times.get(contenders[0]!.name)!)
  for (const { name } of contenders) {
    const seconds = median(times.get(name)!)
    const kibibytes = memory.get(name)!
    const resident = kibibytes === 0 ? '' : `${(kibibytes / 1024).toFixed(0).padStart(6)} MB`
    console.log(
      `  ${name.padEnd(36)} ${seconds.toFixed(2).padStart(7)} s   ours / it ${(first / seconds).toFixed(2)}${resident}`,
    )
  }
}

let peak = 0

/** Runs a shell script to its end; where GNU time is installed its peak memory is noted. */
export function shell(script: string, environment: Record<string, string> = {}): void {
  const timed = has('/usr/bin/time')
  const [command, ...args] = timed
    ? ['/usr/bin/time', '-f', 'peak %M', 'bash', '-o', 'pipefail', '-c', script]
    : ['bash', '-o', 'pipefail', '-c', script]
  const { status, stderr } = spawnSync(command!, args, {
    env: { ...process.env, RUST_BACKTRACE: '0', ...environment },
    stdio: ['ignore', 'ignore', 'pipe'],
    encoding: 'utf8',
  })
  if (status !== 0) throw new Error(`${script}: ${stderr}`)
  peak = Math.max(peak, Number(/peak (\d+)\n$/.exec(stderr)?.[1] ?? 0))
}

/** Whether a program is in PATH, or a file that can be run. */
export function has(program: string): boolean {
  const places = program.includes('/') ? [program] : (process.env['PATH'] ?? '').split(delimiter)
  return places.some((place) => {
    try {
      accessSync(program.includes('/') ? place : join(place, program), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

/** The contenders whose programs are installed; the others are named. */
export function available(contenders: readonly (Contender & { readonly needs?: string })[]): Contender[] {
  return contenders.filter(({ name, needs }) => {
    if (needs === undefined || has(needs)) return true
    console.log(`  left out: ${name} (${needs} is not in PATH)`)
    return false
  })
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!
}
