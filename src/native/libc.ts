/**
 * The system calls that Node does not offer, through koffi: the only file that loads it.
 *
 * @packageDocumentation
 */
import { createRequire } from 'node:module'
import { constants } from 'node:os'
import { isMainThread } from 'node:worker_threads'
import { ComposefsError } from '../errors.ts'

/** Operations of flock(2). */
export const lockOperation = { shared: 1, exclusive: 2, nonBlocking: 4, unlock: 8 } as const

/** `RENAME_EXCHANGE` of renameat2(2). */
const exchangeNames = 2
/** `AT_FDCWD` and `AT_SYMLINK_FOLLOW` of linkat(2). */
export const atCurrentDirectory = -100
export const atSymlinkFollow = 0x400

/** `O_CLOEXEC`, which Node adds by itself; `AT_EMPTY_PATH` and `STATX_BASIC_STATS` of statx(2). */
const closeOnExec = 0o2000000
const atEmptyPath = 0x1000
const statxBasic = 0x7ff
/**
 * mknodat(2) goes past the C library, whose older versions have no such function: its number, by processor. All of these
 * have times of 64 bits.
 */
const mknodatNumbers: Readonly<Record<string, number>> = { x64: 259, arm64: 33, loong64: 33, riscv64: 33 }
/** `UTIME_OMIT` of utimensat(2): leave this time as it is. */
const omitTime = 0x3ffffffen
const { ENOSYS } = constants.errno
/** `AF_UNIX`; `SOCK_SEQPACKET`, closed on exec; and that for descriptors which arrive. */
const unixFamily = 1
const packetSocket = 5 | closeOnExec
const receivedCloseOnExec = 0x40000000
/** FICLONE of ioctl(2); POWER counts the directions from another bit. */
const ficloneRequest = process.arch === 'ppc64' ? 0x80049409 : 0x40049409

/** System calls. Each returns 0, or the errno of its failure. */
export interface Libc {
  flock(fd: number, operation: number): number
  /** `argument` is read and written in place. */
  ioctl(fd: number, request: number, argument: Buffer): number
  /** A path that is a Buffer ends in NUL. */
  linkat(oldDirectory: number, oldPath: string, newDirectory: number, newPath: string | Buffer, flags: number): number
  /** Makes two names change places. `ENOSYS` of C libraries that have no such function. */
  exchange(one: string, other: string): number
  /** Makes `to` share the blocks of `from`, where the file system can. */
  ficlone(to: number, from: number): number
  /** `name` ends in NUL; `device` is in the kernel's encoding. `ENOSYS` on processors that are not known here. */
  mknodat(directory: number, name: Buffer, mode: number, device: number): number
  /** Sets the modification time, to the nanosecond. The path is followed. `ENOSYS` as of {@link mknodat}. */
  setMtime(path: string, seconds: bigint, nanoseconds: number): number
  /** Runs on another thread, for it may take seconds. */
  syncfs(fd: number): Promise<number>
  /** Returns the descriptor, or minus the errno. The name is ASCII. */
  openat(directory: number, name: string, flags: number): number
  /** Of an open inode, all basic fields; `result` has 256 bytes. */
  statx(fd: number, result: Uint8Array): number
  /** Of a descriptor (not one of O_PATH), or of a path. Returns the length, or minus the errno, like the next two. */
  listxattr(file: number | string, list: Buffer): number
  /** `name` ends in NUL. */
  getxattr(file: number | string, name: Buffer, value: Buffer): number
  setxattr(file: number | string, name: Buffer, value: Buffer): number
  /** Gives free memory back to the system. Undefined where the C library has no such function: musl does it by itself. */
  readonly mallocTrim: (() => void) | undefined
  /** Two connected sockets that keep packets apart; their descriptors go into `pair`. */
  socketPair(pair: Int32Array): number
  /**
   * Waits on another thread for a packet. Returns its length, or minus the errno, and the length of the control data:
   * descriptors that came along.
   */
  recvmsg(fd: number, packet: Buffer, control: Buffer): Promise<{ length: number; controlLength: number }>
}

