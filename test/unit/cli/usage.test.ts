/** Command lines that are wrong, or lead nowhere: what the person who typed them is told. */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { describeError } from '../../../src/cli/failure.ts'
import { openInput } from '../../../src/cli/input.ts'
import { makeProgram, runProgram } from '../../../src/cli/program.ts'
import { errorCodes } from '../../../src/errors.ts'
import { Installed } from '../../support/command.ts'

let installed: Installed

beforeAll(() => {
  installed = new Installed()
})
afterAll(() => installed.remove())

/** With a home of its own, and without COMPOSEFS_REPO. */
function composefs(args: readonly string[], environment: NodeJS.ProcessEnv = {}) {
  const home = installed.file('home')
  mkdirSync(home, { recursive: true })
  const { COMPOSEFS_REPO: _, ...rest } = process.env
  return spawnSync(process.execPath, [installed.file('src/cli/main.js'), ...args], {
    cwd: home,
    encoding: 'utf8',
    input: '',
    timeout: 20_000,
    // One that hangs in a call of the system heeds nothing else.
    killSignal: 'SIGKILL',
    env: { ...rest, HOME: home, ...environment },
  })
}

const failure = async (...args: string[]): Promise<string> =>
  runProgram('1', args).then(
    () => 'none',
    (error: unknown) => `${describeError(error).message} [${describeError(error).code}]`,
  )

describe('a forgotten --repo', () => {
  const missing = expect.stringMatching(/^Error: no repository was named.* — .*--repo.* \[ERR_REPOSITORY_MISSING\]\n$/)

  test.each([
    ['import', ['import']],
    ['oci pull', ['oci', 'pull', 'docker://127.0.0.1:1/a']],
    ['oci import-layer', ['oci', 'import-layer', `sha256:${'0'.repeat(64)}`]],
    ['oci images', ['oci', 'images']],
  ])('makes no repository: %s', (_, args) => {
    // Of root the default is outside of the home; the tests of this project do not look for one there.
    const { status, stderr } = composefs(args, { COMPOSEFS_REPO: '' })
    expect([status, stderr]).toEqual([1, missing])
    expect(existsSync(installed.file('home/.var'))).toBe(false)
  })

  test('init asks where', () => {
    const { status, stderr } = composefs(['init', '--insecure'])
    expect([status, stderr]).toEqual([
      2,
      expect.stringMatching(/ — init PATH, or --system or --user .*\[ERR_ARGUMENT\]/),
    ])
    expect(composefs(['init', '--insecure', '--user']).status).toBe(0)
    expect(existsSync(installed.file('home/.var/lib/composefs/meta.json'))).toBe(true)
  })

  test('is told where there is one, and the empty one is no place', async () => {
    mkdirSync(installed.file('home/repo'), { recursive: true })
    writeFileSync(installed.file('home/repo/meta.json'), '')
    if (process.getuid?.() === 0) expect(composefs(['images']).stderr).toContain('there is one here: --repo ./repo')
    expect(await failure('--repo', '', 'images')).toMatch(/empty \[ERR_ARGUMENT\]$/)
  })

  test('has the default in the help', async () => {
    expect((await makeProgram('1', [])).helpInformation()).toMatch(/--repo.*default:\s+\/sysroot\/composefs for root/s)
  })
})

test('a place where no directory can be made is refused', () => {
  // Node's own way of making directories with those above them never ends in /proc.
  const { status, stderr } = composefs(['init', '--insecure', '/proc/none/repo'])
  expect([status, stderr]).toEqual([1, expect.stringMatching(/cannot make the directory.*ENOENT.*\[ERR_IO\]/)])
})

describe('what is no repository', () => {
  test.each([
    ['a file', 'file', 'a file is no composefs repository'],
    ['an empty directory', 'empty', 'this directory is no composefs repository'],
    ['nothing', 'nothing', 'there is no composefs repository'],
  ])('%s', async (_, name, message) => {
    writeFileSync(installed.file('file'), '')
    mkdirSync(installed.file('empty'), { recursive: true })
    expect(await failure('--repo', installed.file(name), 'images')).toContain(message)
  })
})

describe('usage errors', () => {
  test.each([
    ['a near command', ['improt'], "unknown command 'improt' — did you mean import?"],
    ['a command of oci', ['pull', 'docker://x'], 'did you mean composefs oci pull?'],
    ['no command of oci', ['oci', 'ls', 'x'], 'did you mean composefs ls?'],
    ['a near command before another', ['ocl', 'images'], 'did you mean oci? see: composefs --help'],
    ['a near option', ['import', '--nam', 'x'], 'did you mean --name? see: composefs import --help'],
    ['too few arguments', ['oci', 'tag'], 'see: composefs oci tag --help'],
    ['a choice', ['--hash', 'md5', 'images'], 'sha256, sha512'],
  ])('%s', async (_, args, message) => {
    expect(await failure(...args)).toContain(message)
    expect(await failure(...args)).toMatch(/ \[ERR_ARGUMENT\]$/)
  })

  test.each([
    [['import', '--json', '--frobnicate']],
    [['--json', 'frobnicate']],
    [['cat', '--json']],
    [['oci', 'layer', '--json', 'x', 'y', 'z']],
    [['--json']],
  ])('have their code in JSON: %j', (args) => {
    const { status, stdout, stderr } = composefs(args)
    expect(status).toBe(2)
    expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'ERR_ARGUMENT' } })
    expect(stderr).toContain('[ERR_ARGUMENT]')
  })

  test('are JSON on stderr where that was asked for', () => {
    for (const progress of [['--progress', 'json'], ['--progress=json']]) {
      const { stderr } = composefs(['oci', 'pull', ...progress])
      expect(JSON.parse(stderr)).toMatchObject({ type: 'error', code: 'ERR_ARGUMENT' })
    }
  })
})

