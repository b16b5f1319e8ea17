/**
 * One line of a dumpfile, taken apart (spec: dumpfile, sections 1, 2 and 6).
 *
 * @packageDocumentation
 */
import { type ByteString, printable } from '../bytes.ts'
import { ComposefsError } from '../errors.ts'
import { ObjectId } from '../fsverity/object-id.ts'
import type { DumpRecord } from '../tree/assemble.ts'
import { Directory, type Inode, Leaf, type LeafContent } from '../tree/inode.ts'
import type { Stat } from '../tree/stat.ts'
import { Xattrs } from '../tree/xattrs.ts'
import { decodeField, type Fail, unescapeField } from './dumpfile-escape.ts'
import { parseOctal, parseSeconds, parseSize, parseU32 } from './dumpfile-number.ts'
import { DumpfileXattrs } from './dumpfile-xattrs.ts'

/** Longest PAYLOAD (so longest symlink target) and longest CONTENT, in bytes. */
const maxPayload = 4095
const maxContent = 5000
/** Larger files fit no image. */
const maxSize = 2 ** 53
/** So much of a path is shown in messages. */
const maxShown = 4096
const plainDigits = 'numbers are plain decimal digits'

const typeMask = 0o170000
const regularFile = 0o100000
const directory = 0o040000
const symlink = 0o120000
const characterDevice = 0o020000
const blockDevice = 0o060000
const fifo = 0o010000
const socket = 0o140000
const types: ReadonlySet<number> = new Set([
  regularFile,
  directory,
  symlink,
  characterDevice,
  blockDevice,
  fifo,
  socket,
])

/**
 * Takes lines apart. It walks through the text instead of splitting it: most fields are numbers, and strings made only to
 * be read as numbers cost more than all the rest.
 *
 * Keeps the xattrs it met last, since many lines share theirs.
 */
export class DumpfileLineParser {
  readonly #strict: boolean
  readonly #xattrs = new DumpfileXattrs()
  #stat: Stat | undefined
  #text = ''
  /** Where the line begins and ends. */
  #start = 0
  #end = 0
  #number = 0
  /** The field at hand. Fields that are missing at the end of the line are empty. */
  #from = 0
  #to = 0
  readonly #fail: Fail = (code, what, hint) => {
    const end = this.#text.indexOf(' ', this.#start)
    const stop = Math.min(end === -1 ? this.#end : end, this.#end, this.#start + maxShown)
    const raw = this.#text.slice(this.#start, stop)
    const path = printable((unescapeField(raw) ?? raw) as ByteString)
    return new ComposefsError(code, `line ${this.#number}: ${what}`, hint === undefined ? { path } : { path, hint })
  }

  /** `strict` refuses what `CFS_PARSE_STRICT` makes the C tool refuse. */
  constructor(strict: boolean) {
    this.#strict = strict
  }

