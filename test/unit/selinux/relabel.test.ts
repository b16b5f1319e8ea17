import { describe, expect, test } from 'vitest'
import { bytesOf, fromLatin1 } from '../../../src/bytes.ts'
import {
  FileContexts,
  Policy,
  parseAliases,
  parseFileContexts,
  relabel,
  transformForBoot,
} from '../../../src/selinux/index.ts'
import { relabelSteps } from '../../../src/selinux/relabel.ts'
import { readDumpfile } from '../../../src/streams/index.ts'
import { Directory, defaultDirectoryStat, FileSystem, Xattrs } from '../../../src/tree/index.ts'
import { inTurns } from '../../../src/turns.ts'
import {
  directory,
  file,
  hardlink,
  type Item,
  item,
  lines,
  merge,
  paths,
  symlink,
} from '../../support/layer-entries.ts'
import { attribute, labels, leafAt, noObjects, policyItems } from '../../support/selinux.ts'

function policy(rules: string, aliases = ''): Policy {
  const contexts = new FileContexts(parseFileContexts(Buffer.from(rules), 'fc'))
  return new Policy(contexts, new Map(parseAliases(Buffer.from(aliases), 'subs')))
}

function labelled(items: Item[], rules: string, aliases?: string): FileSystem {
  const fileSystem = merge([items])
  relabel(fileSystem, policy(rules, aliases))
  return fileSystem
}

const old = Xattrs.of([
  [attribute, Buffer.from('old\0')],
  [bytesOf('user.a'), Buffer.from('a')],
])

test('labelling lets others have their turn, and ends when it shall', async () => {
  const many = Array.from({ length: 2000 }, (_, i) => file(`file${i}`))
  const rules = policy('/.* label\n')
  const steps = [...relabelSteps(merge([many]), rules)]
  expect(steps.length).toBeGreaterThan(5)
  const enough = new Error('enough')
  await expect(inTurns(relabelSteps(merge([many]), rules), AbortSignal.abort(enough))).rejects.toBe(enough)
})

describe('labels', () => {
  test('are given by path and type, without a NUL behind', () => {
    const items = [
      directory('a'),
      file('a/f', 'x'),
      symlink('a/l', 'f'),
      item('fifo', 'a/p'),
      item('socket', 'a/s'),
      item('block-device', 'a/b', { rdev: 1 }),
      item('character-device', 'a/c', { rdev: 1 }),
      file('a/large', 'x'.repeat(100)),
    ]
    const rules = ['d', '-', 'l', 'p', 's', 'b', 'c'].map((type) => `/.* -${type} is${type}\n`).join('')
    expect(labels(labelled(items, rules))).toEqual({
      '/': 'isd',
      '/a': 'isd',
      '/a/b': 'isb',
      '/a/c': 'isc',
      '/a/f': 'is-',
      '/a/l': 'isl',
      '/a/large': 'is-',
      '/a/p': 'isp',
      '/a/s': 'iss',
    })
  })

  test('replace what was there, or take it away', () => {
    const items = [
      directory('/', { xattrs: old }),
      file('a', '', { xattrs: old }),
      file('b', '', { xattrs: old }),
      file('c', '', { xattrs: old }),
    ]
    const fileSystem = labelled(items, '/a new\n/b <<none>>\n')
    expect(labels(fileSystem)).toEqual({ '/': '-', '/a': 'new', '/b': '-', '/c': '-' })
    for (const path of ['/', 'a', 'b', 'c'])
      expect(fileSystem.get(path)!.stat.xattrs.get(bytesOf('user.a'))).toBeDefined()
  })

  test('all go without a policy', () => {
    const fileSystem = merge([
      [directory('/', { xattrs: old }), directory('a', { xattrs: old }), file('a/b', '', { xattrs: old })],
    ])
    relabel(fileSystem, undefined)
    expect(labels(fileSystem)).toEqual({ '/': '-', '/a': '-', '/a/b': '-' })
    expect([...fileSystem.get('a/b')!.stat.xattrs].map(([name]) => name)).toEqual(['user.a'])
  })

  test('are given to names of any bytes', () => {
    const items = [file('\xff'), file('new\nline'), file('\xc3\xa9')]
    expect(labels(labelled(items, '/. one\n/new.line two\n/é three\n'))).toEqual({
      '/': '-',
      '/\xff': 'one',
      '/new\nline': 'two',
      '/\xc3\xa9': 'three',
    })
  })
})

describe('aliases', () => {
  const rules = '/.* -d d:none\n/bin(/.*)? bin\n/usr/bin(/.*)? usr\n/usr/bin/x/y y\n/deep z\n'

  test('label what lies below a path as if it lay elsewhere', () => {
    const items = [directory('bin'), file('bin/a'), directory('bin/x'), file('bin/x/y'), file('binary')]
    expect(labels(labelled(items, rules, '/bin /usr/bin\n'))).toMatchObject({
      '/bin': 'usr',
      '/bin/a': 'usr',
      '/bin/x': 'usr',
      '/bin/x/y': 'y',
      '/binary': '-',
    })
  })

  test('hold for leaves, and for what other aliases have led to', () => {
    const items = [symlink('lib', 'usr/bin'), directory('one'), directory('one/two'), file('one/two/three')]
    const found = labels(
      labelled(items, rules, '/lib /usr/bin\n/one /first\n/first/two /second/\n/second/three /deep\n'),
    )
    expect(found).toMatchObject({ '/lib': 'usr', '/one/two/three': 'z' })
  })

  test('are whole paths, and never that of the root', () => {
    const found = labels(labelled([directory('a'), file('a/b')], '/a/b ab\n/c.* c\n/ root\n', '/ /c\n/a/ /c\n'))
    expect(found).toEqual({ '/': 'root', '/a': '-', '/a/b': 'ab' })
  })
})

