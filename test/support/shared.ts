import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../../../shared/', import.meta.url))
const available = existsSync(`${root}vectors/README.md`)
let told = false

/** The specifications and golden vectors that lie beside a developer's clone; a stranger's clone has none. */
export const shared = {
  get available(): boolean {
    if (!available && !told) {
      const text = '../shared (golden vectors of the reference tools) is not beside this clone'
      const { COMPOSEFS_REQUIRE_TOOLS } = process.env
      if (COMPOSEFS_REQUIRE_TOOLS === '1') throw new Error(`COMPOSEFS_REQUIRE_TOOLS=1, but ${text}`)
      told = true
      console.warn(`skipped: ${text}`)
    }
    return available
  },
  path: (relative: string): string => root + relative,
  bytes: (relative: string): Buffer => readFileSync(root + relative),
  // biome-ignore lint/suspicious/noExplicitAny: golden data of many shapes
  json: (relative: string): any => JSON.parse(readFileSync(root + relative, 'utf8')),
}
