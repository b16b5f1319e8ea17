import { describe, expect, test } from 'vitest'
import { native } from '../../../src/native/libc.ts'
import { describeObjectStore } from '../../support/object-store.ts'

if (native() === undefined) console.warn('skipped: koffi does not load here')

describe.skipIf(native() === undefined)('temporary files without a name', () => {
  describeObjectStore()

  test('koffi is in use', () => {
    expect(native()).toBeDefined()
  })
})
