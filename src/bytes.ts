/**
 * Byte strings: names, paths, link targets and xattr keys are bytes, not text.
 *
 * @packageDocumentation
 */
import { escapeByte, escapeControls } from './escape.ts'

declare const byteString: unique symbol

/**
 * Bytes held in a string, one character per byte (latin1). Nothing is lost, `<` sorts by unsigned byte, and it serves
 * as a Map key. Make one with {@link bytesOf}, read it with {@link toBuffer} or {@link printable}.
 */
export type ByteString = string & { readonly [byteString]: true }

/**
 * What the public border accepts as bytes: text, which is encoded as UTF-8, or a Buffer. A {@link ByteString} is neither:
 * its bytes would be encoded once more. Give {@link toBuffer} of it.
 */
export type BytesLike = (string & { readonly [byteString]?: never }) | Uint8Array

/** Bytes of a text (UTF-8) or of a buffer. Use {@link fromLatin1} for what already is one character per byte. */
export function bytesOf(value: BytesLike): ByteString {
  const buffer = typeof value === 'string' ? Buffer.from(value, 'utf8') : view(value)
  return buffer.toString('latin1') as ByteString
}

/** Takes a string that already holds one character per byte. */
export function fromLatin1(value: string): ByteString {
  return value as ByteString
}

/** The bytes themselves. */
export function toBuffer(value: ByteString): Buffer {
  return Buffer.from(value, 'latin1')
}

/**
 * For messages and terminals: UTF-8 where all the bytes are that, but for a backslash (`\\\\`) and what could control a
 * terminal or turn the direction of writing round (`\\xNN`, byte by byte, see {@link escapeControls}); otherwise ASCII
 * and `\\xNN`. No two byte strings look the same: {@link fromPrintable} has them back.
 */
export function printable(value: ByteString): string {
  const text = Buffer.from(value, 'latin1').toString('utf8')
  const doubled = (bytes: string): string => (bytes.includes('\\') ? bytes.replaceAll('\\', '\\\\') : bytes)
  if (!text.includes('\ufffd')) return escapeControls(doubled(text))
  return doubled(value).replaceAll(/[^ -~]/g, escapeByte)
}

/** The bytes that {@link printable} shows; text that it has not made is taken as it stands. */
export function fromPrintable(text: string): ByteString {
  const bytes = Buffer.from(text, 'utf8').toString('latin1')
  return bytes.replaceAll(/\\(?:\\|x([0-9a-f]{2}))/g, (_, hex: string | undefined) =>
    hex === undefined ? '\\' : String.fromCharCode(Number.parseInt(hex, 16)),
  ) as ByteString
}

/** The same memory as a Buffer. */
export function view(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
