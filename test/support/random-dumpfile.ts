/**
 * Random dumpfiles from a seed: every feature that mkcomposefs accepts, or the part of it that cfsctl treats alike.
 */

import { Random } from './random.ts'
import { type Flavour, flavours, RandomFields } from './random-fields.ts'

export interface RandomDumpfileOptions {
  /** Only what cfsctl's mkcomposefs takes and means the same by. */
  rust?: boolean
}

export interface RandomDumpfile {
  readonly text: Buffer
  /** Whether it has a whiteout (a character device 0:0). */
  readonly whiteouts: boolean
}

interface Node {
  readonly name: string
  readonly type: 'file' | 'directory' | 'symlink' | 'character' | 'block' | 'fifo' | 'socket' | 'link'
  readonly children: Node[]
  /** What follows PATH; nothing for links. */
  line: string
  path: string
  target: Node | undefined
  nlink: number
}

const typeBits = {
  file: 0o100000,
  directory: 0o040000,
  symlink: 0o120000,
  character: 0o020000,
  block: 0o060000,
  fifo: 0o010000,
  socket: 0o140000,
  link: 0o100000,
} as const

const awkwardNames = [
  '!x',
  '+',
  '-',
  '.-',
  '...',
  '..a',
  '.a',
  '.wh.x',
  '=',
  '\\',
  'a=b',
  ' ',
  '\n',
  '\t\r',
  '\x7f',
  '\xff',
  '@',
  '#',
  '\x01',
]

/** Makes one dumpfile. */
export function randomDumpfile(seed: number, options: RandomDumpfileOptions = {}): RandomDumpfile {
  return new Generator(new Random(seed), options.rust ?? false).make()
}

class Generator {
  readonly #random: Random
  readonly #rust: boolean
  readonly #flavour: Flavour
  readonly #leaves: Node[] = []
  readonly #fields: RandomFields
  #budget: number
  #whiteouts = false

  constructor(random: Random, rust: boolean) {
    this.#random = random
    this.#rust = rust
    this.#flavour = random.pick(flavours)
    this.#budget = this.#flavour === 'wide' ? random.between(50, 400) : random.between(0, 60)
    this.#fields = new RandomFields(random, rust, this.#flavour)
  }

