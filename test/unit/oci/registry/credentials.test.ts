import { execFileSync } from 'node:child_process'
import { chmodSync, closeSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { beforeEach, describe, expect, test, vi } from 'vitest'
import { findCredentials, parseReference } from '../../../../src/oci/index.ts'
import { lookUpCredentials } from '../../../../src/oci/registry/credentials.ts'
import { temporaryDirectory } from '../../../support/temporary-directory.ts'

let home = ''

/** No file of this machine plays a part. */
beforeEach(() => {
  home = temporaryDirectory()
  vi.stubEnv('HOME', home)
  vi.stubEnv('XDG_RUNTIME_DIR', join(home, 'run'))
  vi.stubEnv('XDG_CONFIG_HOME', undefined)
  vi.stubEnv('DOCKER_CONFIG', undefined)
  vi.stubEnv('REGISTRY_AUTH_FILE', undefined)
  return () => vi.unstubAllEnvs()
})

const auth = (text: string) => ({ auth: Buffer.from(text).toString('base64') })

function write(path: string, content: unknown): string {
  const file = join(home, path)
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content))
  return file
}

/** A helper that says what it is asked for. */
function helper(name: string, script: string): void {
  const file = write(`bin/docker-credential-${name}`, `#!/bin/sh\n${script}\n`)
  chmodSync(file, 0o755)
  vi.stubEnv('PATH', `${dirname(file)}${delimiter}${process.env['PATH']}`)
}

async function user(reference: string, options = {}): Promise<string | undefined> {
  const found = await findCredentials(parseReference(reference), options)
  return found === undefined
    ? undefined
    : found.kind === 'password'
      ? `${found.username}:${found.password}`
      : found.token
}