/** A name, or what koffi made. */
type KoffiType = string | object

interface Koffi {
  load(path: null): {
    func(declaration: string): NativeFunction
    func(name: string, result: KoffiType, parameters: readonly KoffiType[]): NativeFunction
  }
  struct(fields: Readonly<Record<string, KoffiType>>): object
  pointer(type: object): object
  inout(type: object): object
  errno(): number
}

interface NativeFunction {
  (...parameters: unknown[]): number
  async(...parameters: unknown[]): void
}

let loaded: { libc: Libc | undefined; reason: unknown } | undefined

/**
 * The system calls, or undefined where koffi is not installed, does not load, or must not be used: it is switched off
 * by the environment variable `COMPOSEFS_NATIVE=0`, on anything but Linux, and in worker threads (where it crashes now
 * and then). Loaded at the first call.
 */
export function native(): Libc | undefined {
  loaded ??= load()
  return loaded.libc
}

/**
 * The system calls, for who cannot do without.
 *
 * @param purpose completes "koffi is needed to …"
 * @param wayRound what to do without it, completes "install koffi, or …"
 * @throws {@link ComposefsError} `ERR_NATIVE_MISSING`
 */
export function requireNative(purpose: string, wayRound: string): Libc {
  const libc = native()
  if (libc !== undefined) return libc
  const reason = loaded?.reason
  throw new ComposefsError('ERR_NATIVE_MISSING', `the optional package koffi is needed to ${purpose}`, {
    ...(typeof reason === 'string' && { actual: reason, expected: 'koffi to load' }),
    hint: `install it (npm install koffi), or ${wayRound}`,
    cause: reason,
  })
}

function load(): { libc: Libc | undefined; reason: unknown } {
  const { COMPOSEFS_NATIVE: wish } = process.env
  if (wish === '0') return { libc: undefined, reason: 'switched off by COMPOSEFS_NATIVE=0' }
  if (process.platform !== 'linux') return { libc: undefined, reason: `not used on ${process.platform}` }
  if (!isMainThread) return { libc: undefined, reason: 'not used in worker threads' }
  try {
    return { libc: bind(createRequire(import.meta.url)('koffi') as Koffi), reason: undefined }
  } catch (error) {
    return { libc: undefined, reason: error }
  }
}

