import fc from 'fast-check'
import { expect, test } from 'vitest'
import { fromLatin1 } from '../../../src/bytes.ts'
import { ComposefsError } from '../../../src/errors.ts'
import { type ContextRule, FileContexts, readPolicy, relabel, type TypeCode } from '../../../src/selinux/index.ts'
import { directory, file, hardlink, merge } from '../../support/layer-entries.ts'
import { runs } from '../../support/runs.ts'
import { labels, policyItems } from '../../support/selinux.ts'

const types: TypeCode[] = ['d', '-', 'l', 'p', 's', 'b', 'c']

const atoms = ['a', 'b', '/', 'd', '\\.', '.', '[ab]', '[^/]', '[a-c/]', '\\w', '\\W', '\\d', '\xe9', '[^a\\-]', '\\n']
const repetition = fc.constantFrom('', '', '', '*', '+', '?', '*?', '+?', '??', '{2}', '{1,2}', '{0,}')

/** Alternatives of what atoms make. */
function patternOf(atom: fc.Arbitrary<string>): fc.Arbitrary<string> {
  const piece = fc.tuple(atom, repetition).map(([atom, repetition]) => atom + repetition)
  const branch = fc.array(piece, { maxLength: 3 }).map((pieces) => pieces.join(''))
  return fc.array(branch, { minLength: 1, maxLength: 2 }).map((branches) => branches.join('|'))
}

/** Expressions that mean the same to us and to JavaScript, in groups of groups. */
const simple = patternOf(fc.constantFrom(...atoms))
const group = fc.tuple(fc.constantFrom('(', '(?:'), simple).map(([open, inside]) => `${open}${inside})`)
const pattern = patternOf(
  fc.oneof({ weight: 3, arbitrary: fc.constantFrom(...atoms) }, { weight: 1, arbitrary: group }),
)

/** Together with what only some engines know, and no automaton. */
const looking = fc
  .tuple(simple, fc.constantFrom('(?=', '(?!'), fc.constantFrom('a', '/', 'a|b', 'ab', '[^b]a', '.'), simple)
  .map(([before, look, inside, after]) => `(?:${before})${look}${inside})(?:${after})`)

const rule = fc.record({
  pattern: fc.oneof({ weight: 4, arbitrary: pattern }, { weight: 1, arbitrary: looking }).map(fromLatin1),
  type: fc.constantFrom(undefined, undefined, ...types),
  context: fc.constantFrom(undefined, fromLatin1('one'), fromLatin1('two')),
})
const path = fc.string({ unit: fc.constantFrom('a', 'b', 'c', 'd', '/', '.', '-', '\n', '\xe9'), maxLength: 8 })

/** The last listed rule whose expression matches, by trying all of them. */
function naive(rules: readonly ContextRule[], path: string, type: TypeCode): ContextRule | undefined {
  return rules.findLast(({ pattern, type: only }) =>
    new RegExp(`^(?:${pattern})${only ?? '.'}$`, 's').test(path + type),
  )
}

test('the rule of a path is that which trying all of them finds', () => {
  let found = 0
  fc.assert(
    fc.property(fc.array(rule, { maxLength: 12 }), fc.array(path, { minLength: 1, maxLength: 12 }), (parts, paths) => {
      const rules = parts.map((part, i) => ({ ...part, origin: `fc:${i + 1}` }))
      // To Perl, whose dialect look-around is in, a dot is no newline.
      const tried = paths.filter(
        (path) =>
          !path.includes('\n') || !rules.some(({ pattern }) => pattern.includes('(?=') || pattern.includes('(?!')),
      )
      const contexts = new FileContexts(rules)
      for (const path of tried) {
        for (const type of ['d', '-', 'l'] as const) {
          const expected = naive(rules, path, type)
          if (expected !== undefined) found++
          expect(contexts.find(fromLatin1(path), type)).toBe(expected)
        }
      }
    }),
    { numRuns: runs(1000) },
  )
  expect(found).toBeGreaterThan(1000)
})

