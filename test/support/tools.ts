import { accessSync, constants, statSync } from 'node:fs'
import { delimiter, join } from 'node:path'

/** Where a program lies, by the PATH of this process. */
export function tool(name: string): string | undefined {
  const { PATH } = process.env
  for (const directory of (PATH ?? '').split(delimiter)) {
    const path = join(directory, name)
    try {
      accessSync(path, constants.X_OK)
      if (statSync(path).isFile()) return path
    } catch {
      // Not here.
    }
  }
  return undefined
}

/**
 * Whether tests that need these programs have to be skipped, which is said once. With COMPOSEFS_REQUIRE_TOOLS=1 a missing
 * program is a failure instead, so that nobody believes in tests that did not run.
 */
export function requireTools(...names: string[]): { skip: boolean } {
  const missing = names.filter((name) => tool(name) === undefined)
  if (missing.length === 0) return { skip: false }
  const text = `not in PATH: ${missing.join(', ')}`
  const { COMPOSEFS_REQUIRE_TOOLS } = process.env
  if (COMPOSEFS_REQUIRE_TOOLS === '1') throw new Error(`COMPOSEFS_REQUIRE_TOOLS=1, but ${text}`)
  console.warn(`skipped: ${text}`)
  return { skip: true }
}
