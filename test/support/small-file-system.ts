import { execFileSync } from 'node:child_process'
import { onTestFinished } from 'vitest'
import { temporaryDirectory } from './temporary-directory.ts'

/** A file system of one MiB that can be filled up; undefined, and said so, where mounting is not allowed. */
export function smallFileSystem(): { path: string; makeReadOnly(): void } | undefined {
  const path = temporaryDirectory()
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'composefs-test', path], { stdio: 'pipe' })
  } catch (error) {
    console.warn(`skipped: cannot mount a tmpfs (${error instanceof Error ? error.message.trim() : error})`)
    return undefined
  }
  onTestFinished(() => {
    // Lazily: a test that fails may leave a repository open.
    execFileSync('umount', ['-l', path])
  })
  return {
    path,
    makeReadOnly: () => {
      execFileSync('mount', ['-o', 'remount,ro', path])
    },
  }
}
