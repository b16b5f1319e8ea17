import { closeSync, constants, fstatSync, mkdirSync, openSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { bytesOf, fromLatin1 } from '../../../src/bytes.ts'
import { nameIn, openDirectoryIn, openInode } from '../../../src/native/through.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

test('names are taken as they are, and symlinks for themselves', () => {
  const directory = temporaryDirectory()
  const fd = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY)
  writeFileSync(nameIn(fd, fromLatin1('\xff')), 'odd')
  expect(readFileSync(Buffer.from(`${directory}/\xff`, 'latin1'), 'utf8')).toBe('odd')
  mkdirSync(join(directory, 'dir'))
  symlinkSync('dir', join(directory, 'link'))
  closeSync(openDirectoryIn(fd, bytesOf('dir')))
  expect(() => openDirectoryIn(fd, bytesOf('link'))).toThrow(/ENOTDIR|ELOOP/)
  const link = openInode(fd, bytesOf('link'))
  expect(fstatSync(link).isSymbolicLink()).toBe(true)
  closeSync(link)
  closeSync(fd)
})
