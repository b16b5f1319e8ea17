/**
 * Random fields of a dumpfile's lines.
 */
import type { Random } from './random.ts'

/** What a dumpfile is mostly about, so that each corner is met often and not thinly. */
export const flavours = [
  'plain',
  'xattrs',
  'wide',
  'deep',
  'inline',
  'symlinks',
  'sizes',
  'whiteouts',
  'links',
  'owners',
] as const
export type Flavour = (typeof flavours)[number]

const labels = ['root_t', 'usr_t', 'lib_t', 'bin_t', 'etc_t'].map((type) => `system_u:object_r:${type}:s0\0`)
const plainXattrs = [
  'user.a',
  'user.b',
  'user.c',
  'security.capability',
  'security.ima',
  'trusted.t',
  'btrfs.x',
  'lustre.lov',
]
const awkwardXattrs = [
  'trusted.overlay.redirect',
  'trusted.overlay.metacopy',
  'trusted.overlay.overlay.opaque',
  'trusted.overlay.overlay.overlay.x',
  'trusted.overlay.',
  'trusted.overlayX',
  'user.overlay.redirect',
  'user.',
  'trusted.',
  'security.',
  'system.x',
  'nodot',
  'system.posix_acl_access',
  'system.posix_acl_default',
]
/** cfsctl takes these for its own markers, or counts them differently. */
const cOnlyXattrs = [
  'system.posix_acl_access.x',
  'system.posix_acl_defaultx',
  'trusted.overlay.opaque',
  'trusted.overlay.whiteout',
  'user.overlay.whiteouts',
]

/** Makes the fields of one dumpfile; `rust` keeps to what cfsctl means the same by. */
export class RandomFields {
  readonly #random: Random
  readonly #rust: boolean
  readonly #flavour: Flavour
  readonly #usualTime: string | undefined
  /** Pairs of xattrs that many inodes get, so that they are shared. */
  readonly #common: readonly string[]

  constructor(random: Random, rust: boolean, flavour: Flavour) {
    this.#random = random
    this.#rust = rust
    this.#flavour = flavour
    this.#usualTime = this.time()
    const count = flavour === 'xattrs' && random.chance(0.3) ? (rust ? 100 : 300) : random.below(8)
    this.#common = Array.from({ length: count }, () => this.#xattr())
  }

