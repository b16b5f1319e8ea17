import { describe, expect, test } from 'vitest'
import { fromLatin1 } from '../../../src/bytes.ts'
import { FileContexts } from '../../../src/selinux/index.ts'

/** Whether the whole path matches; one character a byte. */
function matches(pattern: string, path: string): boolean {
  const rule = { pattern: fromLatin1(pattern), type: undefined, context: fromLatin1('c'), origin: 'test:1' }
  return new FileContexts([rule]).find(fromLatin1(path), '-') !== undefined
}

const utf8 = (text: string) => Buffer.from(text).toString('latin1')

describe('regular expressions', () => {
  test.each<[pattern: string, yes: string[], no: string[]]>([
    ['/a', ['/a'], ['/', '/ab', '/b', '']],
    ['/usr(/.*)?', ['/usr', '/usr/', '/usr/a/b'], ['/usra', '/us']],
    ['a|bc', ['a', 'bc'], ['ac', 'abc']],
    ['', [''], ['a']],
    ['()', [''], ['a']],
    ['(|a)b', ['b', 'ab'], ['a']],
    ['a{2,3}', ['aa', 'aaa'], ['a', 'aaaa']],
    ['a{2}', ['aa'], ['a', 'aaa']],
    ['a{2,}', ['aa', 'aaaaa'], ['a']],
    ['a{0}b', ['b'], ['ab']],
    ['(){99999999}(a{0}){99999999}', [''], ['a']],
    ['a+?b??c*?', ['a', 'aab', 'abcc'], ['b']],
    // Repetitions of repetitions, where Perl's would not give back.
    ['a++a', ['aa', 'aaa'], ['a']],
    ['a?+a', ['a', 'aa'], ['']],
    ['.', ['a', '\n', '\r', '\xff', '\u0085'], ['', '\0']],
    ['[^a]', ['b', '\n', '\0', '\xff'], ['a', '']],
    ['[]a]', [']', 'a'], ['b']],
    ['[^]a]', ['b'], [']', 'a']],
    ['[a-]', ['a', '-'], ['b']],
    ['[-a]', ['a', '-'], ['b']],
    ['[a-c]', ['a', 'b', 'c'], ['d', '-']],
    ['[[:alpha:]_]', ['x', 'Y', '_'], ['1', ':']],
    ['[[:^alpha:]]', ['1', '\xe9'], ['a']],
    // Classes within classes, and what can be done to them.
    ['[a[bc]]', ['a', 'b', 'c'], ['[', 'd']],
    ['[[:foo:]]', ['f', ':'], ['a']],
    ['[a-z&&[^b]]', ['a', 'c'], ['b', '&']],
    ['[a-c--b]', ['a', 'c'], ['b', '-']],
    ['[ab~~bc]', ['a', 'c'], ['b', '~']],
    ['[\\w\\-]', ['a', '-'], ['/']],
    ['\\s', [' ', '\t', '\v'], ['\xa0', 'a']],
    ['\\S', ['\xa0', 'a'], [' ']],
    ['\\w', ['a', '_', '9'], ['\xe9', '-']],
    ['\\D', ['a'], ['1']],
    ['\\.\\/\\-\\{', ['./-{'], ['a/-{']],
    ['\\a\\f\\t\\n\\r\\v', ['\x07\f\t\n\r\v'], ['afnrtv']],
    ['\\x41\\xff', ['A\xff'], [utf8('Aÿ')]],
    ['\\x{e9}\\u00e9\\U000000e9', [utf8('ééé')], ['\xe9\xe9\xe9']],
    // A character is repeated with all its bytes.
    [utf8('é+'), [utf8('é'), utf8('éé')], ['\xc3', '\xc3\xa9\xa9']],
    // In a class only Perl takes one, byte by byte.
    [utf8('[é]'), ['\xc3', '\xa9'], [utf8('é'), '\xe9']],
    [utf8('[é]x.+'), ['\xc3xy'], ['\xc3x\n']],
    ['}]', ['}]'], []],
    ['a{', ['a{'], ['a']],
    ['a{b}', ['a{b}'], ['ab']],
    ['(?:a)(?P<n>b)(?<m>c)', ['abc'], ['ab']],
    ['(?i)aB', ['ab', 'AB'], ['a']],
    ['(?i:a)b', ['ab', 'Ab'], ['aB']],
    ['a(?i)b|c', ['aB', 'C'], ['A', 'AB']],
    ['((?i)a)b', ['Ab'], ['aB']],
    ['(?i)[a-c]', ['B'], ['D']],
    ['(?i)[^a]', ['b'], ['A', 'a']],
    ['(?i-i)a', ['a'], ['A']],
    ['(?s).(?-s).', ['\0a'], ['a\0']],
    ['(?U)a*', ['aa'], ['b']],
    ['^a', ['a'], ['ba']],
    // What it closes is the group around it.
    ['a)|(b', ['a', 'ax', 'b'], ['xa', 'bx']],
    ['[\\b-c]', ['a', '\b'], ['d']],
    ['a^b|c', ['c'], ['ab']],
    ['a$', [], ['a', 'a$']],
    ['a.$', [], ['a']],
    ['\\Aa', ['a'], []],
    // The type is part of the text.
    ['a\\b', ['a'], []],
    ['a\\B', [], ['a']],
    ['/\\<a\\>/b', ['/a/b'], []],
    ['(?=/a).*', ['/a', '/abc'], ['/b']],
    ['/(?!a).*', ['/', '/b', '/ba'], ['/a', '/ab', '/b\n']],
    ['/.*(?<=a|bc)', ['/a', '/bc', '/xbc'], ['/b', '/ac']],
    ['/.*(?<!a)', ['/', '/b'], ['/a']],
    ['/(?!(?=a)a(?!b)).*', ['/ab', '/b'], ['/ac']],
    ['(?=a)(?s:.)+', ['a\n'], ['b']],
  ])('%s', (pattern, yes, no) => {
    for (const path of yes) expect(matches(pattern, path), path).toBe(true)
    for (const path of no) expect(matches(pattern, path), path).toBe(false)
  })

  const refused = expect.objectContaining({ name: 'ComposefsError', code: 'ERR_SELINUX_REGEX' })

  test.each([
    ...['(', ')', '[', '[a', '[b-a]', '*', '+a', '(?i)*', '{2}', 'a{2,1}', 'a{,2}', '\\', '(?', '(?)', '(?<>a)'],
    ...[
      '\\1',
      '(a)\\1',
      '(?>a)',
      '(?|a)',
      '(?#a)',
      '(*ACCEPT)',
      '(?x)a',
      '(?m)^a',
      '(?u)a',
      '(?z)',
      '\\pL',
      '\\h',
      '\\q',
    ],
    ...[
      '(?<a>b)(?P<a>c)',
      '(?=a)b++',
      '(?=a)b{2}{2}',
      '(?=a)+',
      '(?<=a*)b',
      '(?=a)[[:foo:]]',
      '(?=a)[\\d-z]',
      '(?=a)[[:digit:]-z]',
    ],
    ...['(?=a)\\x', '\\x{110000}', '\\ud800', '\\b{start}', '(?=a)[[.a.]]', '(?=a)[:a:]', '(?=a)[\\B]'],
  ])('%s cannot be used', (pattern) => {
    expect(() => matches(pattern, '')).toThrow(refused)
  })

  test('say where and what they are', () => {
    expect(() => matches('(a)\\1', '')).toThrow(
      /^test:1: the regular expression \^\(\(a\)\\1\)\.\$ cannot be used \(\\1\) — /,
    )
  })

  test('nest only so deep', () => {
    const nested = (depth: number) => '('.repeat(depth) + ')'.repeat(depth)
    expect(matches(nested(200), '')).toBe(true)
    expect(() => matches(nested(100_000), '')).toThrow(refused)
    expect(() => matches('['.repeat(100_000), '')).toThrow(refused)
  })
})

