/**
 * fs-verity as the kernel does it: a file that has it cannot be changed any more, and every read is checked.
 *
 * @packageDocumentation
 */
import { constants } from 'node:os'
import { ComposefsError } from '../errors.ts'
import { errnoName, systemError } from '../native/errno.ts'
import { requireNative } from '../native/libc.ts'
import { verityBlockSize } from './merkle.ts'
import { type Algorithm, algorithmNumber, digestSize, ObjectId } from './object-id.ts'

/**
 * What became of the wish to enable fs-verity. `busy`: somebody still has the file open for writing, for instance a
 * child process between fork and exec; trying again helps.
 */
export type EnableOutcome = 'enabled' | 'already-enabled' | 'unsupported' | 'busy'

/** Why there is no digest: the file has no fs-verity, or the file system knows none. */
export type MeasureFailure = 'missing' | 'unsupported'

const { ENOTTY, EOPNOTSUPP, EEXIST, ETXTBSY, ENODATA, EOVERFLOW } = constants.errno
/** Node's table lacks it. */
const EKEYREJECTED = 129

const enableArgumentSize = 128

/** Number of an ioctl on `'f'`, from `<asm/ioctl.h>`; POWER counts the directions from another bit. */
function ioctlNumber(direction: 'write' | 'read-write', number: number, size: number): number {
  const bits =
    process.arch === 'ppc64'
      ? { write: 0x80000000, 'read-write': 0xc0000000 }
      : { write: 0x40000000, 'read-write': 0xc0000000 }
  return bits[direction] + size * 0x10000 + 0x6600 + number
}

const enableVerityRequest = ioctlNumber('write', 133, enableArgumentSize)
const measureVerityRequest = ioctlNumber('read-write', 134, 4)

/**
 * Reads the errno of `FS_IOC_ENABLE_VERITY` (0: success).
 *
 * @throws {@link ComposefsError} `ERR_REPOSITORY_VERITY` where the kernel wants a signature, `ERR_NO_SPACE` where the
 * hashes do not fit, `ERR_REPOSITORY_READONLY`, `ERR_IO`
 */
export function enableOutcome(errno: number, path: string): EnableOutcome {
  switch (errno) {
    case 0:
      return 'enabled'
    case EEXIST:
      return 'already-enabled'
    case ENOTTY:
    case EOPNOTSUPP:
      return 'unsupported'
    case ETXTBSY:
      return 'busy'
    case EKEYREJECTED:
      throw new ComposefsError('ERR_REPOSITORY_VERITY', 'the kernel accepts signed fs-verity files only', {
        path,
        hint: 'set fs.verity.require_signatures to 0',
      })
    default:
      throw systemError(errno, 'write', 'cannot enable fs-verity', path)
  }
}

/**
 * Reads the errno of `FS_IOC_MEASURE_VERITY` (not 0).
 *
 * @throws {@link ComposefsError} `ERR_ALGORITHM_MISMATCH` where the digest is longer than expected, `ERR_IO`
 */
export function measureOutcome(errno: number, algorithm: Algorithm, path: string): MeasureFailure {
  switch (errno) {
    case ENODATA:
      return 'missing'
    case ENOTTY:
    case EOPNOTSUPP:
      return 'unsupported'
    case EOVERFLOW:
      throw algorithmMismatch(algorithm, errnoName(errno), path)
    default:
      throw systemError(errno, 'read', 'cannot measure fs-verity', path)
  }
}

/**
 * Enables fs-verity (4096-byte blocks, no salt, no signature) on a file opened read-only, of which no writable
 * descriptor may exist. Reads the whole file.
 *
 * @throws {@link ComposefsError} `ERR_NATIVE_MISSING` without koffi, and what {@link enableOutcome} throws
 */
export function enableVerity(fd: number, algorithm: Algorithm, path: string): EnableOutcome {
  const libc = requireNative('enable fs-verity', 'use a repository that does not require fs-verity (init --insecure)')
  const argument = Buffer.alloc(enableArgumentSize)
  argument.writeUInt32LE(1, 0)
  argument.writeUInt32LE(algorithmNumber[algorithm], 4)
  argument.writeUInt32LE(verityBlockSize, 8)
  return enableOutcome(libc.ioctl(fd, enableVerityRequest, argument), path)
}

/**
 * Asks the kernel for the digest of an open file. Reads nothing: the digest was computed when fs-verity was enabled,
 * and the kernel checks what is read against it.
 *
 * @throws {@link ComposefsError} `ERR_NATIVE_MISSING` without koffi, `ERR_ALGORITHM_MISMATCH` where the file has a
 * digest of another algorithm, and what {@link measureOutcome} throws
 */
export function measureVerity(fd: number, algorithm: Algorithm, path: string): ObjectId | MeasureFailure {
  const libc = requireNative('measure fs-verity', 'compute the digest from the contents')
  const size = digestSize[algorithm]
  const argument = Buffer.alloc(4 + size)
  argument.writeUInt16LE(size, 2)
  const errno = libc.ioctl(fd, measureVerityRequest, argument)
  if (errno !== 0) return measureOutcome(errno, algorithm, path)
  return readDigest(argument, algorithm, path)
}

/**
 * Reads a `struct fsverity_digest`: algorithm number, size, digest.
 *
 * @throws {@link ComposefsError} `ERR_ALGORITHM_MISMATCH`
 */
export function readDigest(struct: Buffer, algorithm: Algorithm, path: string): ObjectId {
  const number = struct.readUInt16LE(0)
  const size = struct.readUInt16LE(2)
  if (number !== algorithmNumber[algorithm] || size !== digestSize[algorithm]) {
    throw algorithmMismatch(algorithm, `fs-verity algorithm ${number} with ${size} bytes`, path)
  }
  return ObjectId.fromBytes(struct.subarray(4, 4 + size))
}

function algorithmMismatch(expected: Algorithm, actual: string, path: string): ComposefsError {
  return new ComposefsError('ERR_ALGORITHM_MISMATCH', 'the file has fs-verity with another hash', {
    path,
    expected,
    actual,
  })
}