describe('findCredentials', () => {
  test('--creds', async () => {
    expect(await user('quay.io/a', { creds: 'me:a:b' })).toBe('me:a:b')
    await expect(user('quay.io/a', { creds: 'me' })).rejects.toMatchObject({ code: 'ERR_ARGUMENT' })
  })

  test('nothing anywhere', async () => {
    expect(await user('quay.io/a')).toBeUndefined()
  })

  test('the first file that has an entry', async () => {
    write('.dockercfg', { 'quay.io': auth('d:4') })
    expect(await user('quay.io/a')).toBe('d:4')
    write('.docker/config.json', { auths: { 'quay.io': auth('c:3') } })
    expect(await user('quay.io/a')).toBe('c:3')
    write('.config/containers/auth.json', { auths: { 'quay.io': auth('b:2') } })
    expect(await user('quay.io/a')).toBe('b:2')
    write('run/containers/auth.json', { auths: { 'other.io': auth('x:x') } })
    expect(await user('quay.io/a')).toBe('b:2')
    write('run/containers/auth.json', { auths: { 'quay.io': auth('a:1') } })
    expect(await user('quay.io/a')).toBe('a:1')
  })

  test('an explicit file is the only one', async () => {
    write('.docker/config.json', { auths: { 'quay.io': auth('c:3') } })
    const file = write('mine.json', { auths: { 'other.io': auth('o:o') } })
    expect(await user('quay.io/a', { authFile: file })).toBeUndefined()
    vi.stubEnv('REGISTRY_AUTH_FILE', file)
    expect(await user('quay.io/a')).toBeUndefined()
    expect(await user('other.io/a')).toBe('o:o')
    const missing = { authFile: join(home, 'none.json') }
    await expect(user('quay.io/a', missing)).rejects.toMatchObject({ code: 'ERR_REGISTRY_CREDENTIALS' })
  })

  test('the most specific key', async () => {
    write('.docker/config.json', {
      auths: { 'quay.io': auth('host:1'), 'quay.io/team': auth('team:2'), 'quay.io/team/app': auth('app:3') },
    })
    expect(await user('quay.io/x')).toBe('host:1')
    expect(await user('quay.io/teamwork/app')).toBe('host:1')
    expect(await user('quay.io/team/other')).toBe('team:2')
    expect(await user('quay.io/team/app')).toBe('app:3')
    expect(await user('quay.io:443/team/app')).toBeUndefined()
  })

  test.each(['https://index.docker.io/v1/', 'docker.io', 'index.docker.io', 'https://registry-1.docker.io/v2/'])(
    'the key of Docker Hub: %s',
    async (key) => {
      write('.docker/config.json', { auths: { [key]: auth('hub:1') } })
      expect(await user('fedora')).toBe('hub:1')
      expect(await user('quay.io/fedora')).toBeUndefined()
    },
  )

  const host = 'r.io:5000'
  const [good, bad] = [auth('good:1'), auth('stale:0')]
  test.each<[string, [string, object][]]>([
    [
      'the exact key before a URL',
      [
        [host, good],
        [`https://${host}/v1/`, bad],
      ],
    ],
    [
      'wherever it stands',
      [
        [`http://${host}`, bad],
        [host, good],
      ],
    ],
    [
      'a URL before the tokens of a login by browser',
      [
        [`https://${host}/v1/`, good],
        [`https://${host}/v1/access-token`, bad],
        [`https://${host}/v1/refresh-token`, bad],
      ],
    ],
    [
      'https before http',
      [
        [`http://${host}`, bad],
        [`https://${host}`, good],
      ],
    ],
    [
      'a namespace before its host',
      [
        [host, bad],
        [`${host}/team`, good],
        [`${host}/other`, bad],
      ],
    ],
    [
      'a URL where the exact key says nothing',
      [
        [host, {}],
        [`https://${host}/v2/`, good],
      ],
    ],
    ['a host with a slash', [[`${host}/`, good]]],
    [
      'a host with the path of an API',
      [
        [`${host}/v1/`, good],
        [`${host}/v1/refresh-token`, bad],
      ],
    ],
    [
      'the whole name',
      [
        [`${host}/team/app`, good],
        [`${host}/team`, bad],
        [host, bad],
      ],
    ],
  ])('%s', async (_what, entries) => {
    write('.docker/config.json', { auths: Object.fromEntries(entries) })
    expect(await user(`${host}/team/app`)).toBe('good:1')
  })

  test.each([`https://${host}/v1/access-token`, `https://${host}/v1/refresh-token/`, `${host}/v2/team`, `x${host}`])(
    'no key: %s',
    async (key) => {
      write('.docker/config.json', { auths: { [key]: bad } })
      expect(await user(`${host}/team/app`)).toBeUndefined()
    },
  )

  test('the port of https need not be named in a key', async () => {
    write('.docker/config.json', { auths: { 'quay.io:443': good, 'https://b.io:443/v1/': good, 'c.io:80': bad } })
    expect([await user('quay.io/a'), await user('b.io/a'), await user('c.io/a')]).toEqual([
      'good:1',
      'good:1',
      undefined,
    ])
  })

  test.each(['/dev/null', 'an empty file', 'a pipe'])('%s as the only file', async (what) => {
    write('.docker/config.json', { auths: { 'quay.io': bad } })
    if (what !== 'a pipe') {
      const authFile = what === '/dev/null' ? what : write('empty', '\n')
      return expect(await user('quay.io/a', { authFile })).toBeUndefined()
    }
    const authFile = join(home, 'pipe')
    execFileSync('mkfifo', [authFile])
    // Without a writer it says nothing, and is not waited for.
    expect(await user('quay.io/a', { authFile })).toBeUndefined()
    const writer = openSync(authFile, 'r+')
    writeSync(writer, JSON.stringify({ auths: { 'quay.io': good } }))
    const found = user('quay.io/a', { authFile })
    await new Promise(setImmediate)
    const second = openSync(authFile, 'w')
    closeSync(writer)
    closeSync(second)
    expect(await found).toBe('good:1')
  })

  test('a file without end is refused', async () => {
    await expect(user('quay.io/a', { authFile: '/dev/zero' })).rejects.toMatchObject({
      code: 'ERR_REGISTRY_CREDENTIALS',
      message: expect.stringContaining('larger than'),
    })
  })

  test('the forms of an entry', async () => {
    write('.docker/config.json', {
      auths: {
        'a.io': { username: 'me', password: 'secret' },
        'b.io': { ...auth('me:ignored'), identitytoken: 'token' },
        'c.io': {},
        'd.io': { auth: Buffer.from('me:secret\0\0').toString('base64') },
      },
    })
    expect(await user('a.io/a')).toBe('me:secret')
    expect(await user('b.io/a')).toBe('token')
    expect(await user('c.io/a')).toBeUndefined()
    expect(await user('d.io/a')).toBe('me:secret')
  })

  test('helpers: one for a host before the entries, the common one after them', async () => {
    helper('one', 'read server; echo "{\\"Username\\":\\"one\\",\\"Secret\\":\\"$server\\"}"')
    helper('all', 'read server; echo "{\\"Username\\":\\"<token>\\",\\"Secret\\":\\"$server\\"}"')
    helper('none', 'echo "credentials not found in native keychain"; exit 1')
    write('.docker/config.json', {
      auths: { 'quay.io': auth('c:3'), 'b.io': auth('b:b'), 'docker.io': {} },
      credHelpers: { 'quay.io': 'one', 'n.io': 'none' },
      credsStore: 'all',
    })
    expect(await user('quay.io/a')).toBe('one:quay.io')
    expect(await user('b.io/a')).toBe('b:b')
    expect(await user('c.io:5000/a')).toBe('c.io:5000')
    expect(await user('fedora')).toBe('https://index.docker.io/v1/')
    expect(await user('n.io/a')).toBeUndefined()
  })

  test('a helper that does not work leaves what others have', async () => {
    helper('broken', 'echo "hunter2{"')
    helper('torn', 'exit 3')
    helper('missing-part', 'echo "pass: command not found" >&2; exit 127')
    const lookUp = (content: object, timeout = 5000) => {
      write('.config/containers/auth.json', content)
      return lookUpCredentials(parseReference('quay.io/a'), {}, { timeout })
    }
    write('.docker/config.json', { auths: { 'quay.io': auth('c:3') } })
    const found = await lookUp({ credHelpers: { 'quay.io': 'absent' } })
    expect(found.credentials).toMatchObject({ username: 'c' })
    expect(found.problem?.message).toContain('docker-credential-absent does not work: not found')
    write('.docker/config.json', {})
    for (const [name, says] of [
      ['broken', 'something else than credentials'],
      ['torn', 'it ends with 3'],
      ['missing-part', 'command not found'],
    ]) {
      const { credentials, problem } = await lookUp({ credsStore: name })
      expect([credentials, problem?.message]).toEqual([undefined, expect.stringContaining(says!)])
    }
    helper('hanging', 'exec sleep 1000')
    const { problem } = await lookUp({ credsStore: 'hanging' }, 50)
    expect(problem?.message).toContain('it does not answer')
  })

  test.each([
    'echo "credentials not found in native keychain"; exit 1',
    'echo "credentials not found in native keychain" >&2; exit 1',
    'echo "The specified item could not be found in the keychain."; exit 1',
    'echo "{\\"Username\\":\\"\\",\\"Secret\\":\\"\\"}"',
  ])('a helper that knows nothing: %s', async (script) => {
    helper('empty', script)
    write('.docker/config.json', { credsStore: 'empty' })
    expect(await user('quay.io/a')).toBeUndefined()
  })

  test('what does not work says so and tells no secret', async () => {
    const failing = async (content: unknown) => {
      write('.docker/config.json', content)
      const error: Error = await user('quay.io/a').then(
        () => expect.unreachable(),
        (error: Error) => error,
      )
      expect(error).toMatchObject({ code: 'ERR_REGISTRY_CREDENTIALS' })
      expect(`${error.message} ${error.stack} ${error.cause}`).not.toContain('hunter2')
      return error.message
    }
    helper('broken', 'echo "hunter2{"')
    helper('angry', 'echo "the key ring is locked"; exit 1')
    await failing('{"auths": {"quay.io": {"password": "hunter2"')
    await failing({ auths: { 'quay.io': auth('hunter2') } })
    expect(await failing({ credsStore: 'broken' })).toContain('docker-credential-broken')
    expect(await failing({ credsStore: 'angry' })).toContain('the key ring is locked')
    expect(await failing({ credsStore: 'absent' })).toContain('not found')
    expect(await failing({ credsStore: '../evil' })).toContain('not the name of a credential helper')
  })
})
