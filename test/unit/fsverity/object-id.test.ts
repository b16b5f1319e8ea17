import { describe, expect, test } from 'vitest'
import { ObjectId } from '../../../src/fsverity/index.ts'

const hex256 = '0123456789abcdef'.repeat(4)
const hex512 = hex256.repeat(2)
const syntax = expect.objectContaining({ code: 'ERR_DIGEST_SYNTAX', hint: expect.any(String) })

describe('ObjectId', () => {
  test.each([
    ['sha256', hex256],
    ['sha512', hex512],
  ] as const)('%s: from everything that names it, and back', (algorithm, hex) => {
    const ids = [
      ObjectId.fromHex(hex),
      ObjectId.parse(hex),
      ObjectId.parse(`${algorithm}:${hex}`),
      ObjectId.fromBytes(Buffer.from(hex, 'hex')),
      ObjectId.fromPath(`${hex.slice(0, 2)}/${hex.slice(2)}`)!,
    ]
    for (const id of ids) {
      expect(id.algorithm).toBe(algorithm)
      expect(id.hex).toBe(hex)
      expect(`${id}`).toBe(`${algorithm}:${hex}`)
      expect(id.path).toBe(`01/${hex.slice(2)}`)
      expect(id.bytes.toString('hex')).toBe(hex)
      expect(JSON.stringify({ id })).toBe(`{"id":"${hex}"}`)
      expect(ids[0]!.equals(id)).toBe(true)
    }
  })

  test('of different bytes are not equal', () => {
    expect(ObjectId.fromHex(hex256).equals(ObjectId.fromHex(hex512))).toBe(false)
    expect(ObjectId.fromHex(hex256).equals(ObjectId.fromHex('f'.repeat(64)))).toBe(false)
  })

  test.each([
    '',
    'sha256:',
    hex256.slice(1),
    `${hex256}0`,
    hex256.toUpperCase(),
    `SHA256:${hex256}`,
    `sha384:${hex256}`,
    `sha1:${hex256}`,
    `:${hex256}`,
    `sha256:sha256:${hex256}`,
    ` ${hex256}`,
    `${hex256}\n`,
    `sha256:${hex512}`,
    `sha512:${hex256}`,
    `${hex256.slice(2)}/..`,
  ])('parse refuses %j', (text) => {
    expect(() => ObjectId.parse(text)).toThrow(syntax)
  })

  test('a digest of the wrong length for its hash is told so', () => {
    expect(() => ObjectId.parse(`sha512:${hex256}`)).toThrow(/wrong length for sha512.*expected 128, got 64.* — /)
  })

  test.each([0, 31, 33, 63, 65])('%i bytes are no id', (length) => {
    expect(() => ObjectId.fromBytes(Buffer.alloc(length))).toThrow(syntax)
  })

  test.each([hex256, `0/1${hex256.slice(2)}`, `01/${hex256.slice(2)}0`, `01/${hex256.slice(3)}`, `01/../${hex256}`])(
    '%s is no path of an object',
    (path) => {
      expect(ObjectId.fromPath(path)).toBeUndefined()
    },
  )
})
