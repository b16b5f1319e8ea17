import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../../../shared/', import.meta.url))
const available = existsSync(`${root}vectors/README.md`)
let told = false

/** The specifications and golden vectors that lie beside a developer's clone; a stranger's clone has none. */
export const shared = {
  get available(): boolean {
    if (!available && !told) {
      told = true
      console.warn('skipped: ../shared (golden vectors of the reference tools) is not beside this clone')
    }
    return available
  },
  path: (relative: string): string => root + relative,
  bytes: (relative: string): Buffer => readFileSync(root + relative),
  // biome-ignore lint/suspicious/noExplicitAny: golden data of many shapes
  json: (relative: string): any => JSON.parse(readFileSync(root + relative, 'utf8')),
}
