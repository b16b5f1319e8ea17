import { afterEach, expect, test, vi } from 'vitest'
import { getoptLong } from '../../../src/cli/getopt.ts'

const takesValue = { 'print-digest': false, 'print-digest-only': false, threads: true, store: true } as const
const parse = (...args: string[]) => {
  const { options, operands } = getoptLong(args, takesValue)
  return [options.map(({ name, value }) => (value === undefined ? name : `${name}=${value}`)), operands]
}
const refuse = (...args: string[]) =>
  expect(() => parse(...args)).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }))

afterEach(() => {
  vi.unstubAllEnvs()
})

test('options and operands in any order, values with = or behind', () => {
  expect(parse('a', '--threads=2', 'b', '--store', 'x')).toEqual([
    ['threads=2', 'store=x'],
    ['a', 'b'],
  ])
  expect(parse('--store=a=b', '--store=', '-')).toEqual([['store=a=b', 'store='], ['-']])
  // A value is taken as it comes.
  expect(parse('--store', '--threads', '--threads', '--')).toEqual([['store=--threads', 'threads=--'], []])
})

test('-- ends the options', () => {
  expect(parse('--threads=1', '--', '--store', '-x', '--')).toEqual([['threads=1'], ['--store', '-x', '--']])
})

test('abbreviations as long as they are unmistakable', () => {
  expect(parse('--t=1', '--st', 'x', '--print-digest-', '--print-digest')).toEqual([
    ['threads=1', 'store=x', 'print-digest-only', 'print-digest'],
    [],
  ])
  refuse('--print')
})

test('POSIXLY_CORRECT: the first operand ends the options', () => {
  vi.stubEnv('POSIXLY_CORRECT', '1')
  expect(parse('--threads=1', 'a', '--store', 'x')).toEqual([['threads=1'], ['a', '--store', 'x']])
})

test('what there is not is refused', () => {
  refuse('--bogus')
  refuse('-t', '1')
  refuse('-threads=1')
  refuse('--print-digest=1')
  refuse('--threads')
  refuse('--=1')
})
