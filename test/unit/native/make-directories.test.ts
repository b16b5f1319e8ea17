import { statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { makeDirectories } from '../../../src/native/make-directories.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

const failing = (path: string): unknown => {
  try {
    return makeDirectories(path)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code
  }
}

test('makes what is missing, and answers the topmost of it', () => {
  const root = temporaryDirectory()
  expect(makeDirectories(join(root, 'a/b/c'))).toBe(join(root, 'a'))
  expect(makeDirectories(join(root, 'a/b/d'))).toBe(join(root, 'a/b/d'))
  expect(makeDirectories(join(root, 'a/b/c'))).toBeUndefined()
  expect(statSync(join(root, 'a/b/d')).isDirectory()).toBe(true)
})

test('something else in the way', () => {
  const root = temporaryDirectory()
  writeFileSync(join(root, 'file'), '')
  expect(failing(join(root, 'file'))).toBe('EEXIST')
  expect(failing(join(root, 'file/a'))).toBe('ENOTDIR')
})
