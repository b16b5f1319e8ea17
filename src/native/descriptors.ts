/**
 * How many files this process may have open.
 *
 * @packageDocumentation
 */
import { readFileSync } from 'node:fs'

/** What most systems allow; Node raises its own limit to the hard one when it starts. */
const usual = 1024
let limit: number | undefined

/** The limit of open files (`ulimit -n`), {@link usual} where nothing tells it. Asked once. */
export function descriptorLimit(): number {
  limit ??= askKernel()
  return limit
}

/**
 * How many descriptors some work may hold that could do with fewer: so many as it would like, where the limit leaves
 * enough to others.
 */
export function descriptorsFor(wish: number): number {
  // Node itself has some thirty, and sockets, layers and the module loader want theirs.
  return Math.max(0, Math.min(wish, Math.floor((descriptorLimit() - 64) / 2)))
}

function askKernel(): number {
  try {
    const soft = /^Max open files\s+([0-9]+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))?.[1]
    return soft === undefined ? usual : Number(soft)
  } catch {
    return usual
  }
}
