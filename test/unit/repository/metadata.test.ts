import { describe, expect, test } from 'vitest'
import {
  effectiveFormats,
  formatMetadata,
  newMetadata,
  parseMetadata,
  unknownReadOnlyFeatures,
} from '../../../src/repository/metadata.ts'

const base = { version: 1, algorithm: 'fsverity-sha512-12' }
const parse = (value: unknown) => parseMetadata(typeof value === 'string' ? value : JSON.stringify(value))

describe('what is written', () => {
  test('a new repository', () => {
    expect(formatMetadata(newMetadata('sha512', 1))).toBe(`{
  "version": 1,
  "algorithm": "fsverity-sha512-12",
  "features": {
    "compatible": [],
    "read-only-compatible": [
      "v1_erofs"
    ],
    "incompatible": []
  },
  "erofs_formats": {
    "default": 1
  }
}
`)
  })

  test('several formats', () => {
    const text = formatMetadata({ ...newMetadata('sha256', 1), erofsFormats: { default: 1, extra: [0, 2] } })
    expect(JSON.parse(text).erofs_formats).toEqual({ default: 1, extra: [0, 2] })
  })

  test('a file from before the formats stays without them', () => {
    const old = parse(base)
    expect(old.erofsFormats).toBeUndefined()
    expect(formatMetadata(old)).not.toContain('erofs_formats')
  })
})

describe('what is read', () => {
  test('only version and algorithm are needed; unknown keys do not matter', () => {
    expect(parse({ ...base, erofs_version: 1, whatever: {} })).toEqual({
      version: 1,
      algorithm: 'sha512',
      features: { compatible: [], readOnlyCompatible: [], incompatible: [] },
      erofsFormats: undefined,
    })
    expect(parse({ version: 0, algorithm: 'fsverity-sha256-12', erofs_formats: null })).toMatchObject({
      version: 0,
      algorithm: 'sha256',
    })
  })

  test('extra formats come in any order and may repeat the default', () => {
    expect(parse({ ...base, erofs_formats: { default: 1, extra: [2, 1, 0, 2] } }).erofsFormats).toEqual({
      default: 1,
      extra: [0, 2],
    })
  })

  test.each([
    ['no format, no flag', {}, 2],
    ['the flag alone', { features: { 'read-only-compatible': ['v1_erofs'] } }, 1],
    ['default 2', { erofs_formats: { default: 2 } }, 2],
    [
      'default 2 and the flag',
      { erofs_formats: { default: 2 }, features: { 'read-only-compatible': ['v1_erofs'] } },
      1,
    ],
    ['default 1', { erofs_formats: { default: 1 } }, 1],
    ['default 0', { erofs_formats: { default: 0 } }, 0],
  ])('format of a file with %s', (_, more, expected) => {
    expect(effectiveFormats(parse({ ...base, ...more }))).toEqual({ default: expected, extra: [] })
  })

  test('default 2 with an extra one is meant as it stands', () => {
    const metadata = parse({ ...base, erofs_formats: { default: 2, extra: [1] } })
    expect(effectiveFormats(metadata)).toEqual({ default: 2, extra: [1] })
  })

  test.each([
    ['no JSON', '{'],
    ['an array', []],
    ['null', 'null'],
    ['no version', { algorithm: base.algorithm }],
    ['a newer version', { ...base, version: 2 }],
    ['a version as text', { ...base, version: '1' }],
    ['a negative version', { ...base, version: -1 }],
    ['no algorithm', { version: 1 }],
    ['an algorithm without prefix', { version: 1, algorithm: 'sha512-12' }],
    ['an algorithm without block size', { version: 1, algorithm: 'fsverity-sha512' }],
    ['another block size', { version: 1, algorithm: 'fsverity-sha512-16' }],
    ['another hash', { version: 1, algorithm: 'fsverity-sha1-12' }],
    ['format 3', { ...base, erofs_formats: { default: 3 } }],
    ['a format as text', { ...base, erofs_formats: { default: '1' } }],
    ['no default format', { ...base, erofs_formats: {} }],
    ['an extra format 3', { ...base, erofs_formats: { default: 1, extra: [3] } }],
    ['extra that is no array', { ...base, erofs_formats: { default: 1, extra: 2 } }],
    ['features that are no object', { ...base, features: [] }],
    ['a feature that is no text', { ...base, features: { compatible: [1] } }],
    ['an unknown incompatible feature', { ...base, features: { incompatible: ['new_layout'] } }],
  ])('%s is refused', (_, value) => {
    expect(() => parse(value)).toThrow(expect.objectContaining({ code: 'ERR_REPOSITORY_METADATA', path: 'meta.json' }))
  })

  test('what is unknown is named', () => {
    expect(() => parse({ ...base, features: { incompatible: ['a', 'b'] } })).toThrow(/lacks: a, b: meta\.json/)
    expect(
      unknownReadOnlyFeatures(parse({ ...base, features: { 'read-only-compatible': ['v1_erofs', 'x', 'y'] } })),
    ).toEqual(['x', 'y'])
    expect(parse({ ...base, features: { compatible: ['unknown'] } }).features.compatible).toEqual(['unknown'])
  })
})
