import { describe, expect, test } from 'vitest'
import { bytesOf, fromLatin1 } from '../../../src/bytes.ts'
import { FileContexts, parseAliases, parseFileContexts, type TypeCode } from '../../../src/selinux/index.ts'

const rules = (text: string | Buffer) => parseFileContexts(Buffer.from(text as string), 'fc')
const aliases = (text: string) => parseAliases(Buffer.from(text), 'subs')
const refused = (message: RegExp) =>
  expect.objectContaining({ code: 'ERR_SELINUX_POLICY', message: expect.stringMatching(message) })

describe('a file of contexts', () => {
  test('has a rule a line', () => {
    const text = '# comment\n\n  \t\n/usr(/.*)?\tsystem_u:usr:s0\r\n /run -d  <<none>> \n#/x c\n/é -- c'
    expect(rules(text)).toEqual([
      { pattern: '/usr(/.*)?', type: undefined, context: 'system_u:usr:s0', origin: 'fc:4' },
      { pattern: '/run', type: 'd', context: undefined, origin: 'fc:5' },
      { pattern: bytesOf('/é'), type: '-', context: 'c', origin: 'fc:7' },
    ])
    expect(rules('')).toEqual([])
  })

  test('knows seven types', () => {
    const codes: TypeCode[] = ['b', 'c', 'd', 'p', 'l', 's', '-']
    expect(rules(codes.map((code) => `/ -${code} c\n`).join('')).map(({ type }) => type)).toEqual(codes)
  })

  test('parts fields by any white space of Unicode', () => {
    expect(rules('\u3000/a\u00a0-d\u2003c\u0085')).toMatchObject([{ pattern: '/a', type: 'd', context: 'c' }])
    // A byte order mark is none.
    expect(rules('\ufeff# c')).toMatchObject([{ pattern: bytesOf('\ufeff#') }])
  })

  test.each([
    ['/a', /^fc:1: a rule has no context/],
    ['/a -d', /^fc:1: a rule has no context/],
    ['/a -x c', /^fc:1: there is no type of file -x/],
    ['/a - c', /no type of file - /],
    ['/a --d c', /no type of file --d/],
    ['/b c\n/a c d', /^fc:2: a rule has more/],
    ['/a -d c d', /^fc:1: a rule has more/],
  ])('refuses %j', (text, message) => {
    expect(() => rules(text)).toThrow(refused(message))
  })

  test('is UTF-8', () => {
    expect(() => rules(Buffer.from('/a c\n/\xff c\n', 'latin1'))).toThrow(refused(/^fc:2: the line is not UTF-8/))
  })
})

describe('a file of aliases', () => {
  test('has two paths a line', () => {
    expect(aliases('# c\n/bin /usr/bin\n\n\t/sbin\t/usr/sbin')).toEqual([
      ['/bin', '/usr/bin'],
      ['/sbin', '/usr/sbin'],
    ])
    expect(() => aliases('\n/bin')).toThrow(refused(/^subs:2: an alias has no original path/))
    expect(() => aliases('/bin /a /b')).toThrow(refused(/^subs:1: an alias has more/))
  })
})

describe('the rule of a path', () => {
  const find = (text: string, path: string, type: TypeCode = '-') =>
    new FileContexts(rules(text)).find(fromLatin1(path), type)?.origin

  test('is the last listed that matches', () => {
    const text = '/.* a\n/usr/.* b\n/usr/x c\n/usr/.*y d\n'
    expect(find(text, '/etc')).toBe('fc:1')
    expect(find(text, '/usr/z')).toBe('fc:2')
    expect(find(text, '/usr/x')).toBe('fc:3')
    expect(find(text, '/usr/xy')).toBe('fc:4')
    expect(find(text, 'usr')).toBeUndefined()
    // Neither a longer fixed part nor the lack of special characters counts.
    expect(find('/usr/x c\n/.* a\n', '/usr/x')).toBe('fc:2')
  })

  test('is for its type alone', () => {
    const text = '/a c\n/a -d c\n/a -l c\n'
    expect([find(text, '/a'), find(text, '/a', 'd'), find(text, '/a', 'l'), find(text, '/a', 's')]).toEqual([
      'fc:1',
      'fc:2',
      'fc:3',
      'fc:1',
    ])
    // What looks like the type of a longer path is not.
    expect(find('/a -d c\n', '/ad')).toBeUndefined()
  })

  test('may look around, before and after those that do not', () => {
    const text = '/a.* c\n/(?!b).* c\n/ac c\n/(?=ad).* c\n'
    expect(['/ab', '/ac', '/ad', '/c', '/b'].map((path) => find(text, path))).toEqual([
      'fc:2',
      'fc:3',
      'fc:4',
      'fc:2',
      undefined,
    ])
  })

  test('that has no context is the rule all the same', () => {
    const contexts = new FileContexts(rules('/a c\n/a <<none>>\n'))
    expect(contexts.find(fromLatin1('/a'), 'd')).toMatchObject({ context: undefined, origin: 'fc:2' })
  })

  test('is found among none', () => {
    expect(find('', '/a')).toBeUndefined()
  })
})
