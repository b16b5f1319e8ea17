import { describe, expect, test } from 'vitest'
import { describeFullDisk } from '../../support/full-disk.ts'

test('koffi is not switched off', () => {
  expect(process.env['COMPOSEFS_NATIVE']).not.toBe('0')
})

describe('with koffi, where it loads', describeFullDisk)
