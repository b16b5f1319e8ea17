import {
  chmodSync,
  closeSync,
  constants,
  ftruncateSync,
  lchownSync,
  linkSync,
  mkdirSync,
  openSync,
  symlinkSync,
  writeSync,
} from 'node:fs'
import { type ByteString, fromLatin1 } from '../../src/bytes.ts'
import { setXattr } from '../../src/native/xattr.ts'
import { mknod, setMtime } from './posix.ts'
import { Random } from './random.ts'

/*
 * Left out, since the reference tools refuse them: whiteouts (character devices 0:0) with more names than one, and
 * directories that hold whiteouts and have the attribute `user.overlay.opaque` of their own.
 */

/** What {@link writeRandomDirectory} leaves out. */
export interface RandomDirectoryOptions {
  /** At most so many inodes besides the directories at the top. Default: 0 to 120, by the seed. */
  readonly count?: number
  /** Names and targets that are no UTF-8, which fs-xattr cannot have in attributes. Default true. */
  readonly anyBytes?: boolean
  /** Times before 1970, about whose order mkcomposefs and cfsctl disagree. Default true. */
  readonly before1970?: boolean
}

const { S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK } = constants
const O_PATH = 0x200000

const names = [
  ...['a', 'b', 'c', 'bin', 'lib', 'file', 'x', 'A', '-', '=', 'a=b', '#', '~', ' ', 'with space', 'new\nline'],
  ...['tab\tbed', 'back\\slash', '\\x41', '"', '*', '\r', '\x01', '\x7f', '%2F', '...', '..a', '.a', '__proto__'],
  ...[
    '.wh.a',
    '.wh.',
    '.wh..wh..opq',
    '.wh.b',
    '00',
    '7f',
    'ff',
    'fff',
    'run',
    'usr',
    'l'.repeat(255),
    'k'.repeat(100),
  ],
]
const oddNames = ['\xe9', '\xff\xfe', '\xc3\xa4', '\xe5\x90\x8d', '\xf0\x9f\x98\x80', '\xc3', '\x80', 'e\xcc\x81']
const sizes = [0, 0, 1, 2, 10, 63, 64, 65, 128, 4095, 4096, 4097, 8192, 12289, 70000]
const largeSizes = [1024 * 1024 - 1, 1024 * 1024, 1024 * 1024 + 1, 2500000]
const modes = [0o644, 0o644, 0o755, 0o600, 0o4755, 0o2750, 0o1777, 0o7777, 0]
const ids = [0, 0, 0, 1, 1000, 65534, 65535, 65536, 3000000, 2 ** 31, 2 ** 32 - 2]
const nanoseconds = [0, 0, 1, 500000000, 999999999, 123456789]
/** Devices as the C library encodes them: the kernel's encoding for these. */
const devices = [
  [1, 3],
  [0, 1],
  [8, 300],
  [4095, 1048575],
  [5, 0],
] as const
const capability = '\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0'

/**
 * Writes a random tree into a directory that exists and is empty, as root: every type of inode, hardlinks, attributes,
 * sparse files, odd names and times. `usr`, `run`, `boot` and `sysroot` are always there. The same seed gives the same
 * tree.
 */
export function writeRandomDirectory(root: string, seed: number, options: RandomDirectoryOptions = {}): void {
  new DirectoryWriter(root, new Random(seed), options).write()
}

class DirectoryWriter {
  readonly #root: string
  readonly #random: Random
  readonly #options: RandomDirectoryOptions
  /** One character a byte. */
  readonly #directories: string[] = []
  readonly #taken = new Set<string>()
  /** Leaves that may get further names. */
  readonly #leaves: string[] = []
  readonly #all: { path: string; type: string }[] = []
  /** Some trees have times near each other, so that several inodes have the oldest one. */
  readonly #epoch: number

  constructor(root: string, random: Random, options: RandomDirectoryOptions) {
    this.#root = Buffer.from(root).toString('latin1')
    this.#random = random
    this.#options = options
    this.#epoch = random.pick([0, 1_700_000_000, 1_700_000_000, -100, 2 ** 33])
  }

