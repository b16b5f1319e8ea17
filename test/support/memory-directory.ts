import { mkdtempSync, rmSync, statfsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'

const memory = '/dev/shm'

/** A fresh directory, in memory where that is possible, that goes when the test ends. */
export function memoryDirectory(): string {
  const path = makeMemoryDirectory()
  onTestFinished(() => rmSync(path, { recursive: true, force: true }))
  return path
}

/** A fresh directory, in memory where there is room for that many bytes. The caller removes it. */
export function makeMemoryDirectory(room: number = 2 ** 29): string {
  return mkdtempSync(join(hasRoom(room) ? memory : tmpdir(), 'composefs-test-'))
}

function hasRoom(room: number): boolean {
  try {
    const { bavail, bsize } = statfsSync(memory)
    return bavail * bsize >= room
  } catch {
    return false
  }
}
