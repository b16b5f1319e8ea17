/**
 * Files without a name, written ahead of the decision what becomes of them. No native package is needed for that, only
 * for giving them a name; so any thread can do it.
 *
 * @packageDocumentation
 */
import { closeSync, fchmodSync, constants as fsConstants, openSync, writeSync } from 'node:fs'

/** O_TMPFILE, which Node does not name: its own bit and that of O_DIRECTORY. */
export const O_TMPFILE: number = 0o20000000 | (fsConstants.O_DIRECTORY ?? 0)

/** Where drafts are made, and how. */
export interface DraftRules {
  /** Directory whose file system holds them. */
  readonly directory: string
  /** Permission bits, whatever the umask. Default: 0644 less the umask. */
  readonly mode?: number | undefined
}

/** A file with these contents and no name, as a descriptor for writing; -1 where that cannot be, for whatever reason. */
export function writeDraft({ directory, mode }: DraftRules, bytes: Buffer): number {
  let fd = -1
  try {
    fd = openSync(directory, O_TMPFILE | fsConstants.O_WRONLY, 0o644)
    if (mode !== undefined) fchmodSync(fd, mode)
    for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at, bytes.length - at)
    return fd
  } catch {
    // Whoever does without the draft meets the same failure, and reports it.
    if (fd >= 0) closeDraft(fd)
    return -1
  }
}

/** Lets go of a draft, which is then no more. Never throws. */
export function closeDraft(fd: number): void {
  try {
    closeSync(fd)
  } catch {
    // There is nothing left to do about it.
  }
}
