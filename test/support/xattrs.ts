import { tmpdir } from 'node:os'
import { beforeEach } from 'vitest'
import { listXattrs } from '../../src/native/xattr.ts'

/** Whether attributes can be read: koffi or fs-xattr, which are optional, is installed. */
export const readsXattrs: boolean = (() => {
  try {
    listXattrs(tmpdir())
    return true
  } catch {
    console.warn('skipped: neither koffi nor fs-xattr loads here, without which no directory can be scanned')
    return false
  }
})()

/** Called at the top of a file: its tests scan directories, and are skipped where that cannot be. */
export function scansDirectories(): void {
  beforeEach((context) => {
    context.skip(!readsXattrs, 'neither koffi nor fs-xattr loads here')
  })
}