describe('arguments that were swapped', () => {
  test.each([
    ['oci pull', ['oci', 'pull', 'fedora', 'docker://quay.io/f'], 'composefs oci pull docker://quay.io/f fedora'],
    ['oci push', ['oci', 'push', 'oci:dir', 'fedora'], 'composefs oci push fedora oci:dir'],
    ['create-image', ['create-image', 'name', '.'], 'composefs create-image . name'],
  ])('%s', async (_, args, meant) => {
    expect(await failure(...args)).toMatch(/ comes first — did you mean .*\[ERR_ARGUMENT\]$/)
    expect(await failure(...args)).toContain(`did you mean ${meant}?`)
  })

  test('checkout and mkfs', async () => {
    expect(await failure('checkout', '.', 'image')).toContain('the image comes first, then the directory')
    expect(await failure('mkfs', 'package.json', '.')).toContain('the source comes first, then the image')
  })
})

describe('an object store', () => {
  test.each([
    ['that is not there', 'nowhere', 'there is no object store'],
    ['that is a file', 'package.json', 'there is no object store'],
    ['that is the repository', 'repo', 'repo/objects?'],
  ])('%s', async (_, name, message) => {
    mkdirSync(installed.file('repo/objects'), { recursive: true })
    for (const command of [
      ['missing-objects', 'image'],
      ['checkout', 'image', installed.file('out')],
    ]) {
      const [first, ...rest] = command
      expect(await failure(first!, '--basedir', installed.file(name), ...rest)).toContain(message)
    }
  })
})

describe('a terminal where input should come from', () => {
  afterEach(() => void vi.restoreAllMocks())

  test.each([
    ['-', 'an image archive', true, 'waiting for an image archive from this terminal'],
    ['-', 'an image archive', false, ''],
    [process.execPath, 'an image archive', true, ''],
  ])('%s', (name, what, isTTY, told) => {
    const before = Object.getOwnPropertyDescriptor(process.stdin, 'isTTY')
    let text = ''
    vi.spyOn(process.stderr, 'write').mockImplementation((chunk) => {
      text += String(chunk)
      return true
    })
    Object.defineProperty(process.stdin, 'isTTY', { value: isTTY, configurable: true })
    try {
      const input = openInput(name, what)
      if (name !== '-') input.destroy()
    } finally {
      Object.defineProperty(process.stdin, 'isTTY', before ?? { value: undefined, configurable: true })
    }
    if (told === '') expect(text).toBe('')
    else expect(text).toContain(told)
  })
})

describe('options whose value may be missing or come again', () => {
  const at = (...args: string[]) => failure('--repo', installed.file('nowhere'), ...args)

  test.each([
    ['before the image', ['--tls-verify', 'docker://127.0.0.1:1/a']],
    ['with a value', ['--tls-verify', 'false', 'docker://127.0.0.1:1/a']],
    ['with an equals sign', ['--tls-verify=false', 'docker://127.0.0.1:1/a']],
    ['at the end', ['docker://127.0.0.1:1/a', '--tls-verify']],
  ])('--tls-verify %s leaves the image alone', async (_, args) => {
    // There is no repository: the command line was read.
    expect(await at('oci', 'push', 'image', ...args)).toContain('[ERR_REPOSITORY_MISSING]')
  })

  test('--tls-verify takes no other value', async () => {
    expect(await at('oci', 'push', 'image', 'oci:x', '--tls-verify=maybe')).toMatch(/not maybe \[ERR_ARGUMENT\]/)
  })

  test.each(['ls', 'dump'])('--filter of %s leaves the image alone', async (command) => {
    const image = join(installed.directory, 'no.cfs')
    expect(await at(command, '--filter', 'etc', '--filter', 'usr', image)).not.toContain('missing required argument')
  })

  test('no option of any command takes more than one word', async () => {
    const options = (await makeProgram('1', [])).commands.flatMap((command) => [
      ...command.options,
      ...command.commands.flatMap((child) => child.options),
    ])
    expect(options.length).toBeGreaterThan(80)
    expect(options.filter(({ variadic }) => variadic).map(({ long }) => long)).toEqual([])
    expect(new Set(options.filter(({ optional }) => optional).map(({ long }) => long))).toEqual(
      new Set(['--tls-verify']),
    )
  })
})

describe('every failure has a code of the table', () => {
  const system = (code: string, syscall: string, path?: string) =>
    Object.assign(new Error(`${code}: refused, ${syscall}`), {
      code,
      syscall,
      errno: -1,
      ...(path !== undefined && { path }),
    })

  test.each([
    [system('ENOENT', 'open', '/x'), 'ERR_NOT_FOUND', /\/x/],
    [system('ENOSPC', 'write'), 'ERR_NO_SPACE', /ENOSPC/],
    [system('EACCES', 'mkdir', '/x'), 'ERR_REPOSITORY_READONLY', /\/x/],
    [system('ECONNRESET', 'read'), 'ERR_IO', /ECONNRESET/],
    [new DOMException('This operation was aborted', 'AbortError'), 'ERR_INTERRUPTED', /interrupted/],
    [new RangeError('Invalid string length'), 'ERR_LIMIT', /too large/],
    [new RangeError('Maximum call stack size exceeded'), 'ERR_INTERNAL', /report it/],
    [new TypeError('x is not a function\nsecond line'), 'ERR_INTERNAL', /^TypeError: x is not a function — /],
    ['text', 'ERR_INTERNAL', /^text — /],
  ])('%s', (thrown, code, message) => {
    const described = describeError(thrown)
    expect(described.code).toBe(code)
    expect(described.message).toMatch(message)
    expect(described.message).not.toContain('undefined')
    expect(errorCodes).toHaveProperty(described.code)
  })
})
