/**
 * The xattrs at the end of a dumpfile's line.
 *
 * @packageDocumentation
 */
import type { ByteString } from '../bytes.ts'
import { Xattrs } from '../tree/xattrs.ts'
import { decodeField, type Fail } from './dumpfile-escape.ts'

/** Limits of the C tool: bytes of text, of a name, and of all names and values of an inode with their overhead. */
const maxText = 65535
const maxName = 255
const maxTotal = 32767
const inodeCost = 12
const xattrCost = 7
/** Only short texts are worth keeping (labels, capabilities), and only so many. */
const cachedText = 512
const cachedCount = 4096

/** Reads the `KEY=VALUE` fields. Equal texts give the same {@link Xattrs}: nearly all lines of a system share labels. */
export class DumpfileXattrs {
  readonly #cache = new Map<string, Xattrs>()

  /**
   * @param text All that follows the space after DIGEST. One space at its end does not count.
   * @param escaped Whether there may be a backslash in it.
   */
  parse(text: string, escaped: boolean, fail: Fail): Xattrs {
    if (text === '') return Xattrs.empty
    const known = this.#cache.get(text)
    if (known !== undefined) return known
    // A copy, since a part of a string keeps the whole in memory, and this one is kept for long.
    const own = Buffer.from(text, 'latin1').toString('latin1')
    const xattrs = parseXattrs(own, escaped, fail)
    if (own.length <= cachedText) {
      if (this.#cache.size === cachedCount) this.#cache.clear()
      this.#cache.set(own, xattrs)
    }
    return xattrs
  }
}

function parseXattrs(text: string, escaped: boolean, fail: Fail): Xattrs {
  if (text.length > maxText) {
    throw fail('ERR_LIMIT', `the xattrs take ${text.length} bytes of text, at most ${maxText} are possible`)
  }
  const map = new Map<string, string>()
  let total = inodeCost
  for (const field of (text.endsWith(' ') ? text.slice(0, -1) : text).split(' ')) {
    const equals = field.indexOf('=')
    if (equals === -1) {
      const hint = 'an xattr is KEY=VALUE; fields are separated by exactly one space'
      throw fail('ERR_DUMPFILE_SYNTAX', 'an xattr has no =', hint)
    }
    let name = field.slice(0, equals)
    let value = field.slice(equals + 1)
    if (escaped) {
      name = decodeField(name, 'name of an xattr', fail)
      value = decodeField(value, 'value of an xattr', fail)
    }
    if (name === '' || name.length > maxName || name.includes('\0')) {
      throw fail('ERR_DUMPFILE_VALUE', 'the name of an xattr must have 1 to 255 bytes, none of them NUL')
    }
    // Of two values the later one holds.
    const old = map.get(name)
    total += old === undefined ? xattrCost + name.length + value.length : value.length - old.length
    if (total > maxTotal) {
      throw fail('ERR_LIMIT', `the xattrs of one inode take more than the ${maxTotal} bytes that fit an image`)
    }
    map.set(name, value)
  }
  return Xattrs.of(Array.from(map, ([name, value]) => [name as ByteString, Buffer.from(value, 'latin1')] as const))
}
