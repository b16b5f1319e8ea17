import { constants } from 'node:os'
import { expect, test } from 'vitest'
import { ComposefsError } from '../../../src/errors.ts'
import { errnoException, errnoName, isErrno, systemError } from '../../../src/native/errno.ts'

const failure = (code: string) => Object.assign(new Error(code), { code })

test('errnos have names', () => {
  expect(errnoName(constants.errno.ENOSPC)).toBe('ENOSPC')
  expect(errnoName(99_999)).toBe('errno 99999')
  expect(errnoException(constants.errno.EEXIST, 'linkat')).toMatchObject({ code: 'EEXIST', syscall: 'linkat' })
  expect(isErrno(failure('ENOENT'), 'EEXIST', 'ENOENT')).toBe(true)
  expect(isErrno(failure('ENOENT'), 'EEXIST')).toBe(false)
  expect(isErrno(undefined, 'EEXIST')).toBe(false)
})

test.each([
  ['ENOSPC', 'write', 'ERR_NO_SPACE'],
  ['EDQUOT', 'write', 'ERR_NO_SPACE'],
  ['EROFS', 'write', 'ERR_REPOSITORY_READONLY'],
  ['EACCES', 'write', 'ERR_REPOSITORY_READONLY'],
  ['EACCES', 'read', 'ERR_IO'],
  ['ENOENT', 'read', 'ERR_NOT_FOUND'],
  ['ENOENT', 'write', 'ERR_IO'],
  ['EIO', 'read', 'ERR_IO'],
] as const)('%s while we %s is %s', (code, intent, expected) => {
  const cause = failure(code)
  const error = systemError(cause, intent, 'cannot do it', '/r/x')
  expect(error).toBeInstanceOf(ComposefsError)
  expect(error).toMatchObject({ code: expected, path: '/r/x', cause })
  expect(error.message).toContain(`cannot do it (${code}): /r/x`)
})

test('numbers, our own errors and anything else', () => {
  expect(systemError(constants.errno.ENOSPC, 'write', 'w', '/r').message).toContain('w (ENOSPC): /r — free space')
  const ours = new ComposefsError('ERR_LIMIT', 'no')
  expect(systemError(ours, 'write', 'w', '/r')).toBe(ours)
  expect(systemError(new Error('odd'), 'write', 'w', '/r')).toMatchObject({ code: 'ERR_IO', message: 'w (odd): /r' })
})
