/**
 * What the PAX records of one extension header say about the next entry.
 *
 * @packageDocumentation
 */
import { type ByteString, fromLatin1 } from '../bytes.ts'
import { type Seconds, seconds } from '../tree/stat.ts'
import type { Xattr } from '../tree/xattrs.ts'
import { badPaxValue, type PaxRecord, paxNumber } from './pax-records.ts'
import { Slab } from './slab.ts'

/** Prefix of the records that carry extended attributes, as star, GNU tar, Go and libarchive write them. */
export const xattrPrefix = 'SCHILY.xattr.'

/** A time: whole seconds rounded down, and the nanoseconds after them. */
export interface PaxTime {
  readonly seconds: Seconds
  readonly nanoseconds: number
}

/**
 * The records that matter to an image. `size` is none of them: TarDecoder has taken it into account. A later record
 * replaces an earlier one, and an empty value takes it back (POSIX); only an xattr may be empty.
 */
export class PaxAttributes {
  path: ByteString | undefined
  linkPath: ByteString | undefined
  uid: number | undefined
  gid: number | undefined
  mtime: PaxTime | undefined
  /** GNU.sparse.name: what a sparse file is really called. */
  sparseName: ByteString | undefined
  /** The name of a record that makes the next entry a sparse file. */
  sparse: ByteString | undefined
  readonly xattrs: Xattr[] = []
  readonly #slab: Slab

  /** @param slab Where the values of xattrs are kept. */
  constructor(slab: Slab = new Slab()) {
    this.#slab = slab
  }

  /**
   * Takes one record into account; unknown keys are passed over. Values are copied where they are kept.
   *
   * @throws {@link ComposefsError} `ERR_PAX_VALUE`.
   */
  add(record: PaxRecord): void {
    switch (record.key) {
      case 'path' as ByteString:
        this.path = text(record)
        return
      case 'linkpath' as ByteString:
        this.linkPath = text(record)
        return
      case 'uid' as ByteString:
        this.uid = paxNumber(record, 0xffffffff)
        return
      case 'gid' as ByteString:
        this.gid = paxNumber(record, 0xffffffff)
        return
      case 'mtime' as ByteString:
        this.mtime = paxTime(record)
        return
      case 'GNU.sparse.name' as ByteString:
        this.sparseName = text(record)
        return
    }
    if (record.key.startsWith(xattrPrefix)) {
      const name = fromLatin1(record.key.slice(xattrPrefix.length))
      if (name === '') throw badPaxValue(record, 'names no attribute')
      this.xattrs.push([name, this.#slab.copy(record.value)])
    } else if (record.key.startsWith('GNU.sparse.') && record.value.length > 0) {
      this.sparse = record.key
    }
  }
}

function text(record: PaxRecord): ByteString | undefined {
  if (record.value.includes(0)) throw badPaxValue(record, 'contains NUL, which no path can')
  return record.value.length === 0 ? undefined : fromLatin1(record.value.toString('latin1'))
}

/**
 * Reads a PAX time. Nanoseconds count upwards from the second below: `-1.5` is -2 s and 500000000 ns. Digits beyond the
 * ninth are cut, `7.` is 7 (spec: tar-layer, section 5).
 *
 * @throws {@link ComposefsError} `ERR_PAX_VALUE` for anything else, and for seconds outside of 64 bits.
 */
export function paxTime(record: PaxRecord): PaxTime | undefined {
  if (record.value.length === 0) return undefined
  const match = /^([+-]?)(\d{1,30})(?:\.(\d*))?$/.exec(record.value.toString('latin1'))
  if (match === null) throw badPaxValue(record, 'is no time')
  const fraction = Number((match[3] ?? '').slice(0, 9).padEnd(9, '0'))
  const whole = BigInt(match[2]!)
  const negative = match[1] === '-'
  const borrow = negative && fraction > 0
  const value = negative ? -whole - (borrow ? 1n : 0n) : whole
  if (BigInt.asIntN(64, value) !== value) throw badPaxValue(record, 'is outside of 64 bits')
  return { seconds: seconds(value), nanoseconds: borrow ? 1_000_000_000 - fraction : fraction }
}
