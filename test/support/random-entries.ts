import type { Random } from './random.ts'
import { entry, gnuLong, magics, type OddHeader, pax, paxRecord } from './tar.ts'

/** What an entry of a tar shall say, in whatever form. Texts are latin1. */
export interface EntryFields {
  readonly type: 'file' | 'directory' | 'symlink' | 'hardlink' | 'fifo' | 'character' | 'block'
  /** As it shall stand in the archive. */
  readonly path: string
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly mtime: number
  readonly nanoseconds?: number
  readonly target?: string
  readonly body?: Buffer
  readonly major?: number
  readonly minor?: number
  readonly xattrs?: readonly (readonly [name: string, value: Buffer])[]
}

type Format = 'v7' | 'ustar' | 'gnu' | 'pax'

const typeFlags = {
  directory: '5',
  symlink: '2',
  hardlink: '1',
  fifo: '6',
  character: '3',
  block: '4',
} as const

/** Bytes of the name and link name fields. */
const nameLength = 100
const prefixLength = 155

/** One entry in a form of the generator's choice: V7, ustar with its prefix, GNU with long names, PAX, or a mixture. */
export function randomEntry(random: Random, fields: EntryFields): Buffer {
  return new EntryWriter(random, fields).write()
}

/** A global PAX header, which has no effect on any entry. */
export function globalHeader(random: Random): Buffer {
  const id = random.hex(40)
  return pax(random.pick([{ comment: id }, { comment: id, uid: '77', mtime: '1.5' }]), {
    name: 'pax_global_header',
    type: 'g',
  })
}

class EntryWriter {
  readonly #random: Random
  readonly #fields: EntryFields
  readonly #format: Format
  readonly #header: OddHeader = {}
  readonly #long: Buffer[] = []
  readonly #records: [key: string, value: Buffer | string][] = []

  constructor(random: Random, fields: EntryFields) {
    this.#random = random
    this.#fields = fields
    const needsPax = fields.nanoseconds !== undefined || (fields.xattrs ?? []).length > 0
    this.#format = needsPax ? 'pax' : random.pick(this.#formats())
  }

