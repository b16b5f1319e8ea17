import { fstatSync, readFileSync } from 'node:fs'
import { constants } from 'node:os'
import { algorithmNumber, digestSize, fsverityDigest } from '../../src/fsverity/index.ts'
import type { Libc } from '../../src/native/libc.ts'

const { EEXIST, ENODATA, ENOTTY, EOPNOTSUPP, EOVERFLOW, ETXTBSY } = constants.errno

/**
 * A file system with fs-verity, as far as its two ioctls go: for tests on kernels that have none. Everything else is
 * done by the system calls it is given.
 */
export class FakeVerity {
  supported = true
  /** How many times yet the answer is that the file is open for writing. */
  busy = 0
  /** What the kernel computes, where a test wants it wrong. */
  wrong = false
  readonly #digests = new Map<string, Buffer>()
  readonly #libc: Libc

  constructor(libc: Libc) {
    this.#libc = libc
  }

  get libc(): Libc {
    return { ...this.#libc, ioctl: (fd, request, argument) => this.#ioctl(fd, request, argument) }
  }

  #ioctl(fd: number, request: number, argument: Buffer): number {
    const { dev, ino, birthtimeNs } = fstatSync(fd, { bigint: true })
    const key = `${dev}:${ino}:${birthtimeNs}`
    if (!this.supported) return EOPNOTSUPP
    switch (request & 0xffff) {
      case 0x6685: {
        if (this.busy > 0) {
          this.busy--
          return ETXTBSY
        }
        if (this.#digests.has(key)) return EEXIST
        const algorithm = argument.readUInt32LE(4) === algorithmNumber.sha256 ? 'sha256' : 'sha512'
        const bytes = readFileSync(`/proc/self/fd/${fd}`)
        this.#digests.set(key, fsverityDigest(algorithm, this.wrong ? Buffer.from('?') : bytes).bytes)
        return 0
      }
      case 0x6686: {
        const digest = this.#digests.get(key)
        if (digest === undefined) return ENODATA
        if (argument.readUInt16LE(2) < digest.length) return EOVERFLOW
        argument.writeUInt16LE(digest.length === digestSize.sha256 ? algorithmNumber.sha256 : algorithmNumber.sha512, 0)
        argument.writeUInt16LE(digest.length, 2)
        digest.copy(argument, 4)
        return 0
      }
      default:
        return ENOTTY
    }
  }
}