  owner(): string {
    return String(this.#random.pick(this.#flavour === 'owners' ? [0, 65535, 65536, 4294967295, 1000] : [0, 0, 1000]))
  }

  time(): string {
    const random = this.#random
    // Times equal to the smallest one decide how an inode is stored.
    if (this.#usualTime !== undefined && random.chance(0.6)) return this.#usualTime
    const times = ['0.0', '1700000000.0', '1700000000.123456789', '1699999999.999999999', '4294967296.1', '1.1']
    const early = [
      '-1.0',
      '-1.999999999',
      '-2208988800.5',
      '-9223372036854775808.0',
      '9223372036854775807.1',
      '5.4294967295',
    ]
    return random.pick(!this.#rust && random.chance(0.1) ? early : times)
  }

  target(): string {
    const random = this.#random
    const longest = this.#rust ? 1024 : 4095
    const lengths = [1, 2, 10, 100, 500, 1000, 2000, 3900, 3980, 4000, 4010, 4020, 4031, 4032, 4064, 4094, 4095]
    const length = this.#flavour === 'symlinks' ? random.pick(lengths) : random.between(1, 40)
    const target = random.chance(0.2)
      ? random.bytes(length).replaceAll('\0', 'x')
      : '../t'.repeat(length).slice(0, length)
    return random.chance(0.02) ? '-' : target.slice(0, longest)
  }

  /** SIZE, PAYLOAD, CONTENT and DIGEST of a regular file. */
  file(): [string, string, string, string] {
    const random = this.#random
    const hex = random.hex(64)
    const object = `${hex.slice(0, 2)}/${hex.slice(2)}`
    if (random.chance(this.#flavour === 'inline' ? 0.8 : 0.3)) {
      const lengths = [0, 1, 2, 64, 65, 511, 512, 2047, 2048, 2049, 4000, 4095, 4096, 4097, 4999, 5000]
      const longest = this.#rust ? 512 : 5000
      let length = Math.min(this.#flavour === 'inline' ? random.pick(lengths) : random.between(0, 64), longest)
      const content = random.chance(0.05) ? '-' : random.chance(0.3) ? random.bytes(length) : 'c'.repeat(length)
      length = content.length
      // Content goes before everything else; cfsctl sees it differently.
      if (!this.#rust && random.chance(0.1)) return [`${length}`, 'pay/load', this.optional(content), hex]
      return [`${length}`, '-', this.optional(content), '-']
    }
    const sizes = [
      1,
      4096,
      4097,
      65536,
      2 ** 32,
      2 ** 32 + 1,
      2 ** 43,
      2 ** 43 + 1,
      2 ** 50,
      1016 * 2 ** 43,
      1017 * 2 ** 43,
      2 ** 53,
    ]
    const size = String(this.#flavour === 'sizes' ? random.pick(sizes) : random.between(1, 1_000_000))
    const kind = random.below(10)
    if (kind < 6) return [size, object, '-', hex]
    if (kind === 6) return [size, object, '-', '-']
    if (kind === 7 || this.#rust) return [size, '-', '-', '-']
    if (kind === 8) {
      const odd = this.optional(`${random.hex(4)} x/-`)
      return [random.pick([size, '0']), odd, '-', random.pick([hex.toUpperCase(), '-'])]
    }
    return [size, random.pick(['-', '', '/abs/x']), '-', hex]
  }

  #xattr(): string {
    const random = this.#random
    const names = random.chance(0.3) ? (this.#rust || random.chance(0.8) ? awkwardXattrs : cOnlyXattrs) : plainXattrs
    let name = this.#flavour === 'xattrs' && random.chance(0.5) ? `user.${random.hex(6)}` : random.pick(names)
    if (random.chance(0.02)) name = `user.${'k'.repeat(250)}`
    // Values on names that the writer sets itself make the C tool fail by chance; empty ones do not.
    const empty = cOnlyXattrs.includes(name) || random.chance(0.1)
    const value = empty
      ? ''
      : random.chance(0.3)
        ? random.bytes(random.between(1, 30))
        : random.hex(random.pick([1, 2, 8, 100]))
    return `${this.escape(name, '=')}=${this.escape(value, random.chance(0.5) ? '=' : '')}`
  }

  xattrs(isRoot: boolean): string {
    const random = this.#random
    const pairs = new Map<string, string>()
    const add = (pair: string) => pairs.set(pair.slice(0, pair.indexOf('=')), pair)
    if (random.chance(isRoot ? 0.5 : 0.3)) add(`security.selinux=${this.escape(random.pick(labels), '')}`)
    if (this.#flavour === 'xattrs') {
      const share = random.pick([0, 0.5, 1])
      for (const pair of this.#common) if (random.chance(share)) add(pair)
      for (let i = random.below(5); i > 0; i--) add(this.#xattr())
      if (random.chance(0.02)) add(`user.large=${'v'.repeat(random.pick([4000, 20000]))}`)
    } else if (random.chance(0.2)) {
      add(this.#common.length > 0 && random.chance(0.5) ? random.pick(this.#common) : this.#xattr())
    }
    const list = [...pairs.values()]
    if (this.#rust) return list.map((pair) => ` ${pair}`).join('')
    // Of two values the later one holds.
    if (list.length > 0 && random.chance(0.03)) list.unshift(`${list[0]!.split('=')[0]}=`)
    return `${list.map((pair) => ` ${pair}`).join('')}${random.chance(0.02) ? ' ' : ''}`
  }

  /** `-` means absent, so that a lone dash is written differently. */
  optional(text: string): string {
    return text === '-' ? '\\x2d' : this.escape(text, '')
  }

  escape(text: string, also: string): string {
    const random = this.#random
    let escaped = ''
    for (const char of text) {
      const code = char.charCodeAt(0)
      const hex = `\\x${code.toString(16).padStart(2, '0')}`
      if (char === '\\') escaped += '\\\\'
      else if (char === '\n') escaped += '\\n'
      else if (char === ' ' || code === 0 || also.includes(char)) escaped += hex
      else if (char === '\t' || char === '\r') escaped += random.chance(0.5) ? `\\${char === '\t' ? 't' : 'r'}` : hex
      else if (code < 0x20 || code >= 0x7f) escaped += !this.#rust && random.chance(0.3) && code > 0x20 ? char : hex
      else escaped += char
    }
    return escaped
  }
}