test('labels do not depend on what was labelled before', () => {
  fc.assert(
    fc.property(fc.array(rule, { maxLength: 8 }), fc.array(path, { maxLength: 12 }), (parts, paths) => {
      const rules = parts.map((part) => ({ ...part, origin: 'fc:1' }))
      const together = new FileContexts(rules)
      for (const path of [...paths, ...paths]) {
        expect(together.find(fromLatin1(path), '-')).toBe(new FileContexts(rules).find(fromLatin1(path), '-'))
      }
    }),
    { numRuns: runs(300) },
  )
})

/** Pieces of expressions that need not fit together. */
const pieces = [
  ...['/', 'a', '.', '*', '+', '?', '{', '}', '2', ',', '(', '(?', '(?:', '(?=', '(?<!', '(?i)', ')', ')', '[', '[:'],
  ...[':]', ']', ']', '^', '$', '|', '\\', '-', '&&', '--', 'x', 'b', 'P<n>', '#', '\xc3\xa9', '\0', '(a*)*', '(a|a)+'],
]
const line = fc
  .tuple(
    fc.array(fc.constantFrom(...pieces), { maxLength: 8 }),
    fc.constantFrom(' c', ' c', ' -- c', ' <<none>>', '', ' -x c', ' c d'),
  )
  .map(([parts, rest]) => `${parts.join('')}${rest}\n`)

/** Any bytes, or lines that come near to those of a policy. */
const anyText = fc.oneof(
  fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes).toString('latin1')),
  fc.array(line, { maxLength: 2 }).map((lines) => lines.join('')),
)

const maybeText = fc.oneof({ weight: 3, arbitrary: fc.constant('') }, { weight: 1, arbitrary: anyText })

test('policy files of any bytes make a policy or an error of ours, and what is labelled stays whole', () => {
  let policies = 0
  fc.assert(
    fc.property(
      anyText,
      maybeText,
      maybeText,
      fc.constantFrom('SELINUXTYPE=test', 'SELINUXTYPE=test', undefined),
      anyText,
      (main, local, subs, config, other) => {
        const files = { '': main, '.local': local, '.subs': subs }
        const items = policyItems(files, config ?? other)
        const tree = merge([[...items, directory('a'), file('a/b'), hardlink('c', 'a/b'), file('a/\xe9')]])
        // Contents above the inline limit are not in the tree.
        const contents = new Map(Object.entries(files).map(([suffix, text]) => [`file_contexts${suffix}`, text]))
        const names = [...tree.walk()].map(({ path }) => path)
        try {
          const read = (path: string) => contents.get(path.split('/').at(-1)!) ?? config ?? other
          const policy = readPolicy(tree, (_, path) => Buffer.from(read(path), 'latin1'), { maxSteps: 1_000_000 })
          if (policy !== undefined) policies++
          relabel(tree, policy)
        } catch (error) {
          expect(error).toBeInstanceOf(ComposefsError)
          return
        }
        expect(Object.keys(labels(tree))).toEqual(names)
      },
    ),
    { numRuns: runs(2000) },
  )
  expect(policies).toBeGreaterThan(100)
})

test('a tree that is labelled twice is as after the first time', () => {
  const names = fc.constantFrom('a', 'b', 'c')
  fc.assert(
    fc.property(
      fc.array(rule, { maxLength: 6 }),
      fc.array(fc.tuple(names, names), { maxLength: 6 }),
      (parts, links) => {
        const main = parts
          .map(({ pattern, context }) => `/${pattern.replaceAll('\xe9', 'e')} ${context ?? '<<none>>'}\n`)
          .join('')
        const items = ['a', 'b', 'c'].flatMap((name) => [directory(name), file(`${name}/${name}`)])
        const tree = merge([
          [
            ...items,
            ...links.map(([one, other]) => hardlink(`${one}/to-${other}`, `${other}/${other}`)),
            ...policyItems({ '': main }),
          ],
        ])
        const policy = readPolicy(tree, () => Buffer.from(main))
        relabel(tree, policy)
        const once = labels(tree)
        relabel(tree, policy)
        expect(labels(tree)).toEqual(once)
        relabel(tree, undefined)
        expect(new Set(Object.values(labels(tree)))).toEqual(new Set(['-']))
      },
    ),
    { numRuns: runs(300) },
  )
})
