/**
 * Memory that was freed.
 *
 * @packageDocumentation
 */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { native } from './libc.ts'

/**
 * Gives what was freed back to the system, after work that took much: glibc keeps it where something in use lies behind
 * it, and what each layer of an image leaves there adds up. A few milliseconds.
 */
export function returnFreeMemory(): void {
  native()?.mallocTrim?.()
}

/**
 * The same for what nobody uses any more: between two phases that each take much. By itself V8 lets 64 MB of buffers
 * gather before it looks for them. Twenty milliseconds.
 */
export function returnUnusedMemory(): void {
  collectGarbage()
  returnFreeMemory()
}

function collectGarbage(): void {
  // Only a context that is made while the flag is set has the function.
  setFlagsFromString('--expose-gc')
  const gc = runInNewContext('globalThis.gc') as (() => void) | undefined
  if (globalThis.gc === undefined) setFlagsFromString('--no-expose-gc')
  gc?.()
}