  /**
   * Reads the line from `start` to `end` (without its newline) of a text that holds one byte per character.
   *
   * @param number Of the line, from 1.
   * @param escaped Whether the line has a backslash.
   * @throws {@link ComposefsError} `ERR_DUMPFILE_SYNTAX`, `ERR_DUMPFILE_VALUE`, `ERR_PATH_INVALID`,
   * `ERR_SYMLINK_TARGET`, `ERR_HARDLINK_TARGET`, `ERR_DIGEST_SYNTAX`, `ERR_LIMIT`.
   */
  parse(text: string, start: number, end: number, number: number, escaped: boolean): DumpRecord {
    this.#text = text
    this.#start = start
    this.#end = end
    this.#number = number
    this.#to = start - 1
    const fail = this.#fail
    if (end > start && text.charCodeAt(end - 1) === 13) {
      throw fail('ERR_DUMPFILE_SYNTAX', 'the line ends in a carriage return', 'lines end in a newline alone; write \\r')
    }
    this.#next()
    let path = text.slice(this.#from, this.#to)
    if (escaped) {
      path = decodeField(path, 'path', fail)
      if (path.includes('\0')) throw fail('ERR_PATH_INVALID', 'the path contains NUL')
    }
    if (path === '') {
      const what = start === end ? 'the line is empty' : 'the path is empty'
      throw fail('ERR_DUMPFILE_SYNTAX', what, 'fields are separated by one space, and there are no blank lines')
    }
    this.#next()
    const sizeFrom = this.#from
    const sizeTo = this.#to
    this.#next()
    const isLink = text.charCodeAt(this.#from) === 64 && this.#from < end
    const mode = parseOctal(text, isLink ? this.#from + 1 : this.#from, this.#to)
    if (mode === undefined) {
      const hint = 'fields are separated by exactly one space'
      throw fail('ERR_DUMPFILE_SYNTAX', `the mode ${quote(this.#field())} is not an octal number`, hint)
    }
    const type = mode & typeMask
    if (!types.has(type)) {
      const what = `the mode ${mode.toString(8)} has no file type`
      throw fail('ERR_DUMPFILE_VALUE', what, 'a regular file with permissions 644 has mode 100644')
    }
    if (isLink) return { kind: 'link', path: path as ByteString, target: this.#linkTarget(type), line: number }
    const size = parseSize(text, sizeFrom, sizeTo)
    if (size === undefined) {
      const what = `the size ${quote(text.slice(sizeFrom, sizeTo))} is not a number of 64 bits`
      throw fail('ERR_DUMPFILE_VALUE', what, plainDigits)
    }
    return { kind: 'inode', path: path as ByteString, inode: this.#inode(type, mode, size, escaped), line: number }
  }

  #inode(type: number, mode: number, size: number, escaped: boolean): Inode {
    const fail = this.#fail
    const text = this.#text
    const nlink = this.#u32('link count')
    const uid = this.#u32('user id')
    const gid = this.#u32('group id')
    const rdev = this.#u32('device number')
    this.#next()
    const dot = text.indexOf('.', this.#from)
    const hasDot = dot !== -1 && dot < this.#to
    const mtime = hasDot ? parseSeconds(text, this.#from, dot) : undefined
    const mtimeNsec = hasDot ? parseU32(text, dot + 1, this.#to) : undefined
    if (mtime === undefined || mtimeNsec === undefined) {
      const hint = 'a time is SECONDS.NANOSECONDS, two whole numbers'
      throw fail('ERR_DUMPFILE_VALUE', `the time ${quote(this.#field())} cannot be read`, hint)
    }

    const payload = this.#optional('payload', escaped)
    if (payload !== undefined && payload.length > maxPayload) {
      const code = type === symlink ? 'ERR_SYMLINK_TARGET' : 'ERR_LIMIT'
      throw fail(code, `the payload has ${payload.length} bytes, at most ${maxPayload} are possible`)
    }
    if (escaped && payload?.includes('\0')) throw fail('ERR_DUMPFILE_VALUE', 'the payload contains NUL')
    const content = this.#optional('content', escaped)
    if (content !== undefined) {
      if (content.length > maxContent && type !== symlink) {
        const hint = 'larger files are objects: name one in PAYLOAD and DIGEST'
        throw fail('ERR_LIMIT', `the content has ${content.length} bytes, at most ${maxContent} can be inline`, hint)
      }
      if (content.length !== size) {
        throw fail('ERR_DUMPFILE_VALUE', `the size is ${size}, but the content has ${content.length} bytes`)
      }
    }
    const digest = this.#optional('digest', escaped)
    const id = digest ? this.#objectId(digest) : undefined
    const start = this.#to + 1
    const xattrs = start < this.#end ? this.#xattrs.parse(text.slice(start, this.#end), escaped, fail) : Xattrs.empty

    if (this.#strict) this.#checkStrict(type, rdev, size, payload, content)
    const stat = this.#sameStat({ mode: mode & 0o7777, uid, gid, mtime, mtimeNsec, xattrs })
    if (type === directory) return new Directory(stat)
    if (type !== regularFile) return new Leaf(stat, specialContent(type, size, rdev, payload, fail), nlink)
    // The C tool takes the missing digest from uninitialised memory; silently not to verify would be no better.
    if (digest === '' && !content && size > 0) {
      throw fail('ERR_DIGEST_SYNTAX', 'the digest is missing', 'write - for a file that has none')
    }
    return new Leaf(stat, fileContent(size, payload, content, id, fail), nlink)
  }

  /** The last stat again where this one says the same: often whole directories have but one. */
  #sameStat(stat: Stat): Stat {
    const last = this.#stat
    if (
      last !== undefined &&
      last.mode === stat.mode &&
      last.uid === stat.uid &&
      last.gid === stat.gid &&
      last.mtime === stat.mtime &&
      last.mtimeNsec === stat.mtimeNsec &&
      last.xattrs === stat.xattrs
    ) {
      return last
    }
    this.#stat = stat
    return stat
  }

  /** Goes on to the next field. */
  #next(): void {
    const from = this.#to + 1
    if (from >= this.#end) {
      this.#from = this.#to = this.#end
      return
    }
    const space = this.#text.indexOf(' ', from)
    this.#from = from
    this.#to = space === -1 || space > this.#end ? this.#end : space
  }

  #field(): string {
    return this.#text.slice(this.#from, this.#to)
  }

  #u32(name: string): number {
    this.#next()
    const value = parseU32(this.#text, this.#from, this.#to)
    if (value !== undefined) return value
    const what = `the ${name} ${quote(this.#field())} is not a number of 32 bits`
    throw this.#fail('ERR_DUMPFILE_VALUE', what, plainDigits)
  }

  /** A field where `-` means absent. One that is missing is empty, which is not the same. */
  #optional(name: string, escaped: boolean): string | undefined {
    this.#next()
    const length = this.#to - this.#from
    if (length === 1 && this.#text.charCodeAt(this.#from) === 45) return undefined
    return escaped ? decodeField(this.#field(), name, this.#fail) : this.#field()
  }

  #objectId(digest: string): ObjectId {
    // Nearly always lower case, which then is tested once.
    const hex = /[A-F]/.test(digest) ? digest.toLowerCase() : digest
    try {
      return ObjectId.fromHex(hex)
    } catch (cause) {
      if (!(cause instanceof ComposefsError)) throw cause
      const hint = 'write 64 or 128 hex digits, or -'
      throw this.#fail('ERR_DIGEST_SYNTAX', `the digest ${quote(digest)} is not well-formed`, hint)
    }
  }

  /** All that counts on a link's line is its path, its target, and that its mode is no directory's. */
  #linkTarget(type: number): ByteString {
    const fail = this.#fail
    if (type === directory) throw fail('ERR_HARDLINK_TARGET', 'directories cannot be hardlinked')
    for (let i = 0; i < 5; i++) this.#next()
    const target = this.#optional('target', true)
    if (!target) throw fail('ERR_HARDLINK_TARGET', 'the hardlink has no target', 'the target is the payload, field 9')
    if (target.includes('\0')) throw fail('ERR_HARDLINK_TARGET', 'the target of the hardlink contains NUL')
    return target as ByteString
  }

  #checkStrict(
    type: number,
    rdev: number,
    size: number,
    payload: string | undefined,
    content: string | undefined,
  ): void {
    const hint = 'without strict it is ignored'
    if (rdev !== 0 && type !== characterDevice && type !== blockDevice) {
      throw this.#fail('ERR_DUMPFILE_VALUE', 'only devices have a device number', hint)
    }
    if (type !== symlink) return
    if (content) throw this.#fail('ERR_DUMPFILE_VALUE', 'a symlink has no content', hint)
    if (payload !== undefined && payload.length !== size) {
      const what = `the size of the symlink is ${size}, but its target has ${payload.length} bytes`
      throw this.#fail('ERR_DUMPFILE_VALUE', what, hint)
    }
  }
}

/** Content goes before payload and digest, and an empty file has neither: so does the C tool treat them. */
function fileContent(
  size: number,
  payload: string | undefined,
  content: string | undefined,
  id: ObjectId | undefined,
  fail: Fail,
): LeafContent {
  if (content) return { type: 'inline', bytes: Buffer.from(content, 'latin1') }
  if (size === 0) return { type: 'inline', bytes: Buffer.alloc(0) }
  if (size > maxSize) throw fail('ERR_DUMPFILE_VALUE', 'the file is larger than 2^53 bytes')
  if (!payload) return { type: 'external', size, id, path: null }
  return id !== undefined && isPathOf(payload, id.hex)
    ? { type: 'external', size, id }
    : { type: 'external', size, id, path: payload as ByteString }
}

/** Whether the payload is `XX/REST` of the digest. */
function isPathOf(payload: string, hex: string): boolean {
  return (
    payload.length === hex.length + 1 &&
    payload.charCodeAt(2) === 47 &&
    payload.charCodeAt(0) === hex.charCodeAt(0) &&
    payload.charCodeAt(1) === hex.charCodeAt(1) &&
    payload.endsWith(hex.slice(2))
  )
}

function specialContent(
  type: number,
  size: number,
  rdev: number,
  payload: string | undefined,
  fail: Fail,
): LeafContent {
  if (type === symlink) {
    if (!payload) throw fail('ERR_SYMLINK_TARGET', 'the symlink has no target', 'the target is the payload, field 9')
    return { type: 'symlink', target: payload as ByteString }
  }
  // What has no size may be said to have one: an image takes into account whether that fits 32 bits.
  const kept = size === 0 ? {} : { size: Math.min(size, maxSize) }
  if (type === characterDevice) return { type: 'character-device', rdev, ...kept }
  if (type === blockDevice) return { type: 'block-device', rdev, ...kept }
  return { type: type === fifo ? 'fifo' : 'socket', ...kept }
}

function quote(field: string): string {
  if (field === '') return '(empty or missing)'
  return `"${printable((field.length > 140 ? `${field.slice(0, 140)}...` : field) as ByteString)}"`
}
