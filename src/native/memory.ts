/**
 * Memory that was freed.
 *
 * @packageDocumentation
 */
import { native } from './libc.ts'

/**
 * Gives what was freed back to the system, after work that took much: glibc keeps it where something in use lies behind
 * it, and what each layer of an image leaves there adds up. A few milliseconds.
 */
export function returnFreeMemory(): void {
  native()?.mallocTrim?.()
}
