import { afterAll, beforeAll, describe, vi } from 'vitest'
import { describeFullDisk } from '../../support/full-disk.ts'

beforeAll(() => {
  vi.stubEnv('COMPOSEFS_NATIVE', '0')
})
afterAll(() => {
  vi.unstubAllEnvs()
})

describe('without koffi', describeFullDisk)
