/**
 * Number fields of a tar header: octal text, or base-256 where bit 7 of the first byte is set.
 *
 * @packageDocumentation
 */
import { type Seconds, seconds } from '../tree/stat.ts'

/**
 * Reads octal text: blanks around the digits are skipped, what stands behind the first NUL is ignored, and no digits
 * at all are 0 (spec: tar-layer, section 1). NaN where there is anything else.
 */
export function readOctal(block: Buffer, start: number, end: number): number {
  let at = start
  while (at < end && isBlank(block[at]!)) at++
  let value = 0
  for (; at < end; at++) {
    const digit = block[at]! - 0x30
    if ((digit & ~7) !== 0) break
    value = value * 8 + digit
  }
  while (at < end && isBlank(block[at]!)) at++
  return at === end || block[at] === 0 ? value : Number.NaN
}

/** Reads either form: a number where that is exact, a bigint beyond, and NaN where the field holds neither form. */
export function readNumber(block: Buffer, start: number, end: number): Seconds {
  return (block[start]! & 0x80) === 0 ? readOctal(block, start, end) : readBase256(block, start, end)
}

function readBase256(block: Buffer, start: number, end: number): Seconds {
  // The marker is no part of the number; the bit behind it is the sign.
  const bits = (end - start) * 8 - 1
  return seconds(BigInt.asIntN(bits, BigInt(`0x${block.toString('hex', start, end)}`)))
}

/** Writes zero-padded octal text and its NUL where the value fits, base-256 otherwise. False where neither does. */
export function writeNumber(block: Buffer, start: number, end: number, value: Seconds): boolean {
  const digits = end - start - 1
  const text = value.toString(8)
  if (value >= 0 && text.length <= digits) {
    block.write(`${text.padStart(digits, '0')}\0`, start, 'latin1')
    return true
  }
  const bits = (end - start) * 8 - 1
  const whole = BigInt(value)
  if (BigInt.asIntN(bits, whole) !== whole) return false
  const marked = BigInt.asUintN(bits, whole) | (1n << BigInt(bits))
  block.write(marked.toString(16), start, 'hex')
  return true
}

function isBlank(byte: number): boolean {
  return byte === 0x20 || (byte >= 0x09 && byte <= 0x0d)
}
