import { Random } from './random.ts'
import { type EntryFields, globalHeader, randomEntry } from './random-entries.ts'

/*
 * Left out on purpose, since the reference implementation is known to be wrong about it or since two readings are right:
 * a whiteout or opaque marker after what its own layer wrote there; times before 1970; sizes of entries that have no
 * contents; V7 files whose name ends in a slash; names of 256 bytes; symlinks with no target, with one above 4095 bytes
 * or with one that no kernel reads from an image of version 2 (about 4000 bytes and more); hardlinks to whiteouts; ids
 * above 32 bits; zero blocks between entries; sparse files.
 */

interface Directory {
  readonly kind: 'directory'
  readonly children: Map<string, Node>
}

interface Leaf {
  readonly kind: 'leaf'
  /** A character device 0:0 is a whiteout to overlayfs. */
  readonly isWhiteout: boolean
}

type Node = Directory | Leaf

/** A directory and where it lies: '' for the root, otherwise with a slash at the end. */
interface Place {
  readonly path: string
  readonly directory: Directory
}

const names = [
  ...['a', 'b', 'c', 'd', 'bin', 'lib', 'data', 'etc', 'file', 'x', 'y', 'z', 'A', 'B', '-', '=', 'a=b', '#', '~'],
  ...[
    'with space',
    ' ',
    'new\nline',
    'tab\tbed',
    'back\\slash',
    '\\x41',
    '"',
    "it's",
    '*',
    '\r',
    '\x01',
    '\x7f',
    '%2F',
  ],
  ...['...', '..a', '.a', '.hidden', '.wh', 'a.wh.b', '__proto__', 'constructor', 'toString', '00', '7f', 'ff', 'fff'],
  ...['\xe9', '\xff\xfe', '\xc3\xa4', '\xe5\x90\x8d\xe5\x89\x8d', '\xf0\x9f\x98\x80', '\xc3', '\x80', 'e\xcc\x81'],
  ...['run', 'boot', 'sysroot', 'usr', 'x86_64', 'n'.repeat(99), 'm'.repeat(101), 'k'.repeat(156), 'l'.repeat(255)],
]
const sizes = [0, 0, 1, 2, 10, 63, 64, 65, 66, 128, 511, 512, 513, 1023, 1024, 1025, 4095, 4096, 4097, 8192, 12289]
const modes = [0o644, 0o644, 0o755, 0o600, 0o4755, 0o2750, 0o1777, 0o7777, 0]
const ids = [0, 0, 0, 0, 1, 1000, 65534, 65535, 65536, 2 ** 21 - 1, 2 ** 21, 3000000, 2 ** 31, 2 ** 32 - 1]
const xattrNames = [
  ...[
    'security.capability',
    'security.capability',
    'user.a',
    'user.b',
    'user.a=b',
    'user.overlay.opaque',
    'user.\xc3\xa4',
  ],
  ...['security.selinux', 'trusted.t', 'trusted.overlay.opaque', 'system.posix_acl_access', 'lustre.lov', 'odd'],
]
const capability = '\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0'

/** Layers, the lowest first, that make an image together: tars of every dialect. The same seed gives the same bytes. */
export function randomLayers(seed: number): Buffer[] {
  return new StackWriter(new Random(seed)).layers()
}

class StackWriter {
  readonly #random: Random
  readonly #root: Directory = newDirectory()
  /** Some stacks have many attributes, wide directories or deep ones. */
  readonly #flavour: 'plain' | 'xattrs' | 'wide' | 'deep'
  /** Times near each other, so that some inodes have the oldest one of all. */
  readonly #epoch: number
  #parts: Buffer[] = []
  /** Names that the layer at hand has written, and those of the directories above them. */
  #own = new Map<Directory, Set<string>>()
  #last: EntryFields | undefined

  constructor(random: Random) {
    this.#random = random
    this.#flavour = random.pick(['plain', 'plain', 'xattrs', 'wide', 'deep'])
    this.#epoch = random.pick([0, 1, 1_700_000_000, 1_767_225_600, 2 ** 31, 2 ** 32 + 5])
  }

