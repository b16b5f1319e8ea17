import { execFileSync } from 'node:child_process'
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { fromLatin1 } from '../../../src/bytes.ts'
import { type Policy, type PolicyLimits, readPolicy, readPolicyOfDirectory } from '../../../src/selinux/index.ts'
import { directory, file, type Item, merge, symlink } from '../../support/layer-entries.ts'
import { noObjects, policyItems } from '../../support/selinux.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

const refused = (code: string, path?: string) =>
  expect.objectContaining({ name: 'ComposefsError', code, ...(path !== undefined && { path }) })
const ofTree = (items: Item[], limits?: PolicyLimits) => readPolicy(merge([items]), noObjects, limits)
const label = (policy: Policy | undefined, path: string) => policy?.label(fromLatin1(path), '-')
const home = '/etc/selinux/test/contexts/files/file_contexts'

describe('the policy of a tree', () => {
  test('is read from its files, in their order', () => {
    const policy = ofTree(
      policyItems({
        '': '/.* main\n/a main-a\n/b b\n',
        '.homedirs': '/h home\n/l home-l\n',
        '.local': '/a local\n/l local-l\n',
        '.subs': '/x /sub\n/y /sub\n',
        '.subs_dist': '/y /dist\n',
      }),
    )
    expect(['/c', '/a', '/b', '/h', '/l'].map((path) => label(policy, path))).toEqual([
      'main',
      'local',
      'b',
      'home',
      'home-l',
    ])
    expect([...policy!.aliases]).toEqual([
      ['/x', '/sub'],
      ['/y', '/dist'],
    ])
  })

  test('needs no more than file_contexts', () => {
    const policy = ofTree(policyItems({ '': '' }))
    expect(policy?.aliases.size).toBe(0)
    expect(label(policy, '/a')).toBeUndefined()
  })

  test.each<[string, Item[]]>([
    ['without /etc', []],
    ['without /etc/selinux', [directory('etc')]],
    ['without a config', [directory('etc'), directory('etc/selinux')]],
    ['without SELINUXTYPE', policyItems({ '': '/.* c' }, 'SELINUX=enforcing\n#SELINUXTYPE=test\nSELINUXTYPES=test')],
  ])('there is none %s', (_, items) => {
    expect(ofTree(items)).toBeUndefined()
  })

  test.each(['SELINUXTYPE=test', 'a\n\tselinuxType = test \r\nSELINUXTYPE=other\n', 'SELINUX=x\nSELINUXTYPE=/test/'])(
    'is the first that a config names: %j',
    (config) => {
      expect(label(ofTree(policyItems({ '': '/.* c' }, config)), '/a')).toBe('c')
    },
  )

  test.each(['SELINUXTYPE=other', 'SELINUXTYPE=', 'SELINUXTYPE="test"'])('must exist: %j', (config) => {
    expect(() => ofTree(policyItems({ '': '/.* c' }, config))).toThrow(refused('ERR_SELINUX_POLICY'))
    expect(() => ofTree(policyItems({ '.local': '/.* c' }))).toThrow(refused('ERR_SELINUX_POLICY', '/etc/selinux/test'))
  })

  test('is where the config says, and below /etc/selinux', () => {
    expect(() => ofTree(policyItems({ '': '' }, 'SELINUXTYPE=../x'))).toThrow(refused('ERR_PATH_INVALID'))
    expect(() => ofTree(policyItems({ '': '' }, 'SELINUXTYPE=config'))).toThrow(refused('ERR_NOT_DIRECTORY'))
  })

  test('is in regular files and real directories', () => {
    const items = policyItems({ '': '/.* c' })
    const of =
      (...more: Item[]) =>
      () =>
        ofTree([...items, ...more])
    expect(of(symlink('etc/selinux/config', 'x'))).toThrow(refused('ERR_SELINUX_POLICY', '/etc/selinux/config'))
    expect(of(symlink(home.slice(1), 'x'))).toThrow(refused('ERR_SELINUX_POLICY', home))
    expect(of(directory(`${home.slice(1)}.local`))).toThrow(refused('ERR_SELINUX_POLICY', `${home}.local`))
    expect(() => ofTree([directory('etc'), symlink('etc/selinux', 'x')])).toThrow(refused('ERR_NOT_DIRECTORY'))
    expect(() => ofTree([file('etc')])).toThrow(refused('ERR_NOT_DIRECTORY', '/etc/selinux/config'))
  })

  test('may have its contents elsewhere', () => {
    const text = `${'# long\n'.repeat(20)}/.* c\n`
    const fileSystem = merge([policyItems({ '': text })])
    const read = (limits?: PolicyLimits) => {
      const asked: string[] = []
      const policy = readPolicy(
        fileSystem,
        (leaf, path) => {
          asked.push(path, leaf.content.type)
          return Buffer.from(text)
        },
        limits,
      )
      return [label(policy, '/a'), ...asked]
    }
    expect(read()).toEqual(['c', home, 'external'])
    expect(read({ maxFileSize: text.length })).toEqual(['c', home, 'external'])
    expect(() => read({ maxFileSize: text.length - 1 })).toThrow(refused('ERR_LIMIT', home))
  })

  test('that is a hole is none', () => {
    const fileSystem = merge([policyItems({ '': '/.* c' })])
    const config = fileSystem.get('etc/selinux/config')
    if (config?.kind === 'leaf') config.content = { type: 'external', size: 5, id: undefined, path: null }
    expect(readPolicy(fileSystem, noObjects)).toBeUndefined()
  })

  test('says where it is wrong', () => {
    const of = (files: Record<string, string>) => () => ofTree(policyItems(files))
    expect(of({ '': '/a c\n/b' })).toThrow(new RegExp(`^${home}:2: a rule has no context`))
    expect(of({ '': '', '.local': '/[ c' })).toThrow(new RegExp(`^${home}.local:1: the regular expression`))
    expect(of({ '': '', '.subs_dist': '/a' })).toThrow(new RegExp(`^${home}.subs_dist:1: an alias`))
    expect(() => ofTree(policyItems({ '': '' }, 'x\n\xff=y'))).toThrow(
      /^\/etc\/selinux\/config:2: the line is not UTF-8/,
    )
  })
})

