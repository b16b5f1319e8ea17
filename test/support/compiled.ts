import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { transformSync } from 'rolldown/utils'

const project = fileURLToPath(new URL('../../', import.meta.url))

/**
 * The package as JavaScript in a directory, for child processes that a test starts: `<directory>/src/…/*.js`, and the
 * examples and the demo beside it, which find the package by its name.
 */
export function compileInto(directory: string): void {
  symlinkSync(join(project, 'node_modules'), join(directory, 'node_modules'))
  const { name, version, exports } = JSON.parse(readFileSync(join(project, 'package.json'), 'utf8')) as {
    name: string
    version: string
    exports: Record<string, string>
  }
  const places = Object.entries(exports).map(([key, place]) => [key, place.replace('./dist/', './src/')])
  const description = { name, version, type: 'module', exports: Object.fromEntries(places) }
  writeFileSync(join(directory, 'package.json'), JSON.stringify(description))
  for (const room of ['src', 'examples', 'demo']) compileRoom(room, directory)
}

function compileRoom(room: string, directory: string): void {
  for (const name of readdirSync(join(project, room), { recursive: true, encoding: 'utf8' })) {
    if (!name.endsWith('.ts')) continue
    // Fifty times as fast as TypeScript's own `transpileModule`, and many tests want it.
    const { code, errors } = transformSync(name, readFileSync(join(project, room, name), 'utf8'), {
      target: 'es2023',
      typescript: { rewriteImportExtensions: 'rewrite', onlyRemoveTypeImports: true },
    })
    if (errors.length > 0) throw errors[0]
    const path = join(directory, room, name.replace(/\.ts$/, '.js'))
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, code)
  }
}