describe('expensive expressions', () => {
  const rules = (...patterns: string[]) =>
    patterns.map((pattern) => ({
      pattern: fromLatin1(pattern),
      type: undefined,
      context: fromLatin1('c'),
      origin: 'f:1',
    }))
  const tooMuch = expect.objectContaining({ code: 'ERR_LIMIT', message: expect.stringMatching(/ over [0-9]+ st/) })
  const long = fromLatin1('a'.repeat(4000))

  test.each([
    '(a*)*b',
    '(a|a)*b',
    '(a|aa)+b',
    '(.*)*(.*)*(.*)*b',
    '(a?){500}a{500}b',
    '((a+)+)+b',
    '(?=(a*)*b)',
    '(?=(a|a)*b).*',
  ])('%s takes no more than its states times the length', (pattern) => {
    expect(new FileContexts(rules(pattern), { maxSteps: 20_000_000 }).find(long, '-')).toBeUndefined()
  })

  test('are refused when they have too many states', () => {
    expect(() => new FileContexts(rules('((a{1000}){1000}){1000}'))).toThrow(tooMuch)
    expect(() => new FileContexts(rules('a{4000000000}'))).toThrow(tooMuch)
    expect(() => new FileContexts(rules('a{60}'), { maxStates: 50 })).toThrow(tooMuch)
  })

  test('are given up when they take too long', () => {
    const slow = new FileContexts(rules('(.*a){100}b', '(?=a.{100}).*(?<=(a|b){250})'), { maxSteps: 1_000_000 })
    expect(() => slow.find(long, '-')).toThrow(tooMuch)
  })

  test('are given up soon by themselves, whatever they are, and the budget grows with the paths', () => {
    const rule = rules('(.*(?=(.*b){200}c)){9}')
    const long = fromLatin1(`/${'ab'.repeat(2000)}`)
    const steps = 2 ** 22 + 256
    expect(() => new FileContexts(rule).find(long, '-')).toThrow(`over ${steps} steps`)
    const many = new FileContexts(rule)
    for (let i = 0; i < 10; i++) many.find(fromLatin1(`/${i}`), '-')
    expect(() => many.find(long, '-')).toThrow(`over ${steps + 2560} steps`)
  })

  test('stay right when what was learnt is forgotten', () => {
    // Each path leads to sets of states that no other led to.
    const contexts = new FileContexts(rules('/.*x.{1999}', '/.*y.{1999}'), { maxSteps: 2 ** 30 })
    for (let i = 0; i < 12; i++) {
      const path = fromLatin1(`/${'z'.repeat(i)}${(i % 2 === 0 ? 'xy' : 'yx').repeat(1000)}`)
      expect(contexts.find(path, '-')?.pattern).toBe(i % 2 === 0 ? '/.*x.{1999}' : '/.*y.{1999}')
    }
  })
})