describe('hardlinks', () => {
  const rules = '/a one\n/b two\n/c two\n/d one\n/e <<none>>\n'
  const linked = (first: string, ...others: string[]) => [
    file(first, 'x', { xattrs: old }),
    ...others.map((name) => hardlink(name, first)),
  ]

  test('stay where the labels are the same', () => {
    const fileSystem = labelled(linked('b', 'c'), rules)
    expect(fileSystem.get('b')).toBe(fileSystem.get('c'))
    expect(labels(fileSystem)).toMatchObject({ '/b': 'two', '/c': 'two' })
  })

  test('become inodes of their own where they differ from the first name', () => {
    // The name that comes first is the first in order, not that of the entry that had the contents.
    const fileSystem = labelled(linked('d', 'c', 'b', 'a', 'e'), rules)
    expect(labels(fileSystem)).toEqual({ '/': '-', '/a': 'one', '/b': 'two', '/c': 'two', '/d': 'one', '/e': '-' })
    expect(fileSystem.get('a')).toBe(fileSystem.get('d'))
    // Two that differ are not linked with each other.
    expect(new Set(['a', 'b', 'c', 'e'].map((path) => fileSystem.get(path))).size).toBe(4)
    expect(lines(fileSystem).map((line) => line.split(' ').slice(0, 4).join(' '))).toEqual([
      '/a 1 100644 2',
      '/b 1 100644 1',
      '/c 1 100644 1',
      '/d 0 @120000 -',
      '/e 1 100644 1',
    ])
    expect(leafAt(fileSystem, 'e').content).toBe(leafAt(fileSystem, 'a').content)
  })

  test('follow depth-first order', () => {
    const fileSystem = labelled([directory('a'), directory('a/b'), ...linked('c', 'a.', 'a/b/x')], '/a.* one\n/c two\n')
    expect(fileSystem.get('a/b/x')).toBe(fileSystem.get('a.'))
    expect(labels(fileSystem)).toMatchObject({ '/a/b/x': 'one', '/a.': 'one', '/c': 'two' })
  })

  test('of a dumpfile have the number of names that are left', () => {
    const dump = '/ 0 40755 2 0 0 0 0.0 - - -\n/b 0 100644 2 0 0 0 0.0 - - -\n/a 0 @120000 - - - - 0.0 /b - -\n'
    const fileSystem = readDumpfile(Buffer.from(dump))
    relabel(fileSystem, policy(rules))
    expect(lines(fileSystem).map((line) => line.split(' ').slice(0, 4).join(' '))).toEqual([
      '/a 0 100644 1',
      '/b 0 100644 1',
    ])
  })
})

test('a tree deeper than the call stack is labelled', () => {
  const fileSystem = new FileSystem(defaultDirectoryStat)
  let bottom = fileSystem.root
  for (let depth = 0; depth < 12_000; depth++) {
    const next = new Directory(defaultDirectoryStat)
    bottom.entries.set(fromLatin1('d'), next)
    bottom = next
  }
  relabel(fileSystem, policy('/(d/)*d c\n'))
  expect(bottom.stat.xattrs.get(attribute)?.toString()).toBe('c')
})

describe('the boot transform', () => {
  const boot = [
    directory('usr', { mtime: 9 }),
    directory('boot'),
    file('boot/a'),
    directory('sysroot', { xattrs: old }),
  ]

  test('empties, then labels', () => {
    const fileSystem = merge([
      [...boot, hardlink('usr/a', 'boot/a'), ...policyItems({ '': '/usr/a usr\n/boot.* boot\n' })],
    ])
    expect(transformForBoot(fileSystem, { readLeaf: noObjects })).toBe(true)
    expect(paths(fileSystem).filter((path) => !path.startsWith('/etc'))).toEqual([
      '/boot',
      '/sysroot',
      '/usr',
      '/usr/a',
    ])
    expect(labels(fileSystem)).toMatchObject({ '/boot': 'boot', '/sysroot': '-', '/usr/a': 'usr' })
  })

  test('says when there was no policy', () => {
    const fileSystem = merge([boot])
    expect(transformForBoot(fileSystem, { readLeaf: noObjects })).toBe(false)
    expect(labels(fileSystem)['/sysroot']).toBe('-')
  })

  test('that cannot be made leaves the tree as it was', () => {
    const fileSystem = merge([[...boot, ...policyItems({ '': '/( c' })]])
    const before = lines(fileSystem)
    const code = expect.objectContaining({ code: 'ERR_SELINUX_REGEX' })
    expect(() => transformForBoot(fileSystem, { readLeaf: noObjects })).toThrow(code)
    expect(lines(fileSystem)).toEqual(before)
  })
})