function bind(koffi: Koffi): Libc {
  // The C library is in the process already: no file name to guess, whether it is glibc or musl.
  const library = koffi.load(null)
  const flock = library.func('int flock(int fd, int operation)')
  const ioctl = library.func('int ioctl(int fd, unsigned long request, void *argument)')
  const linkat = library.func('int linkat(int from, const char *old, int to, const char *name, int flags)')
  const renameat2 = optional(() =>
    library.func('int renameat2(int from, const char *old, int to, const char *name, unsigned int flags)'),
  )
  const ficlone = library.func('int ioctl(int fd, unsigned long request, int from)')
  const mknodat = library.func(
    'long syscall(long number, int directory, const void *name, uint32_t mode, uint32_t device)',
  )
  const utimensat = library.func('int utimensat(int directory, const char *path, const void *times, int flags)')
  const syncfs = library.func('int syncfs(int fd)')
  const flistxattr = library.func('intptr_t flistxattr(int fd, void *list, size_t size)')
  const listxattr = library.func('intptr_t listxattr(const char *path, void *list, size_t size)')
  const fgetxattr = library.func('intptr_t fgetxattr(int fd, const void *name, void *value, size_t size)')
  const getxattr = library.func('intptr_t getxattr(const char *path, const void *name, void *value, size_t size)')
  const fsetxattr = library.func('int fsetxattr(int fd, const void *name, const void *value, size_t size, int flags)')
  const setxattr = library.func(
    'int setxattr(const char *path, const void *name, const void *value, size_t size, int flags)',
  )
  const openat = library.func('int openat(int directory, const char *name, int flags)')
  const statx = library.func('int statx(int fd, const char *path, int flags, unsigned int mask, void *result)')
  const mallocTrim = optional(() => library.func('int malloc_trim(size_t pad)'))
  const socketpair = library.func('int socketpair(int domain, int type, int protocol, void *pair)')
  // Without names: those are known to the whole process, once.
  const vector = koffi.struct({ base: 'void *', length: 'size_t' })
  const header = koffi.struct({
    name: 'void *',
    nameLength: 'uint32_t',
    vectors: koffi.pointer(vector),
    count: 'size_t',
    control: 'void *',
    controlLength: 'size_t',
    flags: 'int',
  })
  const recvmsg = library.func('recvmsg', 'intptr_t', ['int', koffi.inout(koffi.pointer(header)), 'int'])
  const mknodatNumber = mknodatNumbers[process.arch]
  const errno = (result: number): number => (result < 0 ? koffi.errno() : 0)
  const length = (result: number): number => (result < 0 ? -koffi.errno() : result)
  return {
    flock: (fd, operation) => errno(flock(fd, operation)),
    ioctl: (fd, request, argument) => errno(ioctl(fd, request, argument)),
    linkat: (from, old, to, name, flags) => errno(linkat(from, old, to, name, flags)),
    exchange: (one, other) =>
      renameat2 === undefined
        ? ENOSYS
        : errno(renameat2(atCurrentDirectory, one, atCurrentDirectory, other, exchangeNames)),
    ficlone: (to, from) => errno(ficlone(to, ficloneRequest, from)),
    mknodat: (directory, name, mode, device) =>
      mknodatNumber === undefined ? ENOSYS : errno(mknodat(mknodatNumber, directory, name, mode, device)),
    setMtime: (path, seconds, nanoseconds) => {
      if (mknodatNumber === undefined) return ENOSYS
      const times = Buffer.alloc(32)
      times.writeBigInt64LE(omitTime, 8)
      times.writeBigInt64LE(seconds, 16)
      times.writeBigInt64LE(BigInt(nanoseconds), 24)
      return errno(utimensat(atCurrentDirectory, path, times, 0))
    },
    syncfs: (fd) =>
      new Promise((resolve, reject) => {
        syncfs.async(fd, (error: Error | null, result: number) => {
          if (error === null) resolve(errno(result))
          else reject(error)
        })
      }),
    openat: (directory, name, flags) => length(openat(directory, name, flags | closeOnExec)),
    statx: (fd, result) => errno(statx(fd, '', atEmptyPath, statxBasic, result)),
    listxattr: (file, list) => length((typeof file === 'number' ? flistxattr : listxattr)(file, list, list.length)),
    getxattr: (file, name, value) =>
      length((typeof file === 'number' ? fgetxattr : getxattr)(file, name, value, value.length)),
    setxattr: (file, name, value) =>
      length((typeof file === 'number' ? fsetxattr : setxattr)(file, name, value, value.length, 0)),
    mallocTrim: mallocTrim && (() => void mallocTrim(0)),
    socketPair: (pair) => errno(socketpair(unixFamily, packetSocket, 0, pair)),
    recvmsg: (fd, packet, control) =>
      new Promise((resolve, reject) => {
        const vectors = [{ base: packet, length: packet.length }]
        const rest = { name: null, nameLength: 0, flags: 0 }
        const message = { ...rest, vectors, count: 1, control, controlLength: control.length }
        recvmsg.async(fd, message, receivedCloseOnExec, (error: Error | null, result: number) => {
          if (error === null) resolve({ length: length(result), controlLength: message.controlLength })
          else reject(error)
        })
      }),
  }
}

/** A function that not every C library has. */
function optional(find: () => NativeFunction): NativeFunction | undefined {
  try {
    return find()
  } catch {
    return undefined
  }
}
