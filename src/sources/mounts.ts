/**
 * Where a directory goes on in another file system.
 *
 * @packageDocumentation
 */
import { readFileSync } from 'node:fs'
import { type ByteString, printable } from '../bytes.ts'
import { ComposefsError } from '../errors.ts'
import type { InodeStat } from '../native/inode.ts'

/**
 * What becomes of another file system that is mounted below the directory: `refuse` is an error that names the place,
 * `skip` leaves a directory empty and a file without contents, `cross` goes in (as cfsctl does).
 */
export type MountRule = 'refuse' | 'skip' | 'cross'

/** Tells what belongs to another file system than the directory at the top. */
export class MountGuard {
  readonly #rule: MountRule
  readonly #mount: string | undefined
  /** Device numbers of the file system: overlayfs and btrfs have several. */
  readonly #devices: Set<number>

  constructor(rule: MountRule, top: number, stat: InodeStat) {
    this.#rule = rule
    this.#mount = mountOf(top)
    this.#devices = new Set([stat.dev])
  }

  /**
   * Whether an open inode is to be left out.
   *
   * @throws {@link ComposefsError} `ERR_SOURCE_MOUNT` where that is the rule
   */
  leavesOut(fd: number, { dev }: InodeStat, path: ByteString): boolean {
    if (this.#rule === 'cross' || this.#devices.has(dev)) return false
    const mount = mountOf(fd)
    if (mount !== undefined && mount === this.#mount) {
      this.#devices.add(dev)
      return false
    }
    if (this.#rule === 'skip') return true
    throw new ComposefsError('ERR_SOURCE_MOUNT', 'another file system is mounted here', {
      stage: 'scanDirectory',
      path: printable(path),
      hint: '--one-file-system=skip leaves it out, --one-file-system=cross goes in',
    })
  }
}

/** The id of the mount that a descriptor was opened through, if the kernel tells. */
function mountOf(fd: number): string | undefined {
  try {
    return /^mnt_id:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'))?.[1]
  } catch {
    return undefined
  }
}