  layers(): Buffer[] {
    const random = this.#random
    const layers: Buffer[] = []
    for (let i = random.between(1, 4); i > 0; i--) layers.push(this.#layer(layers.length === 0))
    // Builders leave empty layers behind, the same one more than once.
    if (random.chance(0.1)) for (let i = random.between(1, 2); i > 0; i--) layers.push(Buffer.alloc(1024))
    return layers
  }

  #layer(isFirst: boolean): Buffer {
    const random = this.#random
    this.#parts = []
    this.#own = new Map()
    this.#last = undefined
    if (random.chance(0.1)) this.#parts.push(globalHeader(random))
    if (random.chance(0.4)) this.#rootEntry()
    if (isFirst) {
      this.#makeDirectory(this.#place(''), 'usr')
      if (random.chance(0.3)) this.#makeDirectory(this.#place(''), 'run')
    }
    let count = random.between(1, 25)
    while (count-- > 0) this.#something()
    if (this.#flavour === 'wide' && random.chance(0.5)) this.#wide()
    if (this.#flavour === 'deep') this.#deep()
    return Buffer.concat([...this.#parts, this.#end()])
  }

  #end(): Buffer {
    const random = this.#random
    const ended = Buffer.alloc(1024)
    // Without end blocks only after contents: of others the reference loses the last entry.
    if ((this.#last?.body?.length ?? 0) > 0 && random.chance(0.1)) return Buffer.alloc(0)
    const length = this.#parts.reduce((sum, part) => sum + part.length, 1024)
    const record = Buffer.alloc((10240 - (length % 10240)) % 10240)
    const junk = Buffer.from(random.bytes(random.between(1, 700)), 'latin1')
    return Buffer.concat([ended, ...random.pick([[], [], [record], [record], [junk], [this.#parts[0] ?? junk]])])
  }

  #something(): void {
    const random = this.#random
    const roll = random.below(100)
    const place = random.pick(this.#places())
    if (roll < 30) this.#file(place, this.#freeName(place))
    else if (roll < 45) this.#makeDirectory(place, this.#directoryName(place))
    else if (roll < 53) this.#symlink(place, this.#freeName(place))
    else if (roll < 60) this.#special(place, this.#freeName(place))
    else if (roll < 71) this.#hardlink(place, this.#freeName(place))
    else if (roll < 80) this.#replace(place)
    else if (roll < 93) this.#whiteout(place)
    else if (roll < 97) this.#opaque(place)
    else this.#rootEntry()
  }

  #wide(): void {
    const random = this.#random
    const place = random.pick(this.#places())
    const length = random.pick([3, 8, 14, 40])
    for (let i = random.pick([100, 250, 400]); i > 0; i--) {
      this.#leaf(place, `${i}`.padEnd(length, 'e'), { type: 'file', body: Buffer.from('e'.repeat(i % 4)) })
    }
  }

  #deep(): void {
    const random = this.#random
    let place = random.pick(this.#places())
    for (let i = random.between(3, 8); i > 0; i--) {
      place = this.#makeDirectory(place, this.#directoryName(place))
      if (place.path.length > 600) break
    }
    this.#file(place, this.#freeName(place))
  }

  #file(place: Place, name: string): void {
    this.#leaf(place, name, { type: 'file', body: this.#body() })
  }

  #symlink(place: Place, name: string): void {
    const random = this.#random
    const odd = ['.', '..', '/', '../../usr', 'b\xff\xfe', 'new\nline', ' ', '-', 'x'.repeat(99), 'x'.repeat(100)]
    const long = 't/'.repeat(random.pick([51, 128, 500, 1024, 1600])).slice(random.below(3))
    this.#leaf(place, name, {
      type: 'symlink',
      mode: 0o777,
      target: random.chance(0.1) ? long : random.pick([...odd, 'file', '/usr/a']),
    })
  }

  #special(place: Place, name: string): void {
    const random = this.#random
    const type = random.pick(['fifo', 'character', 'block'] as const)
    const major = random.pick([0, 1, 5, 259, 4095])
    const minor = random.pick([0, 3, 255, 256, 70000, 2 ** 20 - 1])
    this.#leaf(place, name, type === 'fifo' ? { type } : { type, major, minor })
  }

  #hardlink(place: Place, name: string): void {
    const random = this.#random
    const found = this.#leaves()
    if (found.length === 0) {
      this.#file(place, name)
      return
    }
    const { path, leaf } = random.pick(found)
    // What the header says of owner and mode does not count.
    this.#emit({ type: 'hardlink', target: this.#spelled(path), ...this.#stat() }, place.path + name)
    this.#put(place, name, leaf)
  }

  /** One thing in the place of another. */
  #replace(place: Place): void {
    const { children } = place.directory
    const others = [...children.keys()].filter((name) => place.path !== '' || (name !== 'usr' && name !== 'run'))
    const old = this.#random.pick([...others, this.#freeName(place)])
    const kinds = [this.#file, this.#symlink, this.#special, this.#hardlink, this.#makeDirectory]
    this.#random.pick(kinds).call(this, place, old)
  }

  #whiteout(place: Place): void {
    const random = this.#random
    const own = this.#own.get(place.directory)
    const hidden = [...place.directory.children.keys()].filter((name) => own?.has(name) !== true)
    const name = random.pick(random.chance(0.9) && hidden.length > 0 ? hidden : ['never-was', '', '.wh.plnk', 'a'])
    if (own?.has(name) || (place.path === '' && name === 'usr') || name.length > 251) return
    this.#marker(place, `.wh.${name}`)
    place.directory.children.delete(name)
    if (random.chance(0.3) && name !== '' && !name.startsWith('.wh.')) this.#anything(place, name)
  }

  #opaque(place: Place): void {
    if ((this.#own.get(place.directory)?.size ?? 0) > 0) return
    this.#marker(place, '.wh..wh..opq')
    place.directory.children.clear()
    if (place.path === '') this.#makeDirectory(place, 'usr')
    else if (this.#random.chance(0.6)) this.#anything(place, this.#freeName(place))
  }

  #anything(place: Place, name: string): void {
    const isRun = place.path === '' && name === 'run'
    const kinds = isRun ? [this.#makeDirectory] : [this.#file, this.#symlink, this.#makeDirectory]
    this.#random.pick(kinds).call(this, place, name)
  }

  /** A file that is none: its name says what to hide. Its type does not count. */
  #marker(place: Place, name: string): void {
    const random = this.#random
    const empty = { type: 'file', body: Buffer.alloc(0) } as const
    const others = [
      { type: 'file', body: this.#body() },
      { type: 'directory' },
      { type: 'character', major: 0, minor: 0 },
    ] as const
    this.#mark(place)
    this.#emit({ ...this.#stat(), ...(random.chance(0.8) ? empty : random.pick(others)) }, place.path + name)
  }

  #rootEntry(): void {
    const stat = this.#stat()
    this.#last = undefined
    this.#parts.push(
      randomEntry(this.#random, { ...stat, type: 'directory', path: this.#random.pick(['./', '/', '.', './/.']) }),
    )
  }

  #makeDirectory(place: Place, name: string): Place {
    this.#emit(
      { ...this.#stat(), type: 'directory', mode: this.#random.pick([0o755, 0o700, 0o1777, 0o2755, 0]) },
      place.path + name,
    )
    const existing = place.directory.children.get(name)
    const directory = existing?.kind === 'directory' ? existing : newDirectory()
    this.#put(place, name, directory)
    return { path: `${place.path}${name}/`, directory }
  }

  #leaf(place: Place, name: string, fields: Pick<EntryFields, 'type'> & Partial<EntryFields>): void {
    this.#emit({ ...this.#stat(), ...fields }, place.path + name)
    const isWhiteout = fields.type === 'character' && fields.major === 0 && fields.minor === 0
    this.#put(place, name, { kind: 'leaf', isWhiteout })
  }

  #emit(fields: Omit<EntryFields, 'path'>, path: string): void {
    const spelled = this.#spelled(path)
    const slash = fields.type === 'directory' ? this.#random.pick(['/', '/', '/', '', '//']) : ''
    this.#last = { ...fields, path: spelled + slash }
    this.#parts.push(randomEntry(this.#random, this.#last))
  }

  #put(place: Place, name: string, node: Node): void {
    place.directory.children.set(name, node)
    this.#mark(place, name)
  }

