/** Every TypeScript example in the documentation compiles against what the package exports. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { expect, test } from 'vitest'

const project = fileURLToPath(new URL('../../', import.meta.url))

/** The examples of a text: Markdown, or comments that hold it. */
function examplesOf(text: string): string[] {
  return [...text.matchAll(/^( \* |)```ts\n([\s\S]*?)^\1```$/gm)].map(([, margin, code]) =>
    margin === '' ? code! : code!.replaceAll(/^ \* ?/gm, ''),
  )
}

function allExamples(): Map<string, string> {
  const sources = readdirSync(join(project, 'src'), { recursive: true, encoding: 'utf8' })
  const files = ['README.md', ...sources.filter((name) => name.endsWith('.ts')).map((name) => join('src', name))]
  const examples = new Map<string, string>()
  for (const file of files) {
    const found = examplesOf(readFileSync(join(project, file), 'utf8').replaceAll(/^ {2} \* ?/gm, ' * '))
    found.forEach((code, i) => {
      examples.set(join(project, 'test', `${file.replaceAll(/[/.]/g, '-')}-${i}.ts`), `${code}\nexport {}\n`)
    })
  }
  return examples
}

/** The package's names as its sources: no build is needed. */
function pathsOfExports(): Record<string, string[]> {
  const { exports } = JSON.parse(readFileSync(join(project, 'package.json'), 'utf8')) as {
    exports: Record<string, string>
  }
  const pairs = Object.entries(exports).filter(([, target]) => target.startsWith('./dist/'))
  return Object.fromEntries(
    pairs.map(([name, target]) => [
      name.replace('.', 'composefs-streams'),
      [join(project, target.replace('./dist/', 'src/').replace(/\.js$/, '.ts'))],
    ]),
  )
}

test('the examples compile', () => {
  const examples = allExamples()
  expect(examples.size).toBeGreaterThan(30)
  const { config } = ts.readConfigFile(join(project, 'tsconfig.json'), ts.sys.readFile)
  const { options } = ts.parseJsonConfigFileContent({ ...config, include: [], files: [] }, ts.sys, project)
  Object.assign(options, {
    paths: pathsOfExports(),
    noUnusedLocals: false,
    noUnusedParameters: false,
    isolatedDeclarations: false,
    declaration: false,
  })
  const host = ts.createCompilerHost(options)
  const { fileExists, readFile, getSourceFile } = host
  host.fileExists = (name) => examples.has(name) || fileExists(name)
  host.readFile = (name) => examples.get(name) ?? readFile(name)
  host.getSourceFile = (name, version, ...rest) => {
    const code = examples.get(name)
    return code === undefined ? getSourceFile(name, version, ...rest) : ts.createSourceFile(name, code, version, true)
  }
  const program = ts.createProgram([...examples.keys()], options, host)
  const problems = ts.getPreEmitDiagnostics(program).map(({ file, start, messageText }) => {
    const line = file === undefined || start === undefined ? 0 : file.getLineAndCharacterOfPosition(start).line + 1
    return `${file?.fileName.slice(project.length)}:${line}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`
  })
  expect(problems).toEqual([])
})
