/**
 * The records inside a PAX extension header: `LENGTH KEY=VALUE\n`, where LENGTH counts the bytes of the whole record.
 *
 * Source: POSIX.1-2017 (pax, "pax Extended Header"); what is refused beyond that: spec tar-layer, section 1.
 *
 * @packageDocumentation
 */
import { isUtf8 } from 'node:buffer'
import { type ByteString, type BytesLike, bytesOf, fromLatin1, printable, toBuffer } from '../bytes.ts'
import { ComposefsError } from '../errors.ts'

/** One record. `value` is a view of the body; it may hold any byte. */
export interface PaxRecord {
  readonly key: ByteString
  readonly value: Buffer
  /** Where the record begins in the archive. */
  readonly offset: number
}

/**
 * Takes the body of an extension header apart. NULs behind the last record are passed over.
 *
 * @param offset Where the body begins in the archive, for messages.
 * @throws {@link ComposefsError} `ERR_PAX_RECORD` for a wrong length, a missing blank, `=` or newline, and a key that is
 * empty, not UTF-8 or holds NUL.
 *
 * @example
 * ```ts
 * import { paxRecords } from 'composefs-streams/streams'
 *
 * paxRecords(Buffer.from('9 path=a\n'))[0]?.value.toString() // 'a'
 * ```
 */
export function paxRecords(body: Buffer, offset = 0): PaxRecord[] {
  const records: PaxRecord[] = []
  for (let at = 0; at < body.length; ) {
    if (body[at] === 0 && isZero(body, at)) break
    let length = 0
    let blank = at
    for (; blank < body.length; blank++) {
      const digit = body[blank]! - 0x30
      if (digit < 0 || digit > 9 || blank - at > 14) break
      length = length * 10 + digit
    }
    const next = at + length
    if (blank === at || body[blank] !== 0x20) throw malformed('does not begin with its length and a blank', at)
    if (next > body.length) throw malformed(`claims ${length} bytes, but only ${body.length - at} are left`, at)
    if (next <= blank + 1 || body[next - 1] !== 0x0a) throw malformed('does not end in a newline at its length', at)
    const equals = body.indexOf(0x3d, blank + 1)
    if (equals === -1 || equals >= next) throw malformed('has no "="', at)
    const key = fromLatin1(body.toString('latin1', blank + 1, equals))
    if (key === '' || key.includes('\0') || !isUtf8(body.subarray(blank + 1, equals))) {
      throw malformed(`has the key "${printable(key)}", which is empty or no UTF-8 text`, at)
    }
    records.push({ key, value: body.subarray(equals + 1, next - 1), offset: offset + at })
    at = next
  }
  return records

  function malformed(what: string, at: number): ComposefsError {
    return new ComposefsError('ERR_PAX_RECORD', `a PAX record ${what}`, { offset: offset + at, hint: remake })
  }
}

const remake = 'the archive is damaged, or was written by a faulty program; make it again'

/**
 * The size that the records state for the next entry, or undefined where they state none. The last record holds, and an
 * empty value cancels (spec: tar-layer, section 5).
 *
 * @throws What {@link paxRecords} and {@link paxNumber} throw.
 */
export function paxSize(body: Buffer, offset = 0): number | undefined {
  if (!body.includes(' size=', 0, 'latin1')) return undefined
  let size: number | undefined
  for (const record of paxRecords(body, offset)) {
    if (record.key === 'size') size = paxNumber(record, Number.MAX_SAFE_INTEGER)
  }
  return size
}

/**
 * The value of a record as a whole number, or undefined where it is empty.
 *
 * @throws {@link ComposefsError} `ERR_PAX_VALUE` unless it is decimal digits (a leading `+` passes) up to `max`.
 */
export function paxNumber(record: PaxRecord, max: number): number | undefined {
  if (record.value.length === 0) return undefined
  const text = record.value.toString('latin1')
  const value = /^\+?\d+$/.test(text) ? Number(text) : Number.NaN
  if (value <= max) return value
  throw badPaxValue(record, `is no whole number from 0 to ${max}`)
}

/** `ERR_PAX_VALUE` for a record, its value shortened. */
export function badPaxValue(record: PaxRecord, why: string): ComposefsError {
  const value = printable(fromLatin1(record.value.toString('latin1', 0, 80)))
  return new ComposefsError('ERR_PAX_VALUE', `the PAX record ${printable(record.key)}="${value}" ${why}`, {
    offset: record.offset,
    hint: remake,
  })
}

/**
 * One record as bytes, of a key and a value that are UTF-8 text or Buffers.
 *
 * @throws {@link ComposefsError} `ERR_ARGUMENT` for a key that is empty, or contains `=` or NUL.
 */
export function encodePaxRecord(key: BytesLike, value: BytesLike): Buffer {
  const bytes = bytesOf(key)
  if (bytes === '' || /[=\0]/.test(bytes)) {
    throw new ComposefsError('ERR_ARGUMENT', `a PAX record cannot have the key "${printable(bytes)}"`, {
      hint: 'a key has at least one byte, none of them "=" or NUL',
    })
  }
  return paxRecord(bytes, toBuffer(bytesOf(value)))
}

/** {@link encodePaxRecord} for a key that is a byte string. Its length counts itself: 98 bytes more need two digits, 99 three. */
export function paxRecord(key: ByteString, value: Uint8Array): Buffer {
  const rest = 1 + key.length + 1 + value.length + 1
  let length = rest + String(rest).length
  length = rest + String(length).length
  return Buffer.concat([Buffer.from(`${length} ${key}=`, 'latin1'), value, Buffer.from('\n')])
}

function isZero(body: Buffer, start: number): boolean {
  for (let i = start; i < body.length; i++) if (body[i] !== 0) return false
  return true
}
