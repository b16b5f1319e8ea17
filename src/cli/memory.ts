/**
 * Memory that was freed. It is for the program to decide about, never for the library: garbage is collected for all that
 * runs in the process.
 *
 * @packageDocumentation
 */
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { native } from '../native/libc.ts'

type CollectGarbage = (options?: { readonly type: 'major'; readonly flavor: 'last-resort' }) => void

/** A young generation that has grown to 2 × 16 MiB, which is as large as it gets before V8 13 (Node 24), is larger. */
const grownYoung = 30e6
/** Above this much in use a collection takes long, and what it would bring is small beside that. */
const largeHeap = 200e6

/** Milliseconds after which memory that several layers have freed is given back. */
const interval = 200

/** V8 knows since version 12 (Node 22) the kind of collection that makes the young generation small again. */
const shrinks = Number(process.versions.v8.split('.', 1)[0]) >= 12

/**
 * Gives what was freed back to the system, after work that took much: glibc keeps it where something in use lies behind
 * it, and what each layer of an image leaves there adds up. A few milliseconds.
 */
export function returnFreeMemory(): void {
  native()?.mallocTrim?.()
}

/**
 * The same for what nobody uses any more: between two phases that each take much. By itself V8 lets 64 MB of buffers
 * gather before it looks for them. Twenty to forty milliseconds.
 */
export function returnUnusedMemory(): void {
  collectGarbage()
  returnFreeMemory()
}

/**
 * {@link returnFreeMemory}, and {@link returnUnusedMemory} where it is time for that: during work that takes long. Node
 * 24 lets the young generation of a small heap become 128 MB, nearly all of it garbage. Programs whose heap is large
 * for other reasons are left alone.
 */
export function returnGrownMemory(): void {
  let used = 0
  let young = 0
  for (const { space_name: name, space_size: size, space_used_size: usedSize } of getHeapSpaceStatistics()) {
    if (name === 'new_space') young = size
    else used += usedSize
  }
  if (shrinks && young > grownYoung && used < largeHeap) collectGarbage()
  returnFreeMemory()
}

function collectGarbage(): void {
  // Only a context that is made while the flag is set has the function.
  setFlagsFromString('--expose-gc')
  const gc = runInNewContext('globalThis.gc') as CollectGarbage | undefined
  if (globalThis.gc === undefined) setFlagsFromString('--no-expose-gc')
  if (shrinks) gc?.({ type: 'major', flavor: 'last-resort' })
  else gc?.()
}

/** Between fetching layers and making images of them, which each take much. */
export function freeAfterLayers(event: { readonly type: string; readonly fetched?: boolean }): void {
  if (event.type === 'layers' && event.fetched === true) returnUnusedMemory()
}

/** Gives back memory during work that is long where it is large, and lets timers have their turn. */
export async function withFreedMemory<T>(work: () => Promise<T>): Promise<T> {
  const timer = setInterval(returnGrownMemory, interval).unref()
  try {
    return await work()
  } finally {
    clearInterval(timer)
  }
}
