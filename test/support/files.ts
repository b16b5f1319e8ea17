import { lstatSync, readdirSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'

/** What lies below a directory: sizes of files, `-> target` for symlinks, null for directories. */
export function tree(root: string): Record<string, number | string | null> {
  const found: Record<string, number | string | null> = {}
  for (const name of readdirSync(root, { recursive: true, encoding: 'utf8' }).sort()) {
    const stat = lstatSync(join(root, name))
    if (stat.isSymbolicLink()) found[name] = `-> ${readlinkSync(join(root, name))}`
    else found[stat.isDirectory() ? `${name}/` : name] = stat.isDirectory() ? null : stat.size
  }
  return found
}

/** The paths of all files below a directory that are neither directories nor links. */
export function filesBelow(root: string): string[] {
  return Object.entries(tree(root)).flatMap(([name, value]) => (typeof value === 'number' ? [name] : []))
}