describe('the policy of a directory on disk', () => {
  function root(): string {
    const path = temporaryDirectory()
    mkdirSync(join(path, 'etc/selinux/test/contexts/files'), { recursive: true })
    writeFileSync(join(path, 'etc/selinux/config'), 'SELINUXTYPE=test\n')
    writeFileSync(join(path, home), '/.* c\n')
    return path
  }

  test('is read like that of a tree', () => {
    const path = root()
    writeFileSync(join(path, `${home}.local`), '/b local\n')
    const policy = readPolicyOfDirectory(path)
    expect([label(policy, '/a'), label(policy, '/b')]).toEqual(['c', 'local'])
    expect(readPolicyOfDirectory(temporaryDirectory())).toBeUndefined()
    expect(readPolicyOfDirectory(join(path, 'missing'))).toBeUndefined()
    expect(() => readPolicyOfDirectory(path, { maxFileSize: 5 })).toThrow(refused('ERR_LIMIT'))
  })

  test('is found through symlinks, which do not lead out', () => {
    const path = root()
    const outside = root()
    const inside = join(path, 'usr/policies')
    mkdirSync(inside, { recursive: true })
    // Seen from that root, not from ours.
    symlinkSync('/usr/policies/../policies/./linked', join(path, 'etc/selinux/other'))
    symlinkSync('../../etc/selinux/test', join(inside, 'linked'))
    writeFileSync(join(path, 'etc/selinux/config'), 'SELINUXTYPE=other\n')
    expect(label(readPolicyOfDirectory(path), '/a')).toBe('c')
    symlinkSync(`${outside}/etc/selinux/test`, join(path, 'etc/selinux/absolute'))
    symlinkSync(`../../../../../../..${outside}/etc/selinux/test`, join(path, 'etc/selinux/relative'))
    for (const type of ['absolute', 'relative']) {
      writeFileSync(join(path, 'etc/selinux/config'), `SELINUXTYPE=${type}\n`)
      expect(() => readPolicyOfDirectory(path)).toThrow(refused('ERR_SELINUX_POLICY'))
    }
    symlinkSync('loop', join(path, 'etc/selinux/loop'))
    writeFileSync(join(path, 'etc/selinux/config'), 'SELINUXTYPE=loop\n')
    expect(() => readPolicyOfDirectory(path)).toThrow(/too many symlinks/)
  })

  test('is in regular files', () => {
    const path = root()
    writeFileSync(join(path, 'etc/selinux/config'), 'SELINUXTYPE=config\n')
    expect(() => readPolicyOfDirectory(path)).toThrow(refused('ERR_NOT_DIRECTORY'))
    writeFileSync(join(path, 'etc/selinux/config'), 'SELINUXTYPE=test\n')
    mkdirSync(join(path, `${home}.subs`))
    expect(() => readPolicyOfDirectory(path)).toThrow(refused('ERR_SELINUX_POLICY'))
    const other = root()
    execFileSync('mkfifo', [join(other, `${home}.subs`)])
    expect(() => readPolicyOfDirectory(other)).toThrow(refused('ERR_SELINUX_POLICY'))
  })
})
