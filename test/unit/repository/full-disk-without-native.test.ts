import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { native } from '../../../src/native/libc.ts'
import { describeFullDisk } from '../../support/full-disk.ts'

beforeAll(() => {
  vi.stubEnv('COMPOSEFS_NATIVE', '0')
})
afterAll(() => {
  vi.unstubAllEnvs()
})

test('koffi is switched off', () => {
  expect(native()).toBeUndefined()
})

describe('without koffi', describeFullDisk)
