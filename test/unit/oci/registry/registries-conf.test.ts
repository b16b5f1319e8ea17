import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { parseReference, readRegistriesConfig, referenceText, resolveShortName } from '../../../../src/oci/index.ts'
import { placesOf } from '../../../../src/oci/registry/places.ts'
import { temporaryDirectory } from '../../../support/temporary-directory.ts'

function write(path: string, text: string): string {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, text)
  return path
}

const config = (text: string) => readRegistriesConfig(write(join(temporaryDirectory(), 'registries.conf'), text))

const places = (reference: string, text: string) =>
  placesOf(parseReference(reference), config(text)).map(
    ({ registry, repository, insecure, own }) =>
      `${registry}/${repository}${insecure ? ' insecure' : ''}${own ? '' : ' mirror'}`,
  )

const digest = `sha256:${'0'.repeat(64)}`

describe('placesOf', () => {
  test('without a rule it is the registry itself', () => {
    expect(places('quay.io/a/b', '')).toEqual(['quay.io/a/b'])
  })

  test('mirrors come first, and take the place of the prefix', () => {
    const text = `
[[registry]]
prefix = "quay.io/team"
location = "registry.example.com:5000/copies"
[[registry.mirror]]
location = "mirror-1.example.com/quay"
[[registry.mirror]]
location = "localhost:5000"
insecure = true`
    expect(places('quay.io/team/app:x', text)).toEqual([
      'mirror-1.example.com/quay/app mirror',
      'localhost:5000/app insecure mirror',
      'registry.example.com:5000/copies/app',
    ])
    expect(places('quay.io/teamwork/app', text)).toEqual(['quay.io/teamwork/app'])
    expect(places('quay.io/other', text)).toEqual(['quay.io/other'])
  })

  test('the longest prefix wins, a wildcard last', () => {
    const text = `
[[registry]]
location = "quay.io"
insecure = true
[[registry]]
prefix = "quay.io/a"
location = "a.example.com"
[[registry]]
prefix = "*.example.org"
insecure = true`
    expect(places('quay.io/b', text)).toEqual(['quay.io/b insecure'])
    expect(places('quay.io/a/b', text)).toEqual(['a.example.com/b'])
    expect(places('x.y.example.org/a', text)).toEqual(['x.y.example.org/a insecure'])
    expect(places('example.org/a', text)).toEqual(['example.org/a'])
  })

  test('mirrors for digests, for tags', () => {
    const text = (extra: string, mirror: string) =>
      `[[registry]]\nlocation = "quay.io"\n${extra}\n[[registry.mirror]]\nlocation = "m.io"\n${mirror}`
    for (const conf of [text('mirror-by-digest-only = true', ''), text('', 'pull-from-mirror = "digest-only"')]) {
      expect(places('quay.io/a:x', conf)).toEqual(['quay.io/a'])
      expect(places(`quay.io/a@${digest}`, conf)).toEqual(['m.io/a mirror', 'quay.io/a'])
    }
    expect(places('quay.io/a:x', text('', 'pull-from-mirror = "tag-only"'))).toHaveLength(2)
  })

  test('blocked', () => {
    const blocked = config('[[registry]]\nlocation = "quay.io"\nblocked = true')
    expect(() => placesOf(parseReference('quay.io/a'), blocked)).toThrow(
      expect.objectContaining({ code: 'ERR_REGISTRY_BLOCKED', path: expect.stringContaining('registries.conf') }),
    )
  })
})

describe('resolveShortName', () => {
  const resolved = (text: string, conf: string) => referenceText(resolveShortName(text, config(conf)))

  test('Docker Hub, an alias, or the one registry that is searched', () => {
    expect(resolved('fedora', '')).toBe('docker.io/library/fedora:latest')
    expect(resolved('fedora:41', 'unqualified-search-registries = ["quay.io"]')).toBe('quay.io/fedora:41')
    expect(resolved('quay.io/a', 'unqualified-search-registries = ["x.io", "y.io"]')).toBe('quay.io/a:latest')
    const alias = '[aliases]\nfedora = "registry.fedoraproject.org/fedora"\n"a/b" = "quay.io/b"'
    expect(resolved('fedora:41', alias)).toBe('registry.fedoraproject.org/fedora:41')
    expect(resolved(`a/b@${digest}`, alias)).toBe(`quay.io/b@${digest}`)
  })

  test('several registries: only the user knows', () => {
    expect(() => resolved('fedora:41', 'unqualified-search-registries = ["x.io", "y.io"]')).toThrow(
      expect.objectContaining({ code: 'ERR_OCI_REFERENCE', hint: 'choose one of: x.io/fedora:41, y.io/fedora:41' }),
    )
  })
})

describe('readRegistriesConfig', () => {
  test.each([
    ['a = ', 'not TOML'],
    ['[registries.search]\nregistries = []', 'version 1'],
    ['[[registry]]\nblocked = true', 'neither'],
    ['[registry]\nlocation = "a"', 'array of tables'],
    ['[[registry]]\nlocation = 7', 'location'],
    ['[[registry]]\nlocation = "a"\ninsecure = "yes"', 'insecure'],
    ['[[registry]]\nlocation = "a"\n[[registry.mirror]]\ninsecure = true', 'mirror'],
    ['[[registry]]\nlocation = "a"\n[[registry.mirror]]\nlocation = "b"\npull-from-mirror = "never"', 'none of'],
    ['unqualified-search-registries = "a"', 'unqualified'],
  ])('refuses %j', (text) => {
    expect(() => config(text)).toThrow(expect.objectContaining({ code: 'ERR_REGISTRY_CONFIG' }))
  })

  test('an explicit file must be there', () => {
    const code = 'ERR_REGISTRY_CONFIG'
    expect(() => readRegistriesConfig('/nonexistent/registries.conf')).toThrow(expect.objectContaining({ code }))
  })

  test('the files of the user, later ones first in weight', () => {
    const home = temporaryDirectory()
    vi.stubEnv('XDG_CONFIG_HOME', home)
    vi.stubEnv('CONTAINERS_REGISTRIES_CONF', undefined)
    onTestFinished(() => void vi.unstubAllEnvs())
    write(join(home, 'containers/registries.conf'), '[[registry]]\nlocation = "composefs.test"\ninsecure = true')
    const insecure = () => placesOf(parseReference('composefs.test/a'), readRegistriesConfig())[0]!.insecure
    expect(insecure()).toBe(true)
    write(join(home, 'containers/registries.conf.d/1.conf'), '[[registry]]\nlocation = "composefs.test"')
    expect(insecure()).toBe(false)
  })
})
