import { closeSync, mkdirSync, openSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryDirectory } from './temporary-directory.ts'

/** Whether this process may make devices, mount, and set attributes of the system. */
export const isRoot: boolean = process.getuid?.() === 0

/** How many descriptors this process has open. */
export function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length
}

/** A directory in a fresh one, so that its own name is known. */
export function freshDirectory(name = 'root'): string {
  const path = join(temporaryDirectory(), name)
  mkdirSync(path)
  return path
}

/** Calls with a descriptor that is closed afterwards. */
export function withDescriptor<T>(path: string | Buffer, flags: number, use: (fd: number) => T): T {
  const fd = openSync(path, flags)
  try {
    return use(fd)
  } finally {
    closeSync(fd)
  }
}
