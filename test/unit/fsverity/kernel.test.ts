import { constants } from 'node:os'
import { beforeEach, describe, expect, test, vi } from 'vitest'
import { enableOutcome, enableVerity, measureOutcome, measureVerity, readDigest } from '../../../src/fsverity/kernel.ts'

const { ENOTTY, EOPNOTSUPP, EEXIST, ETXTBSY, ENODATA, EOVERFLOW, ENOSPC, EROFS, EACCES, EIO } = constants.errno
const { ioctl } = vi.hoisted(() => ({ ioctl: vi.fn<(fd: number, request: number, argument: Buffer) => number>() }))

vi.mock('../../../src/native/libc.ts', () => ({ requireNative: () => ({ ioctl }) }))

beforeEach(() => {
  ioctl.mockReset()
})

describe('errno of FS_IOC_ENABLE_VERITY', () => {
  test.each([
    [0, 'enabled'],
    [EEXIST, 'already-enabled'],
    [ENOTTY, 'unsupported'],
    [EOPNOTSUPP, 'unsupported'],
    [ETXTBSY, 'busy'],
  ] as const)('%i is %s', (errno, outcome) => {
    expect(enableOutcome(errno, '/r/meta.json')).toBe(outcome)
  })

  test.each([
    [129, 'ERR_REPOSITORY_VERITY'],
    [ENOSPC, 'ERR_NO_SPACE'],
    [EROFS, 'ERR_REPOSITORY_READONLY'],
    [EACCES, 'ERR_REPOSITORY_READONLY'],
    [EIO, 'ERR_IO'],
  ] as const)('%i throws %s', (errno, code) => {
    expect(() => enableOutcome(errno, '/r/x')).toThrow(expect.objectContaining({ code, path: '/r/x' }))
  })
})

describe('errno of FS_IOC_MEASURE_VERITY', () => {
  test.each([
    [ENODATA, 'missing'],
    [ENOTTY, 'unsupported'],
    [EOPNOTSUPP, 'unsupported'],
  ] as const)('%i is %s', (errno, outcome) => {
    expect(measureOutcome(errno, 'sha256', '/r/x')).toBe(outcome)
  })

  test.each([
    [EOVERFLOW, 'ERR_ALGORITHM_MISMATCH'],
    [EIO, 'ERR_IO'],
  ] as const)('%i throws %s', (errno, code) => {
    expect(() => measureOutcome(errno, 'sha256', '/r/x')).toThrow(expect.objectContaining({ code }))
  })
})

test.runIf(process.arch === 'x64' || process.arch === 'arm64')('the request to enable is the one of the kernel', () => {
  ioctl.mockReturnValue(0)
  expect(enableVerity(7, 'sha512', '/r/x')).toBe('enabled')
  const [fd, request, argument] = ioctl.mock.calls[0]!
  expect([fd, request.toString(16), argument.length]).toEqual([7, '40806685', 128])
  // version 1, algorithm 2, block size 4096, nothing else
  expect(argument.toString('hex')).toBe(`010000000200000000100000${'00'.repeat(116)}`)
})

test.runIf(process.arch === 'x64' || process.arch === 'arm64')('measuring offers room for one digest', () => {
  ioctl.mockImplementation((_fd, _request, argument) => {
    expect(argument.toString('hex')).toBe(`00002000${'00'.repeat(32)}`)
    argument.writeUInt16LE(1, 0)
    argument.fill(0xab, 4)
    return 0
  })
  expect(measureVerity(7, 'sha256', '/r/x')).toMatchObject({ hex: 'ab'.repeat(32) })
  expect(ioctl.mock.calls[0]![1].toString(16)).toBe('c0046686')
})

test('a digest of another algorithm is refused', () => {
  const struct = Buffer.alloc(36)
  struct.writeUInt16LE(2, 0)
  struct.writeUInt16LE(32, 2)
  expect(() => readDigest(struct, 'sha256', '/r/x')).toThrow(
    expect.objectContaining({ code: 'ERR_ALGORITHM_MISMATCH', expected: 'sha256' }),
  )
})