  /** Notes that the layer has written below a directory. */
  #mark(place: Place, name?: string): void {
    const parts = place.path.split('/').slice(0, -1)
    let directory = this.#root
    for (const part of parts) {
      this.#ownOf(directory).add(part)
      directory = directory.children.get(part) as Directory
    }
    if (name !== undefined) this.#ownOf(directory).add(name)
  }

  #ownOf(directory: Directory): Set<string> {
    const own = this.#own.get(directory) ?? new Set()
    this.#own.set(directory, own)
    return own
  }

  /** The same path in other words. */
  #spelled(path: string): string {
    const random = this.#random
    const begin = random.chance(0.3) ? random.pick(['./', '/', '//', './/', '/./']) : ''
    return begin + (random.chance(0.05) ? path.replace('/', random.pick(['//', '/./'])) : path)
  }

  #stat(): Pick<EntryFields, 'mode' | 'uid' | 'gid' | 'mtime' | 'nanoseconds' | 'xattrs'> {
    const random = this.#random
    const isPlain = random.chance(0.7)
    return {
      mode: random.pick(modes),
      uid: isPlain ? 0 : random.pick(ids),
      gid: isPlain ? 0 : random.pick(ids),
      mtime: this.#epoch + random.pick([0, 0, 0, 1, 86400, 2 ** 33]),
      ...(random.chance(0.1) && {
        nanoseconds: random.pick([0, 1, 500_000_000, 999_999_999, random.below(1_000_000_000)]),
      }),
      ...(random.chance(this.#flavour === 'xattrs' ? 0.7 : 0.05) && { xattrs: this.#xattrs() }),
    }
  }

  #xattrs(): [string, Buffer][] {
    const random = this.#random
    const found = new Map<string, Buffer>()
    for (let i = random.between(1, 4); i > 0; i--) {
      const name = random.chance(0.05) ? `user.${'k'.repeat(random.pick([1, 100, 250]))}` : random.pick(xattrNames)
      const value = random.pick([
        capability,
        capability,
        '',
        'v',
        '=\n\0\xff',
        random.bytes(random.between(1, 60)),
        'long'.repeat(80),
      ])
      found.set(name, Buffer.from(value, 'latin1'))
    }
    return [...found]
  }

  #body(): Buffer {
    const random = this.#random
    const size = random.pick(sizes)
    // Few different contents, so that some are stored once and named often.
    if (random.chance(0.5)) return Buffer.alloc(size, random.pick(['', 'a', 'content ']))
    return Buffer.from(random.bytes(size), 'latin1')
  }

  #freeName(place: Place): string {
    const name = this.#name()
    return place.path === '' && (name === 'usr' || name === 'run') ? `${name}-` : name
  }

  #directoryName(place: Place): string {
    const name = this.#name()
    return place.path.length + name.length > 700 ? name.slice(0, 4) : name
  }

  #name(): string {
    const random = this.#random
    if (random.chance(0.8)) return random.pick(names)
    const name = random.bytes(random.between(1, 12)).replace(/[\0/]/g, '_')
    return name === '.' || name === '..' || name.startsWith('.wh.') ? '_' : name
  }

  #place(path: string): Place {
    return { path, directory: this.#root }
  }

  #places(): Place[] {
    const places: Place[] = [this.#place('')]
    for (const { path, directory } of places) {
      for (const [name, node] of directory.children) {
        if (node.kind === 'directory') places.push({ path: `${path}${name}/`, directory: node })
      }
    }
    return places
  }

  /** What can be linked to. */
  #leaves(): { path: string; leaf: Leaf }[] {
    return this.#places().flatMap(({ path, directory }) =>
      [...directory.children].flatMap(([name, node]) =>
        node.kind === 'leaf' && !node.isWhiteout ? [{ path: path + name, leaf: node }] : [],
      ),
    )
  }
}

function newDirectory(): Directory {
  return { kind: 'directory', children: new Map() }
}
