/**
 * The escapes of the dumpfile text format (spec: dumpfile, sections 3 and 4).
 *
 * @packageDocumentation
 */
import type { ComposefsError, ErrorCode } from '../errors.ts'

/** Makes the error that says what is wrong with a line, and where that line is. */
export type Fail = (code: ErrorCode, what: string, hint?: string) => ComposefsError

/** The byte that each hex digit stands for, by character code; 255 for every other character. */
const nibble: Uint8Array = new Uint8Array(256).fill(255)
for (let i = 0; i < 16; i++) {
  const digit = i.toString(16)
  nibble[digit.charCodeAt(0)] = i
  nibble[digit.toUpperCase().charCodeAt(0)] = i
}

const short: Readonly<Record<string, string>> = { '\\': '\\', n: '\n', r: '\r', t: '\t' }

/**
 * Resolves the escapes of one field: `\\`, `\n`, `\r`, `\t` and `\xHH`. Both strings hold one byte per character.
 *
 * @returns undefined where a backslash begins none of these.
 */
export function unescapeField(field: string): string | undefined {
  let slash = field.indexOf('\\')
  if (slash === -1) return field
  let text = ''
  let from = 0
  while (slash !== -1) {
    text += field.slice(from, slash)
    const letter = field[slash + 1]
    if (letter === undefined) return undefined
    if (letter === 'x') {
      if (slash + 4 > field.length) return undefined
      const high = nibble[field.charCodeAt(slash + 2)]!
      const low = nibble[field.charCodeAt(slash + 3)]!
      if ((high | low) === 255) return undefined
      text += String.fromCharCode((high << 4) | low)
      from = slash + 4
    } else {
      const byte = short[letter]
      if (byte === undefined) return undefined
      text += byte
      from = slash + 2
    }
    slash = field.indexOf('\\', from)
  }
  return text + field.slice(from)
}

/** {@link unescapeField}, where `what` names the field to blame in an `ERR_DUMPFILE_SYNTAX`. */
export function decodeField(field: string, what: string, fail: Fail): string {
  const text = unescapeField(field)
  if (text === undefined) {
    const hint = 'known escapes are \\\\, \\n, \\r, \\t and \\xHH with two hex digits'
    throw fail('ERR_DUMPFILE_SYNTAX', `the ${what} has a malformed escape`, hint)
  }
  return text
}

/** How each byte is written, by its value. */
const written: readonly string[] = Array.from({ length: 256 }, (_, byte) => {
  const char = String.fromCharCode(byte)
  if (char === '\\') return '\\\\'
  if (char === '\n') return '\\n'
  if (char === '\r') return '\\r'
  if (char === '\t') return '\\t'
  return byte > 0x20 && byte < 0x7f ? char : `\\x${byte.toString(16).padStart(2, '0')}`
})

// Everything that cannot stand raw. The names of a normal system hold none of it, so that one test settles most fields.
const unsafe = /[^!-[\]-~]/

/** Writes a path, key or other field that has no special value. One byte per character, before and after. */
export function escapeField(text: string): string {
  if (!unsafe.test(text)) return text
  let escaped = ''
  let from = 0
  for (let i = 0; i < text.length; i++) {
    const byte = written[text.charCodeAt(i)]!
    if (byte.length === 1) continue
    escaped += text.slice(from, i) + byte
    from = i + 1
  }
  return escaped + text.slice(from)
}

/** Writes PAYLOAD or CONTENT, where `-` means absent: nothing becomes `-`, and a lone `-` becomes `\x2d`. */
export function escapeOptional(text: string): string {
  if (text.length < 2) return text === '' ? '-' : text === '-' ? '\\x2d' : escapeField(text)
  return escapeField(text)
}

/** Writes an xattr's key or value, where `=` stands escaped too. */
export function escapeXattr(text: string): string {
  const escaped = escapeField(text)
  return escaped.includes('=') ? escaped.replaceAll('=', '\\x3d') : escaped
}