  make(): RandomDumpfile {
    const root = this.#node('', 'directory')
    this.#fill(root, 0)
    this.#addLinks(root)
    const lines: string[] = []
    if (this.#rust || this.#random.chance(0.5)) this.#sorted(root, lines)
    else this.#shuffled(root, lines)
    let text = `${lines.join('\n')}\n`
    if (!this.#rust && this.#random.chance(0.05)) text = text.slice(0, -1)
    return { text: Buffer.from(text, 'latin1'), whiteouts: this.#whiteouts }
  }

  #fill(parent: Node, depth: number): void {
    const random = this.#random
    const names = new Set<string>()
    const wide = this.#flavour === 'wide' && random.chance(0.7)
    let count = wide ? this.#budget : random.between(0, 12)
    // Long names fill the blocks of a directory with few entries.
    const long = wide && random.chance(0.6)
    while (count-- > 0 && this.#budget > 0) {
      this.#budget--
      const name = this.#name(depth, long)
      if (names.has(name)) continue
      names.add(name)
      const node = this.#node(name, this.#type(depth))
      parent.children.push(node)
      if (node.type === 'directory') this.#fill(node, depth + 1)
      else this.#leaves.push(node)
    }
    // The rest of a deep tree hangs on one branch.
    if (this.#flavour === 'deep' && this.#budget > 0 && depth < (this.#rust ? 15 : 60) && !names.has('deeper')) {
      this.#budget--
      const node = this.#node('deeper', 'directory')
      parent.children.push(node)
      this.#fill(node, depth + 1)
    }
  }

  #type(depth: number): Exclude<Node['type'], 'link'> {
    const random = this.#random
    if (this.#flavour === 'symlinks' && random.chance(0.5)) return 'symlink'
    if (this.#flavour === 'whiteouts' && random.chance(0.4)) return 'character'
    if (random.chance(0.5)) return 'file'
    if (depth < 8 && random.chance(0.4)) return 'directory'
    return random.pick(['file', 'symlink', 'symlink', 'character', 'block', 'fifo', 'socket'])
  }

  #name(depth: number, long: boolean): string {
    const random = this.#random
    if (depth === 0 && random.chance(this.#flavour === 'whiteouts' ? 0.4 : 0.05)) return random.hex(2)
    if (long) return `${random.hex(8)}${'n'.repeat(random.between(0, 240))}`
    if (random.chance(0.1)) return random.pick(awkwardNames)
    if (random.chance(0.05)) return 'n'.repeat(random.pick([1, 127, 254, 255]))
    if (random.chance(0.1)) {
      const name = random.bytes(random.between(1, 20)).replaceAll(/[\0/]/g, 'x')
      return name === '.' || name === '..' ? 'x' : name
    }
    return random.hex(random.between(1, 12))
  }

  #node(name: string, type: Node['type']): Node {
    const node: Node = { name, type, children: [], line: '', path: '', target: undefined, nlink: 1 }
    if (type !== 'link') node.line = this.#line(node)
    return node
  }

  /** The fields after PATH, with `NLINK` left open: it may have to count the links. */
  #line(node: Node): string {
    const random = this.#random
    const type = node.type
    let size = '0'
    let rdev = '0'
    let payload = '-'
    let content = '-'
    let digest = '-'
    let mode = typeBits[type] | random.pick([0o644, 0o755, 0o600, 0o4755, 0o2755, 0o1777, 0, 0o7777])
    if (type === 'directory') {
      if (random.chance(0.5)) size = String(random.pick([4096, 27, 2 ** 40]))
    } else if (type === 'symlink') {
      const target = this.#fields.target()
      payload = this.#fields.optional(target)
      size = this.#rust || random.chance(0.8) ? String(target.length) : String(random.below(9000))
    } else if (type === 'file') {
      ;[size, payload, content, digest] = this.#fields.file()
    } else if (type === 'character' || type === 'block') {
      const whiteout = type === 'character' && random.chance(this.#flavour === 'whiteouts' ? 0.8 : 0.3)
      rdev = String(whiteout ? 0 : random.pick([1, 259, 2049, 65535, 1048320, 4294967295]))
      if (whiteout) {
        this.#whiteouts = true
        // One with the mode of a stub is taken for a stub by cfsctl.
        if (this.#rust) mode = typeBits.character | random.pick([0o600, 0, 0o755])
      }
    }
    const hasSize = type === 'file' || type === 'directory' || type === 'symlink'
    if (!this.#rust && !hasSize && random.chance(0.2)) {
      size = random.pick(['1', '4294967295', '4294967296', '9007199254740993', '18446744073709551615'])
    }
    if (!this.#rust && type !== 'character' && type !== 'block' && random.chance(0.05)) rdev = '77'
    const owners = `${this.#fields.owner()} ${this.#fields.owner()}`
    const text = `${size} ${mode.toString(8)} NLINK ${owners} ${rdev} ${this.#fields.time()}`
    return `${text} ${payload} ${content} ${digest}${this.#fields.xattrs(node.name === '')}`
  }

  /** Gives some leaves further names: later in the order for cfsctl, otherwise anywhere, also over other links. */
  #addLinks(root: Node): void {
    const random = this.#random
    const directories: Node[] = []
    const collect = (node: Node) => {
      if (node.type === 'directory') directories.push(node)
      for (const child of node.children) collect(child)
    }
    collect(root)
    const targets = [...this.#leaves]
    const count = targets.length === 0 ? 0 : this.#flavour === 'links' ? random.between(1, 20) : random.below(3)
    for (let i = 0; i < count; i++) {
      const target = random.pick(targets)
      const whiteout = target.type === 'character' && / 0 \S+ - - -/.test(target.line)
      if (this.#rust && whiteout) continue
      const parent = random.pick(directories)
      const name = `${this.#rust ? '' : random.pick(['', '~', '!'])}l${i}`
      if (parent.children.some((child) => child.name === name)) continue
      const link = this.#node(name, 'link')
      link.target = target
      parent.children.push(link)
      target.nlink++
      // Chains, for the C tool only.
      if (!this.#rust && random.chance(0.3)) targets.push(link)
    }
  }

  /** Depth first in the order of the names, as every writer prints it. For cfsctl the first name is the inode's own. */
  #sorted(root: Node, lines: string[]): void {
    const order: Node[] = []
    const visit = (node: Node, path: string) => {
      node.path = path
      order.push(node)
      node.children.sort((a, b) => (a.name < b.name ? -1 : 1))
      for (const child of node.children) visit(child, join(path, child.name))
    }
    visit(root, '/')
    if (this.#rust) this.#swapFirstNames(order)
    for (const node of order) lines.push(this.#print(node))
  }

  /** Makes the first name of each inode its own, and the name that was it a link. */
  #swapFirstNames(order: Node[]): void {
    const first = new Map<Node, Node>()
    for (const node of order) {
      if (node.type === 'directory') continue
      const inode = node.target ?? node
      if (!first.has(inode)) first.set(inode, node)
    }
    for (const [inode, owner] of first) if (owner !== inode) [inode.path, owner.path] = [owner.path, inode.path]
    order.sort((a, b) => comparePaths(a.path, b.path))
  }

  /** Any order in which directories come before what is in them. */
  #shuffled(root: Node, lines: string[]): void {
    const visit = (node: Node, path: string) => {
      node.path = path
      for (const child of node.children) visit(child, join(path, child.name))
    }
    visit(root, '/')
    const ready = [root]
    for (let node = ready.pop(); node !== undefined; node = ready.splice(this.#random.below(ready.length), 1)[0]) {
      lines.push(this.#print(node))
      ready.push(...node.children)
    }
  }

  #print(node: Node): string {
    const random = this.#random
    let path = this.#fields.escape(node.path, '')
    if (!this.#rust && node.path !== '/' && random.chance(0.02)) {
      path = random.pick([path.slice(1), `/${path}`, path.replaceAll('/', '//'), path.replaceAll('/', '\\x2f')])
    }
    if (node.target === undefined) {
      const counts = this.#flavour === 'owners' ? [1, 1, 2, 0, 65535, 65536, 4294967295] : [node.nlink, 1]
      const nlink = this.#rust || node.type === 'directory' ? node.nlink : random.pick(counts)
      const line = `${path} ${node.line.replace('NLINK', String(nlink))}`
      // Only an empty file can do without its last fields.
      const bare = !this.#rust && / - - -$/.test(line) && / 100\d+ /.test(line) && node.line.startsWith('0 ')
      return bare && random.chance(0.1) ? line.replace(/ - - -$/, random.pick(['', ' -', ' - -', ' - - '])) : line
    }
    const target = this.#fields.escape(node.target.path, '')
    if (this.#rust) return `${path} 0 @120000 - - - - 0.0 ${target} - -`
    const before = random.pick(['0 @120000 - - - - 0.0', 'x @100644 y y y y y'])
    return `${path} ${before} ${target}${random.pick(['', '', '/'])}${random.pick([' - -', '', ' a b c d'])}`
  }
}

function join(directory: string, name: string): string {
  return directory === '/' ? `/${name}` : `${directory}/${name}`
}

/** Orders paths as a walk through a sorted tree meets them: by component. */
function comparePaths(a: string, b: string): number {
  const left = a.split('/')
  const right = b.split('/')
  for (let i = 0; i < left.length && i < right.length; i++) {
    if (left[i] !== right[i]) return left[i]! < right[i]! ? -1 : 1
  }
  return left.length - right.length
}
