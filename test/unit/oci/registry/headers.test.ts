import { describe, expect, test } from 'vitest'
import { parseChallenges } from '../../../../src/oci/registry/challenge.ts'
import { Retryable, retryAfter, seconds, statusFailure } from '../../../../src/oci/registry/failures.ts'
import { isLoopback, isPrivate, isSameSite } from '../../../../src/oci/registry/hosts.ts'

const parsed = (header: string | string[] | undefined) =>
  parseChallenges(header).map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)])

describe('parseChallenges', () => {
  test.each([
    [undefined, []],
    ['Basic realm="r"', [['basic', { realm: 'r' }]]],
    [
      'Bearer realm="https://a/token",service="s",scope="repository:a/b:pull,push"',
      [['bearer', { realm: 'https://a/token', service: 's', scope: 'repository:a/b:pull,push' }]],
    ],
    ['Bearer realm=r, Service = "s\\"t"', [['bearer', { realm: 'r', service: 's"t' }]]],
    [
      'Negotiate, Basic realm="r", charset="UTF-8"',
      [
        ['negotiate', {}],
        ['basic', { realm: 'r', charset: 'UTF-8' }],
      ],
    ],
    [
      ['Basic realm="a"', 'Bearer realm="b"'],
      [
        ['basic', { realm: 'a' }],
        ['bearer', { realm: 'b' }],
      ],
    ],
    ['realm="r"', []],
    ['"', []],
  ])('%j', (header, expected) => {
    expect(parsed(header)).toEqual(expected)
  })
})

describe('hosts', () => {
  test.each([
    ['localhost', true],
    ['localhost:5000', true],
    ['a.localhost', true],
    ['127.0.0.1:5000', true],
    ['127.8.9.10', true],
    ['[::1]:5000', true],
    ['127.0.0.1.example.com', false],
    ['localhost.example.com', false],
    ['10.0.0.1', false],
  ])('%s is loopback: %s', (host, expected) => {
    expect(isLoopback(host)).toBe(expected)
  })

  test.each([
    ...['10.0.0.1', '10.0.0.1:5000', '127.0.0.1', '100.64.1.1', '169.254.169.254:80', '172.31.0.1', '192.168.0.1'],
    ...['0.0.0.0', '224.0.0.1', '255.255.255.255', '::1', '[::1]:5000', '::', 'fc00::1', '[fdab::1]', 'fe80::1'],
    ...['::ffff:10.0.0.1', '[::ffff:a00:1]:80', '64:ff9b::a00:1', '::10.0.0.1', 'localhost', 'a.localhost:80'],
  ])('%s is private', (host) => {
    expect(isPrivate(host)).toBe(true)
  })

  test.each([
    ...['1.1.1.1', '172.32.0.1', '11.0.0.1:80', '169.253.0.1', '2606:4700::1', '[2606:4700::1]:80', '64:ff9b::808:808'],
    ...['::ffff:8.8.8.8', 'quay.io', '10.example.com', 'localhost.example.com'],
  ])('%s is not, as far as its name tells', (host) => {
    expect(isPrivate(host)).toBe(false)
  })

  test.each([
    ['quay.io', 'quay.io', true],
    ['registry-1.docker.io', 'auth.docker.io', true],
    ['registry.gitlab.com', 'gitlab.com', true],
    ['registry.example.com:5000', 'example.com', true],
    ['127.0.0.1:1', '127.0.0.1:2', true],
    ['127.0.0.1', '127.0.0.2', false],
    ['10.0.0.1', '11.0.0.1', false],
    ['quay.io', 'evil.io', false],
    ['a.co.uk', 'b.co.uk', false],
    ['quay.io', 'quay.io.evil.com', false],
    ['quay.io', 'evilquay.io', false],
    ['localhost', 'com', false],
  ])('%s and %s are one site: %s', (a, b, expected) => {
    expect([isSameSite(a, b), isSameSite(b, a)]).toEqual([expected, expected])
  })
})

describe('retryAfter', () => {
  const now = Date.parse('2026-01-01T00:00:00Z')

  test.each([
    [undefined, undefined],
    ['', undefined],
    ['soon', undefined],
    ['0', 0],
    ['120', 120_000],
    ['1.5', 1500],
    ['Thu, 01 Jan 2026 00:01:00 GMT', 60_000],
    ['Wed, 31 Dec 2025 00:01:00 GMT', 0],
  ])('%j', (value, expected) => {
    expect(retryAfter(value, now)).toBe(expected)
  })

  test('is told in units that can be read', () => {
    expect([seconds(1), seconds(90_000), seconds(600_000), seconds(7_200_000)]).toEqual([
      '1 s',
      '90 s',
      '10 min',
      '2 h',
    ])
  })
})

describe('statusFailure', () => {
  const subject = { what: 'the manifest', reference: 'quay.io/a:x' }
  const of = (status: number, body = '', headers = {}) => {
    const found = statusFailure(status, headers, body, subject, 'anonymous access', (text) =>
      text.replace('hunter2', '***'),
    )
    return found instanceof Retryable ? { again: true, after: found.after, error: found.failure } : { error: found }
  }

  test.each([
    [401, 'ERR_REGISTRY_UNAUTHORIZED', undefined],
    [403, 'ERR_REGISTRY_FORBIDDEN', undefined],
    [404, 'ERR_REGISTRY_NOT_FOUND', undefined],
    [400, 'ERR_REGISTRY_PROTOCOL', undefined],
    [429, 'ERR_REGISTRY_RATE_LIMITED', true],
    [500, 'ERR_REGISTRY_UNREACHABLE', true],
    [503, 'ERR_REGISTRY_UNREACHABLE', true],
  ])('%i', (status, code, again) => {
    const found = of(status)
    expect(found.error.code).toBe(code)
    expect(found.again).toBe(again)
    expect(found.error.message).toContain('the manifest of quay.io/a:x')
  })

  test('every shape of a rate limit', () => {
    const body = '{"errors":[{"code":"TOOMANYREQUESTS","message":"pull rate limit"}]}'
    for (const [status, text] of [
      [429, ''],
      [429, 'slow down'],
      [429, body],
      [403, body],
      [503, body],
    ] as const) {
      const { error, after } = of(status, text, { 'retry-after': '7' })
      expect([error.code, after]).toEqual(['ERR_REGISTRY_RATE_LIMITED', 7000])
    }
  })

  test('what the registry says is told, in one line that a terminal can bear', () => {
    expect(of(404, '{"errors":[{"code":"X","message":"no\\u001b[31m such\\nthing"}]}').error.message).toContain(
      'it says: no [31m such thing',
    )
    expect(of(404, '{"details":"you sent hunter2"}').error.message).toContain('you sent ***')
    expect(of(404, 'x'.repeat(10_000)).error.message.length).toBeLessThan(600)
    expect(of(404, '<html>nothing</html>').error.message).not.toContain('says')
  })
})