  /** Devices have no numbers in V7, and long names no place. */
  #formats(): Format[] {
    const { type, path, target = '' } = this.#fields
    const fits = path.length <= nameLength && target.length <= nameLength
    return fits && type !== 'character' && type !== 'block' ? ['v7', 'ustar', 'gnu', 'pax'] : ['ustar', 'gnu', 'pax']
  }

  write(): Buffer {
    const random = this.#random
    const { path, type, target = '', mode, uid, gid, mtime, body = Buffer.alloc(0) } = this.#fields
    const header = this.#header
    const format = this.#format
    header.type = type === 'file' ? this.#fileType() : typeFlags[type]
    header.magic = format === 'v7' ? magics.v7 : format === 'gnu' ? magics.gnu : magics.ustar
    header.mode = this.#mode(mode)
    this.#number('uid', uid, 8)
    this.#number('gid', gid, 8)
    this.#time(mtime)
    this.#path(path)
    if (type === 'symlink' || type === 'hardlink') this.#target(target)
    if (type === 'character' || type === 'block') {
      header.major = this.#octal(this.#fields.major!, 8)
      header.minor = this.#octal(this.#fields.minor!, 8)
    }
    header.size = type === 'file' ? this.#size(body.length) : this.#octal(0, 12)
    // GNU tar keeps times where ustar has its prefix.
    if (format === 'gnu' && random.chance(0.2)) header.prefix = '14371203456\x0014371203457\0'
    for (const [name, value] of this.#fields.xattrs ?? []) this.#records.push([`SCHILY.xattr.${name}`, value])
    const extensions = this.#long
    if (this.#format === 'pax' && random.chance(0.3)) this.#idleRecords()
    if (this.#records.length > 0) extensions.push(this.#paxHeader())
    if (extensions.length > 1 && random.chance(0.5)) extensions.reverse()
    return Buffer.concat([...extensions, entry(header, body)])
  }

  #fileType(): string {
    return this.#format === 'v7' ? this.#random.pick(['0', '\0']) : this.#random.pick(['0', '0', '0', '0', '\0', '7'])
  }

  /** Some writers put the bits of the type beside those of the mode. */
  #mode(mode: number): Buffer {
    const bits = {
      file: 0o100000,
      directory: 0o40000,
      symlink: 0o120000,
      fifo: 0o10000,
      character: 0o20000,
      block: 0o60000,
    }
    const { type } = this.#fields
    const full = type !== 'hardlink' && this.#random.chance(0.1) ? mode | bits[type] : mode
    return this.#octal(full, 8)
  }

  /** Octal text as one writer or another has it: with zeros or blanks, ended by NUL, by a blank or by nothing. */
  #octal(value: number, width: number): Buffer {
    const digits = value.toString(8)
    const forms = [
      `${digits.padStart(width - 1, '0')}\0`,
      `${digits.padStart(width - 1, '0')} `,
      `${digits.padStart(width - 1, ' ')}\0`,
    ]
    if (digits.length <= width - 2) forms.push(`${digits.padStart(width - 2, ' ')} \0`, `${digits}\0`)
    if (value === 0) forms.push('')
    const unterminated = digits.padStart(width, '0')
    return Buffer.from(digits.length === width ? unterminated : this.#random.pick([...forms, unterminated]), 'latin1')
  }

  /** GNU's binary form: the first bit set, the rest big-endian. */
  #binary(value: number, width: number): Buffer {
    const bytes = Buffer.alloc(width)
    bytes.writeBigUInt64BE(BigInt(value), width - 8)
    bytes[0]! |= 0x80
    return bytes
  }

  #field(value: number, width: number): Buffer {
    const fits = value < 8 ** width
    const binary = !fits || (this.#format === 'gnu' && this.#random.chance(0.1))
    return binary ? this.#binary(value, width) : this.#octal(value, width)
  }

  #number(key: 'uid' | 'gid', value: number, width: number): void {
    const asRecord = this.#format === 'pax' && this.#random.chance(0.3)
    if (asRecord) this.#records.push([key, `${value}`])
    this.#header[key] = asRecord ? this.#octal(this.#random.below(1000), width) : this.#field(value, width)
  }

  #time(mtime: number): void {
    const random = this.#random
    const { nanoseconds } = this.#fields
    const asRecord = nanoseconds !== undefined || (this.#format === 'pax' && random.chance(0.3))
    this.#header.mtime = asRecord ? this.#octal(random.below(2 ** 31), 12) : this.#field(mtime, 12)
    if (!asRecord) return
    const digits = `${nanoseconds ?? 0}`.padStart(9, '0')
    // Zeros at the end may be left out, digits beyond the ninth count for nothing.
    const fraction = random.pick([digits, digits.replace(/0+$/, ''), `${digits}789`])
    this.#records.push(['mtime', nanoseconds === undefined && random.chance(0.5) ? `${mtime}` : `${mtime}.${fraction}`])
  }

  #path(path: string): void {
    const random = this.#random
    const ways: (() => void)[] = []
    const decoy = () => {
      this.#header.name = random.pick([path.slice(0, nameLength), 'somewhere/else'])
    }
    if (path.length <= nameLength) {
      const inHeader = () => {
        this.#header.name = path
      }
      ways.push(inHeader, inHeader, inHeader, inHeader)
    }
    const cut = this.#format === 'ustar' || this.#format === 'pax' ? prefixCut(path, random) : undefined
    if (cut !== undefined) {
      ways.push(() => {
        this.#header.prefix = path.slice(0, cut)
        this.#header.name = path.slice(cut + 1)
      })
    }
    if (this.#format === 'pax') {
      ways.push(() => {
        decoy()
        this.#records.push(['path', bytesOf(path)])
        // The stronger of the two.
        if (random.chance(0.1)) this.#long.push(gnuLong('L', 'not/this/one\0'))
      })
    }
    if (this.#format === 'gnu' || (this.#format === 'ustar' && ways.length === 0)) {
      ways.push(() => {
        decoy()
        this.#long.push(gnuLong('L', random.chance(0.9) ? `${path}\0` : path))
      })
    }
    random.pick(ways)()
  }

  #target(target: string): void {
    const random = this.#random
    const ways: (() => void)[] = []
    const cut = target.slice(0, nameLength)
    if (target.length <= nameLength) {
      const inHeader = () => {
        this.#header.linkName = target
      }
      ways.push(inHeader, inHeader)
    }
    if (this.#format === 'pax') {
      ways.push(() => {
        this.#header.linkName = random.pick([cut, 'decoy'])
        this.#records.push(['linkpath', bytesOf(target)])
      })
    } else if (this.#format !== 'v7') {
      ways.push(() => {
        this.#header.linkName = cut
        this.#long.push(gnuLong('K', random.chance(0.9) ? `${target}\0` : target))
      })
    }
    random.pick(ways)()
  }

  #size(size: number): Buffer {
    if (this.#format !== 'pax' || this.#random.chance(0.9)) return this.#field(size, 12)
    this.#records.push(['size', `${size}`])
    return this.#octal(this.#random.pick([0, size, size + 1000]), 12)
  }

  /** Records that say nothing about an image. */
  #idleRecords(): void {
    const random = this.#random
    const idle: [string, Buffer | string][] = [
      ['atime', '1700000000.25'],
      ['ctime', '1700000000'],
      ['uname', bytesOf('j\xf6rg')],
      ['gname', 'wheel'],
      ['comment', random.bytes(random.between(1, 40))],
      ['LIBARCHIVE.xattr.user.other', 'aGVsbG8'],
      ['RHT.security.selinux', 'system_u:object_r:etc_t:s0'],
    ]
    for (let i = random.between(1, 3); i > 0; i--) this.#records.push(random.pick(idle))
  }

  #paxHeader(): Buffer {
    const random = this.#random
    const records = this.#records
    for (let i = records.length - 1; i > 0; i--) {
      const j = random.below(i + 1)
      const other = records[i]!
      records[i] = records[j]!
      records[j] = other
    }
    // Of two records of a key the later one holds.
    const twice = records.find(([key]) => key === 'path' || key === 'uid')
    if (twice !== undefined && random.chance(0.1)) records.unshift([twice[0], '4711'])
    const size = 1 + random.below(90)
    return pax(Buffer.concat(records.map(([key, value]) => paxRecord(key, value))), {
      name: `PaxHeaders.${size}/${random.hex(4)}`,
      mtime: random.below(2 ** 31),
      ...(random.chance(0.2) && { magic: magics.gnu }),
    })
  }
}

/** Where a path can be cut into prefix and name, or undefined. */
function prefixCut(path: string, random: Random): number | undefined {
  const cuts: number[] = []
  for (let at = path.indexOf('/', 1); at > 0 && at <= prefixLength; at = path.indexOf('/', at + 1)) {
    const rest = path.length - at - 1
    if (rest > 0 && rest <= nameLength) cuts.push(at)
  }
  return cuts.length === 0 ? undefined : random.pick(cuts)
}

function bytesOf(text: string): Buffer {
  return Buffer.from(text, 'latin1')
}
