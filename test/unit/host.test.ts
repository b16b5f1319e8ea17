/** What library code does to the process that it runs in: nothing. */
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const root = fileURLToPath(new URL('../../src/', import.meta.url))
const files = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'))
const library = files.filter((name) => !name.startsWith('cli/'))
/** The code without its comments. */
const code = (name: string): string => readFileSync(root + name, 'utf8').replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '')

test.each([
  ['sets flags of the engine', /setFlagsFromString|\bglobalThis\.gc\b|runInNewContext/],
  ['listens to the process or decides its end', /process\.(?:on|once|exit|exitCode|setUncaught\w+)\b/],
  ['prints', /console\.|process\.stderr/],
  ['gives memory of the process back', /mallocTrim\?*\.?\(/],
  ['has a timer that keeps the process alive', /setInterval\((?:[^()]|\([^()]*\))*\)(?!\.unref\(\))/],
])('no code but that of the command %s', (_what, pattern) => {
  expect(library.length).toBeGreaterThan(150)
  // Binding a function is not yet calling it.
  const found = library.filter((name) => pattern.test(code(name).replace('mallocTrim(0)', '')))
  expect(found).toEqual([])
})

test('the command does what it looks for, so it would be found', () => {
  const memory = code('cli/memory.ts')
  expect(memory).toMatch(/setFlagsFromString/)
  expect(memory).toMatch(/mallocTrim\?*\.?\(/)
})