  write(): void {
    const random = this.#random
    this.#all.push({ path: this.#root, type: 'directory' })
    this.#directories.push(this.#root)
    for (const name of ['usr', 'run', 'boot', 'sysroot']) this.#make('directory', `${this.#root}/${name}`)
    const count = this.#options.count ?? random.pick([0, 5, 30, 120])
    const deep = random.chance(0.3)
    for (let i = 0; i < count; i++) {
      const parent = deep && random.chance(0.5) ? this.#directories.at(-1)! : random.pick(this.#directories)
      const path = `${parent}/${this.#name()}`
      if (path.length > 3000 || this.#taken.has(path)) continue
      this.#make(this.#type(deep), path)
    }
    // What is made inside changes the time of a directory.
    for (const { path, type } of this.#all.reverse()) this.#dress(path, type)
  }

  #type(deep: boolean): string {
    const random = this.#random
    const n = random.below(20)
    if (n < (deep ? 7 : 3)) return 'directory'
    if (n < 13) return 'file'
    if (n < 16) return 'symlink'
    if (n < 17) return 'hardlink'
    return random.pick(['fifo', 'socket', 'character-device', 'block-device', 'whiteout'])
  }

  #name(): string {
    const random = this.#random
    if (random.chance(0.2)) return `n${random.below(1000)}`
    return random.pick(this.#options.anyBytes === false || random.chance(0.8) ? names : oddNames)
  }

  #make(type: string, path: string): void {
    const random = this.#random
    const bytes = Buffer.from(path, 'latin1')
    switch (type) {
      case 'directory':
        mkdirSync(bytes)
        this.#directories.push(path)
        break
      case 'file':
        this.#writeFile(bytes)
        break
      case 'symlink': {
        const target = random.chance(0.2) ? 't'.repeat(random.pick([255, 900, 1024])) : `../${this.#name()}`
        symlinkSync(Buffer.from(target, 'latin1'), bytes)
        break
      }
      case 'hardlink':
        if (this.#leaves.length === 0) return
        linkSync(Buffer.from(random.pick(this.#leaves), 'latin1'), bytes)
        this.#taken.add(path)
        return
      default: {
        const device = random.pick(devices)
        const bits = { fifo: S_IFIFO, socket: S_IFSOCK, 'block-device': S_IFBLK }[type] ?? S_IFCHR
        mknod(bytes, bits | 0o600, type.endsWith('device') ? makedev(device[0], device[1]) : 0)
      }
    }
    this.#taken.add(path)
    this.#all.push({ path, type })
    if (type !== 'directory' && type !== 'whiteout') this.#leaves.push(path)
  }

  #writeFile(path: Buffer): void {
    const random = this.#random
    const size = random.chance(0.03) ? random.pick(largeSizes) : random.pick(sizes)
    const fd = openSync(path, 'wx')
    if (random.chance(0.15)) {
      ftruncateSync(fd, size)
      if (size > 0) writeSync(fd, 'x', random.below(size))
    } else {
      writeSync(fd, Buffer.alloc(size, random.bytes(random.between(1, 9)), 'latin1'))
    }
    closeSync(fd)
  }

  #dress(path: string, type: string): void {
    const random = this.#random
    const bytes = Buffer.from(path, 'latin1')
    lchownSync(bytes, random.pick(ids), random.pick(ids))
    if (type !== 'symlink') chmodSync(bytes, random.pick(modes))
    if (random.chance(0.3)) this.#addXattrs(bytes, type)
    const seconds = this.#epoch + (random.chance(0.8) ? 0 : random.between(-2, 1000))
    setMtime(
      bytes,
      BigInt(this.#options.before1970 === false ? Math.max(0, seconds) : seconds),
      random.pick(nanoseconds),
    )
  }

  #addXattrs(path: Buffer, type: string): void {
    const random = this.#random
    const file = openSync(path, O_PATH | constants.O_NOFOLLOW)
    const set = (name: string, value: string) => setXattr(file, fromLatin1(name), Buffer.from(value, 'latin1'))
    const value = () => random.pick(['', 'a', '\0', random.bytes(30), 'v'.repeat(200)])
    const choices = [
      'trusted.t',
      'trusted.overlay.opaque',
      'trusted.overlay.redirect',
      'security.selinux',
      'security.odd',
    ]
    if (type === 'file' || type === 'directory') choices.push('user.a', 'user.b', 'user.a=b')
    if (type === 'file') choices.push('user.overlay.opaque')
    if (this.#options.anyBytes !== false) choices.push('trusted.\xff\xe9')
    for (let i = random.between(1, 4); i > 0; i--) set(random.pick(choices), value())
    if (type === 'file' && random.chance(0.5)) set('security.capability', capability)
    if (type === 'directory' && random.chance(0.3)) set('system.posix_acl_default', acl(random.below(8)))
    closeSync(file)
  }
}

function makedev(major: number, minor: number): number {
  return ((minor & 0xff) | ((major & 0xfff) << 8) | ((minor & 0xfff00) << 12)) >>> 0
}

/** An access control list with one user. */
function acl(permissions: number): ByteString {
  const entries = [
    [1, 7, -1],
    [2, permissions, 1000],
    [4, 5, -1],
    [0x10, 7, -1],
    [0x20, 5, -1],
  ] as const
  const bytes = Buffer.alloc(4 + 8 * entries.length)
  bytes.writeUInt32LE(2, 0)
  entries.forEach(([tag, permission, id], i) => {
    bytes.writeUInt16LE(tag, 4 + 8 * i)
    bytes.writeUInt16LE(permission, 6 + 8 * i)
    bytes.writeInt32LE(id, 8 + 8 * i)
  })
  return bytes.toString('latin1') as ByteString
}
