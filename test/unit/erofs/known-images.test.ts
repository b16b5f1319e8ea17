import { describe, expect, test } from 'vitest'
import { type ErofsVersion, writeImage } from '../../../src/erofs/index.ts'
import { fsverityDigest } from '../../../src/fsverity/index.ts'
import { ImageFields } from './image-fields.ts'
import { simpleTree, tree } from './trees.ts'

// Pinned in the tests of composefs-rs; versions 0 and 1 are also what mkcomposefs makes.
const ids = {
  empty: [
    '8f589e8f57ecb88823736b0d857ddca1e1068a23e264fad164b28f7038eb3682',
    '14a26c957c84f6eb774b91205476adc13196c7c33b9dd97d08d43725ecb90b63',
    '086b702a519b57d6ef5aea6f8b3f2be24355cd1fb835cd80fb4e3d388b24d5a5',
  ],
  simple: [
    '9f3f5620ee0c54708516467d0d58741e7963047c7106b245d94c298259d0fa01',
    'ad6db6427568a1e4fdc772cbab7b6063f5eb4b33cb62982a740ba9213e5962b5',
    'a8fcd41f8b313bede69f462f2af0a38d64b99a6333f5df884ea9ab4037fac722',
  ],
}

describe.each([
  ['empty', tree(), ids.empty],
  ['simple', simpleTree(), ids.simple],
] as const)('the tree %s', (_, fileSystem, expected) => {
  test.each([0, 1, 2] as const)('has its known id in version %i', (version) => {
    expect(fsverityDigest('sha256', writeImage(fileSystem, { version })).hex).toBe(expected[version])
  })
})

test('version 1 is the default', () => {
  expect(fsverityDigest('sha256', writeImage(tree())).hex).toBe(ids.empty[1])
})

test('the smallest image, byte by byte', () => {
  const image = writeImage(tree(), { version: 0 })
  const fields = new ImageFields(image)
  expect(image.length).toBe(16384)
  expect(fields.inodes).toBe(257)
  expect(fields.blocks).toBe(4)
  expect(image.toString('hex', 1152, 1184)).toBe('00000600ed410200001000000000000003000000000000000000000000000000')
  expect(image.toString('hex', 1184, 1196)).toBe('ffffefff0000000000000000')
  expect(image.toString('latin1', 1196, 1216)).toBe('\x0e\x04\x01\0overlay.opaquey\0')
  expect(fields.at('/00').at).toBe(1216)
})

test('headers', () => {
  for (const version of [0, 1, 2] as ErofsVersion[]) {
    const image = writeImage(tree({ mtime: -7, mtimeNsec: 9 }), { version })
    expect(image.readUInt32LE(0)).toBe(0xd078629a)
    expect(image.readUInt32LE(4)).toBe(1)
    expect(image.readUInt32LE(12)).toBe(version)
    expect(image.readUInt32LE(1024)).toBe(0xe0f5e1e2)
    expect(image.readUInt32LE(1032)).toBe(6)
    expect(image[1036]).toBe(12)
    const fields = new ImageFields(image)
    expect(fields.rootNid).toBe(36)
    expect([fields.buildTime, fields.buildTimeNsec]).toEqual(version === 2 ? [0n, 0] : [-7n, 9])
    expect(fields.blocks * 4096).toBe(image.length)
    expect(image.subarray(1024 + 48, 1152).every((byte) => byte === 0)).toBe(true)
  }
})

test('there is no other version', () => {
  expect(() => writeImage(tree(), { version: 3 as ErofsVersion })).toThrow(
    expect.objectContaining({ code: 'ERR_EROFS_VERSION' }),
  )
})
