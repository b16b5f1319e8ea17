import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { native, requireNative } from '../../../src/native/libc.ts'

beforeAll(() => {
  vi.stubEnv('COMPOSEFS_NATIVE', '0')
})
afterAll(() => {
  vi.unstubAllEnvs()
})

test('without koffi the error names the package and the way round', () => {
  expect(native()).toBeUndefined()
  expect(() => requireNative('enable fs-verity', 'pass --insecure')).toThrow(
    expect.objectContaining({
      code: 'ERR_NATIVE_MISSING',
      message:
        'the optional package koffi is needed to enable fs-verity (expected koffi to load, got switched off by COMPOSEFS_NATIVE=0)' +
        ' — install it (npm install koffi), or pass --insecure',
    }),
  )
})
