/**
 * The numbers of the dumpfile text format: plain digits, nothing else (spec: dumpfile, section 2).
 *
 * The C tool takes whatever `strtoull` takes and lets overflow wrap; no writer relies on that, so it is refused.
 *
 * @packageDocumentation
 */
import { type Seconds, seconds } from '../tree/stat.ts'

const maxU32 = 0xffffffff
const maxSize = 2n ** 53n
const maxU64 = 2n ** 64n - 1n
const maxI64 = 2n ** 63n - 1n
/** Certainly above 64 bits, so that no BigInt is made of a million digits. */
const tooLarge = 1e20
/** So many decimal digits are exact in a double, whatever they are. */
const exactDigits = 15

/** Digits of base 8 or 10 in `text` from `start` to `end`. NaN unless there is at least one and nothing else. */
function digits(text: string, base: 8 | 10, start: number, end: number): number {
  let value = start < end ? 0 : Number.NaN
  for (let i = start; i < end; i++) {
    const digit = text.charCodeAt(i) - 48
    if (!(digit >= 0 && digit < base)) return Number.NaN
    value = value * base + digit
  }
  return value
}

/** The decimal number of 32 bits that stands in `text` from `start` to `end`, or undefined. */
export function parseU32(text: string, start: number, end: number): number | undefined {
  const value = digits(text, 10, start, end)
  return value <= maxU32 ? value : undefined
}

/** An octal number of 32 bits, or undefined. */
export function parseOctal(text: string, start: number, end: number): number | undefined {
  const value = digits(text, 8, start, end)
  return value <= maxU32 ? value : undefined
}

/** A decimal number of 64 bits, or undefined. What exceeds 2^53 comes out as Infinity: no file is as large. */
export function parseSize(text: string, start: number, end: number): number | undefined {
  const value = digits(text, 10, start, end)
  if (Number.isNaN(value)) return undefined
  if (end - start <= exactDigits) return value
  if (value > tooLarge) return undefined
  const exact = BigInt(text.slice(start, end))
  return exact > maxU64 ? undefined : exact > maxSize ? Number.POSITIVE_INFINITY : Number(exact)
}

/** Decimal seconds of 64 bits with an optional minus, or undefined. */
export function parseSeconds(text: string, start: number, end: number): Seconds | undefined {
  const negative = text.charCodeAt(start) === 45
  const from = negative ? start + 1 : start
  const value = digits(text, 10, from, end)
  if (Number.isNaN(value)) return undefined
  // 0 - value, since -value would turn 0 into -0.
  if (end - from <= exactDigits) return negative ? 0 - value : value
  if (value > tooLarge) return undefined
  const exact = BigInt(text.slice(from, end))
  if (exact > (negative ? maxI64 + 1n : maxI64)) return undefined
  return seconds(negative ? -exact : exact)
}
