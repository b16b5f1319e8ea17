/** The error class itself: what users test for, log and print. */
import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import { ComposefsError } from '../../src/errors.ts'
import { escapeControls } from '../../src/escape.ts'

const brand = Symbol.for('composefs-streams.error')

describe('instanceof', () => {
  class Special extends ComposefsError {}
  class Other extends ComposefsError {}

  test('tells subclasses apart', () => {
    expect(new ComposefsError('ERR_IO', 'x') instanceof Special).toBe(false)
    expect(new Other('ERR_IO', 'x') instanceof Special).toBe(false)
    expect(new Special('ERR_IO', 'x') instanceof Special).toBe(true)
    expect(new Special('ERR_IO', 'x') instanceof ComposefsError).toBe(true)
  })

  test('knows errors of another copy of the package', () => {
    const foreign = Object.defineProperty(new Error('x'), brand, { value: true })
    expect(foreign instanceof ComposefsError).toBe(true)
    expect(foreign instanceof Special).toBe(false)
    for (const value of [new Error('x'), undefined, null, 'text', {}])
      expect(value instanceof ComposefsError).toBe(false)
  })
})

describe('details', () => {
  test('that are not known are no properties', () => {
    const error = new ComposefsError('ERR_IO', 'x', { path: 'a', hint: undefined as never })
    expect(Object.keys(error).sort()).toEqual(['code', 'name', 'path'])
    expect(inspect(error)).not.toContain('undefined')
    expect(inspect(error.within('layer 1'))).not.toContain('undefined')
  })

  test.each([
    [{ expected: 1, actual: 2 }, 'x (expected 1, got 2)'],
    [{ expected: 'at most 5 bytes' }, 'x (expected at most 5 bytes)'],
    [{ actual: 0 }, 'x (got 0)'],
    [{ offset: 0, hint: 'try' }, 'x at byte 0 — try'],
  ])('%j', (details, message) => {
    expect(new ComposefsError('ERR_IO', 'x', details).message).toBe(message)
  })

  test('stay, and the message once, in a larger context', () => {
    const inner = new ComposefsError('ERR_LIMIT', 'too long', { path: 'a', expected: 1, hint: 'cut it' })
    const error = inner.within('layer 2 of 3')
    expect(error).toMatchObject({ code: 'ERR_LIMIT', path: 'a', expected: 1, hint: 'cut it', cause: inner })
    expect(error.message).toBe('layer 2 of 3: too long: a (expected 1) — cut it')
  })
})

test('what somebody else wrote cannot control the terminal', () => {
  const { message } = new ComposefsError('ERR_IO', 'it says "\x1b[2J\n\x9b"', {
    path: 'a\u202eb\u2028c',
    hint: 'é 日 \\',
  })
  expect(message).toBe('it says "\\x1b[2J\\x0a\\xc2\\x9b": a\\xe2\\x80\\xaeb\\xe2\\x80\\xa8c — é 日 \\')
  expect(escapeControls('\ud800')).toBe('\\xef\\xbf\\xbd')
})
