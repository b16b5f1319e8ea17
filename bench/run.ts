/**
 * npm run bench [-- decode mkfs import scan pull]: figures beside those of the programs in PATH, on /dev/shm.
 *
 * BENCH_DIRECTORY names another place; it takes 2 GB.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { compareDecoders } from './decode.ts'
import { compareImports } from './import.ts'
import { bytesOfFile, writeLayer } from './material.ts'
import { compareMkfs } from './mkfs.ts'
import { comparePulls } from './pull.ts'
import { compareScans } from './scan.ts'

const wanted = process.argv.slice(2)
const wants = (name: string): boolean => wanted.length === 0 || wanted.includes(name)
const directory = mkdtempSync(join(process.env['BENCH_DIRECTORY'] ?? '/dev/shm', 'composefs-bench-'))
const composefs = `node ${fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))}`
const layer = join(directory, 'layer.tar')
try {
  if (wanted.length !== 1 || !wants('mkfs')) await writeLayer(layer)
  if (wants('decode')) await compareDecoders(bytesOfFile(layer))
  if (wants('mkfs')) await compareMkfs(directory, composefs)
  if (wants('import')) await compareImports(directory, composefs, layer)
  if (wants('scan')) await compareScans(directory, composefs, layer)
  if (wants('pull')) await comparePulls(directory, composefs, layer)
} finally {
  rmSync(directory, { recursive: true, force: true })
}
